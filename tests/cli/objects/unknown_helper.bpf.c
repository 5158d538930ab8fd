/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Calls a helper that no kernel has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

static long (*no_such_helper)(void) = (void *)9999;

SEC("xdp")
int call_unknown(struct xdp_md *ctx) { return no_such_helper(); }

char _license[] SEC("license") = "GPL";
