/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * What samples/bpf takes from kernel-internal headers: short type names, sparse annotations, byte order functions.
 * Put in front of every sample that does not include vmlinux.h, so that the samples build against the user headers
 * alone.
 */
#pragma once

#include <bpf/bpf_endian.h>
#include <linux/stddef.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <linux/udp.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

#ifndef __force
#define __force
#endif
#ifndef __bitwise
#define __bitwise
#endif

#ifndef __packed
#define __packed __attribute__((packed))
#endif

/* Numbers of the address families, as in linux/socket.h; fixed by the system call interface. */
#ifndef AF_INET
#define AF_INET 2
#define AF_INET6 10
#endif

/* The four bytes after the two addresses of a tagged frame (IEEE 802.1Q): tag, then the type of what follows. */
struct vlan_hdr {
  __be16 h_vlan_TCI;
  __be16 h_vlan_encapsulated_proto;
};

/* Older linux/stddef.h has no __struct_group: the same members, once named and once not. */
#ifndef __struct_group
#define __struct_group(tag, name, attributes, ...) \
  union {                                          \
    struct {                                       \
      __VA_ARGS__                                  \
    } attributes;                                  \
    struct tag {                                   \
      __VA_ARGS__                                  \
    } attributes name;                             \
  }
#endif

#define htons(x) bpf_htons(x)
#define ntohs(x) bpf_ntohs(x)
#define htonl(x) bpf_htonl(x)
#define ntohl(x) bpf_ntohl(x)
#define cpu_to_be32(x) bpf_htonl(x)

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define min(a, b)           \
  ({                        \
    __typeof__(a) a_ = (a); \
    __typeof__(b) b_ = (b); \
    a_ < b_ ? a_ : b_;      \
  })
#define max(a, b)           \
  ({                        \
    __typeof__(a) a_ = (a); \
    __typeof__(b) b_ = (b); \
    a_ > b_ ? a_ : b_;      \
  })

#define memcpy(to, from, size) __builtin_memcpy(to, from, size)
#define memset(to, byte, size) __builtin_memset(to, byte, size)
