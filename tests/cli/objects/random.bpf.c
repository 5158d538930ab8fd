/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Drops or passes by chance, so that two engines disagree. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int random_verdict(struct xdp_md *ctx) { return XDP_DROP + (bpf_get_prandom_u32() & 1); }

char _license[] SEC("license") = "GPL";
