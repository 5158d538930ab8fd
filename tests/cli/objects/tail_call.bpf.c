/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Hands packets to another program, which the hXDP card cannot. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, __u32);
} programs SEC(".maps");

SEC("xdp")
int tail_call(struct xdp_md* ctx) {
  bpf_tail_call(ctx, &programs, 1);
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
