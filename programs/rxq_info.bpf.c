/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts what each receive queue delivers, then does with every packet what the configuration says.
 *
 * A packet from an interface that is not the configured one is a sign of a wrong set-up: it is counted as an issue and
 * aborted. Queues beyond the table share its last entry, which counts them as an issue too. */
#include "include/packet.h"

#define MAX_QUEUES 64

enum {
  READ_MEMORY = 1u << 0, /* look at the packet, so that its first line is in the cache */
  SWAP_MACS = 1u << 1,
};

struct configuration {
  __u32 action;
  __u32 ifindex;
  __u32 options;
};

struct record {
  __u64 processed;
  __u64 issues;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct configuration);
} configuration SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct record);
} total SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, MAX_QUEUES + 1);
  __type(key, __u32);
  __type(value, struct record);
} by_queue SEC(".maps");

SEC("xdp")
int rxq_info(struct xdp_md* ctx) {
  struct ethhdr* eth = packet_start(ctx);
  __u32 zero = 0;

  struct configuration* config = bpf_map_lookup_elem(&configuration, &zero);
  if (!config) return XDP_ABORTED;
  struct record* all = bpf_map_lookup_elem(&total, &zero);
  if (!all) return XDP_ABORTED;

  all->processed++;
  if (ctx->ingress_ifindex != config->ifindex) {
    all->issues++;
    return XDP_ABORTED;
  }

  __u32 queue = ctx->rx_queue_index;
  if (queue >= MAX_QUEUES) queue = MAX_QUEUES;
  struct record* own = bpf_map_lookup_elem(&by_queue, &queue);
  if (!own) return XDP_ABORTED;
  own->processed++;
  if (queue == MAX_QUEUES) own->issues++;

  if (config->options & (READ_MEMORY | SWAP_MACS)) {
    if (!packet_has(eth, packet_end(ctx))) return XDP_ABORTED;
    /* Length fields of 802.3 frames are not Ethertypes: such frames are not for us. */
    if (bpf_ntohs(eth->h_proto) < ETH_P_802_3_MIN) return XDP_ABORTED;
    if (config->options & SWAP_MACS) swap_macs(eth);
  }
  return config->action;
}

char _license[] SEC("license") = "Dual BSD/GPL";
