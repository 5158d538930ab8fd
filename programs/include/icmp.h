/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* ICMP (RFC 792) and ICMPv6 (RFC 4443): the header both share, and the types the programs use.
 * <linux/icmp.h> drags the C library's socket headers in, which do not exist for this target. */
#pragma once

#include <linux/types.h>

struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  union {
    struct {
      __be16 identifier;
      __be16 sequence;
    } echo;
    struct {
      __be16 unused;
      __be16 mtu;
    } too_big;
  };
};

enum {
  ICMP_ECHO_REPLY = 0,
  ICMP_UNREACHABLE = 3,
  ICMP_ECHO_REQUEST = 8,
  ICMP_CODE_FRAGMENTATION_NEEDED = 4,

  ICMPV6_UNREACHABLE = 1,
  ICMPV6_TOO_BIG = 2,
  ICMPV6_ECHO_REQUEST = 128,
  ICMPV6_ECHO_REPLY = 129,
};
