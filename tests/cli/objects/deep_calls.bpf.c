/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Nine frames, where eight are allowed. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define LEVEL(name, next) \
  static __attribute__((noinline)) int name(struct xdp_md *ctx) { return next(ctx) + ctx->rx_queue_index; }

static __attribute__((noinline)) int level8(struct xdp_md *ctx) { return ctx->ingress_ifindex; }
LEVEL(level7, level8)
LEVEL(level6, level7)
LEVEL(level5, level6)
LEVEL(level4, level5)
LEVEL(level3, level4)
LEVEL(level2, level3)
LEVEL(level1, level2)

SEC("xdp")
int deep(struct xdp_md *ctx) { return level1(ctx) & 1; }

char _license[] SEC("license") = "GPL";
