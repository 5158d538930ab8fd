/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The ones' complement sum of the 25 16-bit words behind the Ethernet header, word by word in a loop. */
#include "micro.h"

ENTRY(checksum)(context* ctx) {
  unsigned char* data = DATA(ctx);
  unsigned char* end = DATA_END(ctx);
  if (data + ETH_HLEN + 50 > end) return XDP_PASS;
  __u16* words = (void*)(data + ETH_HLEN);
  __u32 sum = 0;
#ifdef MICRO_FLAT
#pragma clang loop unroll(full)
#else
#pragma clang loop unroll(disable) vectorize(disable)
#endif
  for (int i = 0; i < 25; ++i) sum += words[i];
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff ? XDP_TX : XDP_DROP;
}

LICENSE;
