/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Encapsulates packets to known services in an IP-in-IP tunnel of the same family and sends them back.
 *
 * A service is (destination address, port, protocol); for protocols without ports the port is 0. Packets to anything
 * else, and services whose tunnel is of the other family, pass to the host. */
#include "include/encapsulate.h"
#include "include/packet.h"

#include <linux/tcp.h>
#include <linux/udp.h>

struct address {
  union {
    __be32 v4;
    __be32 v6[4];
  };
};

struct service {
  struct address address;
  __be16 port;
  __u16 family;
  __u8 protocol;
  __u8 unused[3];
};

struct tunnel {
  struct address source;
  struct address destination;
  __u16 family;
  __u8 next_hop[ETH_ALEN];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 256);
  __type(key, struct service);
  __type(value, struct tunnel);
} tunnels SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u64);
} sent_by_protocol SEC(".maps");

/* The destination port, 0 for protocols without ports, -1 if the transport header is cut off. */
static __always_inline int destination_port(void* transport, void* end, __u8 protocol) {
  if (protocol == IPPROTO_TCP) {
    struct tcphdr* tcp = transport;
    return packet_has(tcp, end) ? tcp->dest : -1;
  }
  if (protocol == IPPROTO_UDP) {
    struct udphdr* udp = transport;
    return packet_has(udp, end) ? udp->dest : -1;
  }
  return 0;
}

static __always_inline int tunnel_ipv4(struct xdp_md* ctx, struct iphdr* ip, void* end) {
  if (!packet_has(ip, end)) return XDP_DROP;
  if (ip->ihl != 5) return XDP_PASS;

  __u8 protocol = ip->protocol;
  int port = destination_port(ip + 1, end, protocol);
  if (port == -1) return XDP_DROP;

  struct service service = {.port = port, .family = AF_INET, .protocol = protocol};
  service.address.v4 = ip->daddr;
  struct tunnel* tunnel = bpf_map_lookup_elem(&tunnels, &service);
  if (!tunnel || tunnel->family != AF_INET) return XDP_PASS;

  if (encapsulate_ipv4(ctx, tunnel->next_hop, tunnel->source.v4, tunnel->destination.v4, bpf_ntohs(ip->tot_len),
                       IPPROTO_IPIP, 0))
    return XDP_DROP;
  count_one(&sent_by_protocol, protocol);
  return XDP_TX;
}

static __always_inline int tunnel_ipv6(struct xdp_md* ctx, struct ipv6hdr* ip6, void* end) {
  if (!packet_has(ip6, end)) return XDP_DROP;

  __u8 protocol = ip6->nexthdr;
  int port = destination_port(ip6 + 1, end, protocol);
  if (port == -1) return XDP_DROP;

  struct service service = {.port = port, .family = AF_INET6, .protocol = protocol};
  __builtin_memcpy(&service.address, &ip6->daddr, sizeof(service.address));
  struct tunnel* tunnel = bpf_map_lookup_elem(&tunnels, &service);
  if (!tunnel || tunnel->family != AF_INET6) return XDP_PASS;

  if (encapsulate_ipv6(ctx, tunnel->next_hop, tunnel->source.v6, tunnel->destination.v6,
                       bpf_ntohs(ip6->payload_len) + sizeof(*ip6), IPPROTO_IPV6, 0))
    return XDP_DROP;
  count_one(&sent_by_protocol, protocol);
  return XDP_TX;
}

SEC("xdp")
int tx_ip_tunnel(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) return tunnel_ipv4(ctx, (void*)(eth + 1), end);
  if (eth->h_proto == bpf_htons(ETH_P_IPV6)) return tunnel_ipv6(ctx, (void*)(eth + 1), end);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
