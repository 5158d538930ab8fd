/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Parses Ethernet and IPv4; drops UDP, passes the rest. */
#include "micro.h"

ENTRY(parse_drop)(context* ctx) {
  unsigned char* data = DATA(ctx);
  unsigned char* end = DATA_END(ctx);
  struct ethhdr* ethernet = (void*)data;
  struct iphdr* ip = (void*)(ethernet + 1);
  if ((unsigned char*)(ip + 1) > end) return XDP_PASS;
  if (ethernet->h_proto != SWAP16(ETH_P_IP) || ip->version != 4) return XDP_PASS;
  return ip->protocol == IPPROTO_UDP ? XDP_DROP : XDP_PASS;
}

LICENSE;
