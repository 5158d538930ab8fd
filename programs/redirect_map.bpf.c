/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts a packet, swaps its MAC addresses and sends it out of the port that entry 0 of the device map names. */
#include "include/packet.h"

struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} tx_port SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} packets SEC(".maps");

SEC("xdp")
int redirect_map(struct xdp_md* ctx) {
  struct ethhdr* eth = packet_start(ctx);

  if (!packet_has(eth, packet_end(ctx))) return XDP_DROP;
  count_one(&packets, 0);
  swap_macs(eth);
  return bpf_redirect_map(&tx_port, 0, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
