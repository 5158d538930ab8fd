/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * A one's complement sum does not depend on byte order as long as all its terms are read the same way, so everything
 * here works on 16-bit words as they lie in the packet. */
#pragma once

#include <linux/ip.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/* The checksum field for a sum of 16-bit words that did not exceed 32 bits. Two rounds take every carry in. */
static __always_inline __u16 checksum_finish(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum += sum >> 16;
  return (__u16)~sum;
}

/* The two words of a 32-bit quantity, added. */
static __always_inline __u32 checksum_halves(__u32 value) { return (value & 0xffff) + (value >> 16); }

/* RFC 1624 equation 3: the new checksum field when one covered 16-bit word changes. */
static __always_inline __u16 checksum_replace16(__u16 checksum, __u16 from, __u16 to) {
  return checksum_finish((__u32)(__u16)~checksum + (__u16)~from + to);
}

/* As checksum_replace16() for a covered 32-bit quantity. */
static __always_inline __u16 checksum_replace32(__u16 checksum, __u32 from, __u32 to) {
  return checksum_finish((__u16)~checksum + checksum_halves(~from) + checksum_halves(to));
}

/* The checksum of a 20-byte IPv4 header whose check field is zero. */
static __always_inline __u16 ipv4_checksum(const struct iphdr* ip) {
  const __u16* word = (const __u16*)ip;
  __u32 sum = 0;

#pragma unroll
  for (int i = 0; i < (int)sizeof(*ip) / 2; i++) sum += word[i];
  return checksum_finish(sum);
}
