/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The change-point decision on a packet that carries both windows (docs/changepoint.md).
 *
 * Everything on the wire is little-endian and, behind the 42 bytes of Ethernet, IPv4 and UDP, not aligned; the machines
 * that run XDP programs take such accesses. Samples are positive fixed-point numbers with 14 fraction bits. */
#pragma once

#include "packet.h"

#define CHANGEPOINT_OFFSET 42
#define CHANGEPOINT_MAGIC 0x216C7174786A7A21ULL /* "!zjxtql!" */
#define CHANGEPOINT_WINDOW 8
#define CHANGEPOINT_EPSILON 1638            /* 0.1, rounded down */
#define CHANGEPOINT_EPSILON_SQUARED 2684191 /* as deployed with the first programs; 0.01 would be 2684355 */

enum changepoint_tag {
  CHANGEPOINT_OPEN = 0, /* the sender's: decide */
  CHANGEPOINT_SPLIT = 1,
  CHANGEPOINT_NO_SPLIT = 2,
};

struct changepoint_head {
  __u64 magic;
  __u64 tag;
};

/* The packet's change-point part when it is complete with `bytes` of samples and waits for a decision, else null. */
static __always_inline struct changepoint_head* changepoint_open(const struct xdp_md* ctx, __u32 bytes) {
  struct changepoint_head* head = packet_start(ctx) + CHANGEPOINT_OFFSET;

  if ((void*)(head + 1) + bytes > packet_end(ctx)) return NULL;
  if (head->magic != CHANGEPOINT_MAGIC || head->tag != CHANGEPOINT_OPEN) return NULL;
  return head;
}

/* The decision takes one sample after the other; barrier_var() keeps it so, for ten registers hold the sums and a
 * sample, but not sixteen samples. */
struct changepoint {
  __u64 sum;
  __u64 sum_of_squares; /* eight squares of samples below 2^30 fit */
  __u64 low, high;      /* samples from low to high are near the mean */
  __u64 far;            /* samples that are not */
};

/* A sample of the first window. */
static __always_inline void changepoint_learn(struct changepoint* c, __u64 sample) {
  c->sum += sample;
  c->sum_of_squares += sample * sample;
  barrier_var(c->sum_of_squares);
}

/* Between the two windows. */
static __always_inline void changepoint_bound(struct changepoint* c) {
  __u64 mean = c->sum / CHANGEPOINT_WINDOW;

  c->low = mean - (CHANGEPOINT_EPSILON - 1);
  c->high = mean + (CHANGEPOINT_EPSILON - 1);
  barrier_var(c->low);
  barrier_var(c->high);
}

/* A sample of the second window. Far is |sample - mean| >= epsilon, told without a branch: one of the two differences
 * is negative. */
static __always_inline void changepoint_test(struct changepoint* c, __u64 sample) {
  c->far += ((sample - c->low) | (c->high - sample)) >> 63;
  barrier_var(c->far);
}

/* Chebyshev's inequality without a division: split when far / 8 > variance / epsilon^2. The comparison is a sign, too,
 * so that every packet takes the same time: `bound` is far below 2^63, so `scatter` is smaller when the difference is
 * negative and it is not itself beyond 2^63. The barriers keep both products as they are written, of numbers below
 * 2^32: some cards have no others. */
static __always_inline __u64 changepoint_verdict(const struct changepoint* c) {
  __u64 mean = c->sum / CHANGEPOINT_WINDOW;
  __u64 variance = c->sum_of_squares / CHANGEPOINT_WINDOW - mean * mean;
  __u64 bound = c->far * CHANGEPOINT_EPSILON_SQUARED;

  barrier_var(variance);
  barrier_var(bound);
  __u64 scatter = variance * CHANGEPOINT_WINDOW;
  __u64 difference = scatter - bound;

  barrier_var(difference);
  return CHANGEPOINT_NO_SPLIT - ((difference & ~scatter) >> 63);
}
