/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The verdict tells the receive queue and the ingress port: queue 7 transmits, port 3 drops, all else passes. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int context(struct xdp_md *ctx) {
  if (ctx->rx_queue_index == 7) return XDP_TX;
  if (ctx->ingress_ifindex == 3) return XDP_DROP;
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
