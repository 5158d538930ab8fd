/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* IPv4 router: exact-match table first, then longest prefix and neighbour table; out through a device map.
 *
 * The exact-match table holds complete answers for single hosts (port and both MAC addresses). What the tables cannot
 * answer but the host can (ARP, an expired TTL, options, an unresolved neighbour) passes to it; what has no route is
 * dropped. */
#include "include/checksum.h"
#include "include/packet.h"

struct prefix {
  __u32 length;
  __be32 address;
};

struct route {
  __be32 gateway; /* 0: the destination is on the link */
  __u32 port;     /* entry of tx_port */
  __u8 source_mac[ETH_ALEN];
  __u8 unused[2];
};

struct neighbour {
  __u8 mac[ETH_ALEN];
  __u8 unused[2];
};

struct adjacency {
  __u32 port;
  __u8 source_mac[ETH_ALEN];
  __u8 destination_mac[ETH_ALEN];
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1024);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct prefix);
  __type(value, struct route);
} routes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __be32);
  __type(value, struct neighbour);
} neighbours SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __be32);
  __type(value, struct adjacency);
} exact_match SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 64);
  __type(key, __u32);
  __type(value, __u32);
} tx_port SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u64);
} forwarded_by_protocol SEC(".maps");

SEC("xdp")
int router_ipv4(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
  if (!packet_has(ip, end)) return XDP_DROP;
  if (ip->ihl != 5 || ip->ttl <= 1) return XDP_PASS;

  __be32 destination = ip->daddr;
  const __u8* source_mac;
  const __u8* destination_mac;
  __u32 port;

  struct adjacency* host = bpf_map_lookup_elem(&exact_match, &destination);
  if (host) {
    source_mac = host->source_mac;
    destination_mac = host->destination_mac;
    port = host->port;
  } else {
    struct prefix prefix = {.length = 32, .address = destination};
    struct route* route = bpf_map_lookup_elem(&routes, &prefix);
    if (!route) return XDP_DROP;
    __be32 next_hop = route->gateway ? route->gateway : destination;
    struct neighbour* neighbour = bpf_map_lookup_elem(&neighbours, &next_hop);
    if (!neighbour) return XDP_PASS;
    source_mac = route->source_mac;
    destination_mac = neighbour->mac;
    port = route->port;
  }

  /* TTL is the high byte of its big-endian word, whose other half does not change. */
  ip->check = checksum_replace16(ip->check, bpf_htons(ip->ttl << 8), bpf_htons((ip->ttl - 1) << 8));
  ip->ttl--;
  copy_mac(eth->h_source, source_mac);
  copy_mac(eth->h_dest, destination_mac);
  count_one(&forwarded_by_protocol, ip->protocol);
  return bpf_redirect_map(&tx_port, port, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
