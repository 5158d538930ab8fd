/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* One source, three targets: an XDP program; the same function compiled for the host, which is the limit for every
 * compiler of the program; and, with MICRO_FLAT, what DPDK's librte_bpf takes, whose argument is the frame itself, of
 * 64 bytes (so no bounds are left to check), and which has neither maps nor loops. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/types.h>

#ifdef __bpf__
#include <bpf/bpf_helpers.h>

#ifdef MICRO_FLAT
typedef unsigned char context;
#define DATA(ctx) (ctx)
#define DATA_END(ctx) ((ctx) + 64)
#else
typedef struct xdp_md context;
#define DATA(ctx) ((unsigned char*)(long)(ctx)->data)
#define DATA_END(ctx) ((unsigned char*)(long)(ctx)->data_end)
#endif
#define ENTRY(name) SEC("xdp") int name
#define LICENSE char _license[] SEC("license") = "Dual BSD/GPL"
#else
typedef struct {
  unsigned char* data;
  unsigned char* data_end;
} context;
#define DATA(ctx) ((ctx)->data)
#define DATA_END(ctx) ((ctx)->data_end)
#define ENTRY(name) int name
#define LICENSE struct no_license
#endif

#define SWAP16(x) __builtin_bswap16(x)
