/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* As changepoint_fixed, but the packet carries the samples as IEEE 754 doubles, which are converted here: the machine
 * has no floating point. */
#include "include/changepoint.h"

#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define FRACTION_BITS 14
#define HIDDEN_BIT (1ULL << 31)
/* With the upper 32 bits of the mantissa, the hidden one among them, a shift to the right by (UNIT - exponent) leaves
 * the number. */
#define UNIT (31 + EXPONENT_BIAS - FRACTION_BITS)

/* trunc(sample * 2^14) of a double, given as its bits. Pre: it is zero or positive and below 65536. What is below 2^-14
 * gives 0 by `keep`, which is -1 or less for larger exponents; the shift would be too long. Its upper half also drops
 * the exponent above the mantissa, and shows that the number has 32 bits. barrier_var() holds clang back from making
 * branches of it. */
static __always_inline __u64 to_fixed(__u64 bits) {
  __u64 exponent = bits >> MANTISSA_BITS;
  __u64 keep = UNIT - 32 - exponent;
  barrier_var(keep);
  __u64 mantissa = ((bits >> (MANTISSA_BITS - 31)) | HIDDEN_BIT) & (keep >> 32);

  return mantissa >> ((UNIT - exponent) & 63);
}

SEC("xdp")
int changepoint_double(struct xdp_md* ctx) {
  struct changepoint_head* head = changepoint_open(ctx, 2 * CHANGEPOINT_WINDOW * sizeof(__u64));
  struct changepoint decision = {};

  if (!head) return XDP_PASS;
  const __u64* samples = (void*)(head + 1);
#pragma unroll
  for (int i = 0; i < CHANGEPOINT_WINDOW; ++i) changepoint_learn(&decision, to_fixed(samples[i]));
  changepoint_bound(&decision);
#pragma unroll
  for (int i = CHANGEPOINT_WINDOW; i < 2 * CHANGEPOINT_WINDOW; ++i) changepoint_test(&decision, to_fixed(samples[i]));
  head->tag = changepoint_verdict(&decision);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
