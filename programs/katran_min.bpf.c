/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The common path of the load balancer alone: IPv4, UDP, connection known. For comparison with hardware whose
 * instruction memory does not hold katran_lb.
 *
 * A packet to a VIP whose flow is not in the connection table is dropped; filling the table is left to the host. */
#include "include/balancer.h"

#include <linux/udp.h>

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} unknown_flows SEC(".maps");

/* The VIP for exactly this port, or else the one for all ports. */
static __always_inline struct vip_info* find_vip(const struct flow* flow) {
  struct vip vip = {.port = flow->destination_port, .protocol = IPPROTO_UDP};
  vip.address.v4 = flow->destination.v4;

  struct vip_info* info = bpf_map_lookup_elem(&vips, &vip);
  if (info) return info;
  vip.port = 0;
  return bpf_map_lookup_elem(&vips, &vip);
}

static __always_inline int send_to_real(struct xdp_md* ctx, const struct flow* flow, __u32 number, __u16 bytes,
                                        __u8 tos) {
  __u32 zero = 0;

  struct connection* connection = bpf_map_lookup_elem(&connections, flow);
  if (!connection || !udp_still_alive(connection)) {
    count_one(&unknown_flows, 0);
    return XDP_DROP;
  }
  __u32 index = connection->real;
  struct real* real = bpf_map_lookup_elem(&reals, &index);
  if (!real) return XDP_DROP;
  struct next_hop* hop = bpf_map_lookup_elem(&next_hop, &zero);
  if (!hop) return XDP_DROP;

  __be32 source = tunnel_source_ipv4(flow->source.v4, flow->source_port);
  if (encapsulate_ipv4(ctx, hop->mac, source, real->address.v4, bytes, IPPROTO_IPIP, tos)) return XDP_DROP;
  count_traffic(&vip_traffic, number, bytes);
  count_traffic(&real_traffic, index, bytes);
  return XDP_TX;
}

SEC("xdp")
int katran_min(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct udphdr* udp = (void*)(ip + 1);

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
  if (!packet_has(ip, end)) return XDP_DROP;
  /* Options and fragments never come from a client's UDP service. */
  if (ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff)) return XDP_DROP;
  if (ip->protocol != IPPROTO_UDP) return XDP_PASS;
  if (!packet_has(udp, end)) return XDP_DROP;

  struct flow flow = {.source_port = udp->source, .destination_port = udp->dest, .protocol = IPPROTO_UDP};
  flow.source.v4 = ip->saddr;
  flow.destination.v4 = ip->daddr;
  struct vip_info* vip = find_vip(&flow);
  if (!vip) return XDP_PASS;
  return send_to_real(ctx, &flow, vip->number, bpf_ntohs(ip->tot_len), ip->tos);
}

char _license[] SEC("license") = "Dual BSD/GPL";
