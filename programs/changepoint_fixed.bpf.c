/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Decides for a window of sixteen samples whether the series changes its state between the eighth and the ninth; the
 * packet carries the samples as 32-bit fixed-point numbers. The answer replaces the packet's tag; all packets pass. */
#include "include/changepoint.h"

SEC("xdp")
int changepoint_fixed(struct xdp_md* ctx) {
  struct changepoint_head* head = changepoint_open(ctx, 2 * CHANGEPOINT_WINDOW * sizeof(__u32));
  struct changepoint decision = {};

  if (!head) return XDP_PASS;
  const __u32* samples = (void*)(head + 1);
#pragma unroll
  for (int i = 0; i < CHANGEPOINT_WINDOW; ++i) changepoint_learn(&decision, samples[i]);
  changepoint_bound(&decision);
#pragma unroll
  for (int i = CHANGEPOINT_WINDOW; i < 2 * CHANGEPOINT_WINDOW; ++i) changepoint_test(&decision, samples[i]);
  head->tag = changepoint_verdict(&decision);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
