/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Stateful firewall between a LAN (interior) and a WAN (exterior) port for TCP and UDP over IPv4.
 *
 * A packet from the LAN opens a flow; a packet from the WAN passes only if its flow, seen from the LAN, is open. The
 * flow key is always written as the LAN side sends it, so both directions find the same entry. All else is dropped. */
#include "include/packet.h"

#include <linux/udp.h>

enum { TO_EXTERIOR, TO_INTERIOR };

struct flow {
  __be32 inside;
  __be32 outside;
  __be16 inside_port;
  __be16 outside_port;
  __u32 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, struct flow);
  __type(value, __u64); /* packets since the flow opened */
} flows SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} tx_port SEC(".maps");

/* Packets received here come from the LAN; set before the program is loaded. */
const volatile __u32 interior_ifindex = 1;

SEC("xdp")
int simple_firewall(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  /* TCP and UDP begin alike: two ports. */
  struct udphdr* ports = (void*)(ip + 1);

  if (!packet_has(ports, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5) return XDP_DROP;
  if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP) return XDP_DROP;

  bool from_interior = ctx->ingress_ifindex == interior_ifindex;
  struct flow flow = {.protocol = ip->protocol};
  if (from_interior) {
    flow.inside = ip->saddr;
    flow.outside = ip->daddr;
    flow.inside_port = ports->source;
    flow.outside_port = ports->dest;
  } else {
    flow.inside = ip->daddr;
    flow.outside = ip->saddr;
    flow.inside_port = ports->dest;
    flow.outside_port = ports->source;
  }

  __u64* packets = bpf_map_lookup_elem(&flows, &flow);
  if (packets) {
    __sync_fetch_and_add(packets, 1);
  } else {
    __u64 first = 1;
    if (!from_interior) return XDP_DROP;
    /* A full table lets no new flow through: what could not answer must not start. */
    if (bpf_map_update_elem(&flows, &flow, &first, BPF_ANY)) return XDP_DROP;
  }
  return bpf_redirect_map(&tx_port, from_interior ? TO_EXTERIOR : TO_INTERIOR, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
