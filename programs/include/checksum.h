/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A one's complement sum does not depend on byte order as long as all its terms are read the same way, so everything
 * here works on 16-bit words as they lie in the packet. */
#pragma once

#include <linux/ip.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* Folds the carries of a sum of less than 2^48 into 16 bits. Three rounds: 33 bits, 18 bits, 16 bits. */
static __always_inline __u16 checksum_carry(__u64 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)sum;
}

/* The checksum field for a sum of the covered words. */
static __always_inline __u16 checksum_finish(__u64 sum) { return (__u16)~checksum_carry(sum); }

/* RFC 1624 equation 3: the new checksum field when one covered 16-bit word changes. */
static __always_inline __u16 checksum_replace16(__u16 checksum, __u16 from, __u16 to) {
  return checksum_finish((__u64)(__u16)~checksum + (__u16)~from + to);
}

/* As checksum_replace16() for a 32-bit word and a 16-bit word at once (an address and its port). */
static __always_inline __u16 checksum_replace48(__u16 checksum, __u32 from32, __u32 to32, __u16 from16, __u16 to16) {
  __u64 sum = (__u16)~checksum;

  sum += (__u64)(__u32)~from32 + to32;
  sum += (__u64)(__u16)~from16 + to16;
  return checksum_finish(sum);
}

/* The checksum of a 20-byte IPv4 header whose check field is zero. */
static __always_inline __u16 ipv4_checksum(const struct iphdr* ip) {
  const __u16* word = (const __u16*)ip;
  __u64 sum = 0;

#pragma unroll
  for (int i = 0; i < (int)sizeof(*ip) / 2; i++) sum += word[i];
  return checksum_finish(sum);
}
