/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Drops every packet: what the path around the program costs. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int drop(struct xdp_md* ctx) {
  (void)ctx;
  return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
