/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Reads a handwritten digit: an 8x8 grey image in the packet, a small convolutional network in fixed point, and the
 * digit goes back into the packet (docs/digits.md).
 *
 *   image 8x8 -> KERNELS convolutions 5x5 -> ReLU -> maximum of each 2x2 -> 10 sums over all of them -> the largest
 *
 * The weights lie in a map with two sets, and `active` says which one counts. So the host can write the other set while
 * packets run and then switch with one store; a packet sees the old weights or the new ones, never a mixture, as long
 * as the host lets the packets of a switch end before it writes again. */
#include "include/packet.h"

#define DIGITS_OFFSET 42
#define DIGITS_MAGIC 0x2173746967696421ULL /* "!digits!" */
#define SIDE 8
#define KERNELS 8
#define KERNEL 5
#define POOLED 4 /* results of a convolution after pooling */
#define DIGITS 10
#define SHIFT 7 /* fraction bits of a weight; pooled results are brought back by as many */

enum digits_tag { DIGITS_OPEN = 0, DIGITS_READ = 1 };

struct digits_packet {
  __u64 magic;
  __u64 tag;
  __u8 image[SIDE * SIDE];
  __u32 digit;
  __s32 scores[DIGITS];
};

struct digits_weights {
  __s32 kernels[KERNELS][KERNEL * KERNEL];
  __s32 kernel_bias[KERNELS];
  __s32 digits[DIGITS][KERNELS * POOLED];
  __s32 digit_bias[DIGITS];
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct digits_weights);
} weights SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} active SEC(".maps");

/* The convolution at one place; `at` is its upper left pixel. */
static __always_inline __s32 convolve(const __u8* at, const __s32* kernel) {
  __s32 sum = 0;

#pragma unroll
  for (int y = 0; y < KERNEL; ++y) {
#pragma unroll
    for (int x = 0; x < KERNEL; ++x) {
      sum += at[y * SIDE + x] * kernel[y * KERNEL + x];
      barrier_var(sum); /* one product after the other: there are few registers */
    }
  }
  return sum;
}

/* All ones when a < b, else 0; a branch would double the verifier's paths at every place of the image. */
static __always_inline __s64 less(__s32 a, __s32 b) {
  __s64 difference = (__s64)a - b;

  barrier_var(difference);
  return difference >> 63;
}

SEC("xdp")
int digits(struct xdp_md* ctx) {
  struct digits_packet* packet = packet_start(ctx) + DIGITS_OFFSET;
  __u64 image[SIDE];
  __s32 pooled[KERNELS * POOLED];
  __u32 zero = 0;

  if (!packet_has(packet, packet_end(ctx))) return XDP_PASS;
  if (packet->magic != DIGITS_MAGIC || packet->tag != DIGITS_OPEN) return XDP_PASS;
  const __u32* set = bpf_map_lookup_elem(&active, &zero);
  if (!set) return XDP_PASS;
  __u32 chosen = *set & 1;
  const struct digits_weights* w = bpf_map_lookup_elem(&weights, &chosen);
  if (!w) return XDP_PASS;

  /* Places in the packet would have to be checked one by one; in the stack the verifier knows them. */
#pragma unroll
  for (int i = 0; i < SIDE; ++i) image[i] = ((const __u64*)packet->image)[i];
#pragma clang loop unroll(disable)
  for (__u32 k = 0; k < KERNELS; ++k) {
#pragma clang loop unroll(disable)
    for (__u32 p = 0; p < POOLED; ++p) {
      __s32 most = 0; /* ReLU: nothing is less */

#pragma clang loop unroll(disable)
      for (__u32 i = 0; i < 4; ++i) {
        __u32 place = ((p & 2) + (i >> 1)) * SIDE + (p & 1) * 2 + (i & 1);
        barrier_var(place); /* a number before it is a pointer, or clang would make bits of the address */
        __s32 sum = convolve((const __u8*)image + place, w->kernels[k]) + w->kernel_bias[k];

        most ^= (most ^ sum) & less(most, sum);
      }
      pooled[k * POOLED + p] = most >> SHIFT;
    }
  }
  __s32 best = -0x7fffffff - 1;
  __u32 digit = 0;
#pragma clang loop unroll(disable)
  for (__u32 d = 0; d < DIGITS; ++d) {
    __s32 score = w->digit_bias[d];

#pragma clang loop unroll(disable)
    for (__u32 i = 0; i < KERNELS * POOLED; ++i) score += pooled[i] * w->digits[d][i];
    packet->scores[d] = score;
    __s64 better = less(best, score); /* the first of equal scores wins */
    best ^= (best ^ score) & better;
    digit ^= (digit ^ d) & better;
  }
  packet->digit = digit;
  packet->tag = DIGITS_READ;
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
