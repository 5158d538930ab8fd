/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Counts packets by IP protocol (through up to two VLAN tags) and drops them all. */
#include "include/ip_protocol.h"

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u64);
} packets_by_protocol SEC(".maps");

SEC("xdp")
int xdp1(struct xdp_md* ctx) {
  int protocol = frame_ip_protocol(packet_start(ctx), packet_end(ctx));

  if (protocol == TRUNCATED_FRAME) return XDP_DROP;
  count_one(&packets_by_protocol, protocol);
  return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
