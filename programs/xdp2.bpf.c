/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts packets by IP protocol (through up to two VLAN tags); sends UDP back to its sender and drops the rest. */
#include "include/ip_protocol.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u64);
} packets_by_protocol SEC(".maps");

SEC("xdp")
int xdp2(struct xdp_md* ctx) {
  void* data = packet_start(ctx);
  int protocol = frame_ip_protocol(data, packet_end(ctx));

  if (protocol == TRUNCATED_FRAME) return XDP_DROP;
  count_one(&packets_by_protocol, protocol);
  if (protocol != IPPROTO_UDP) return XDP_DROP;
  swap_macs(data);
  return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
