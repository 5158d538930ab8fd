/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Two programs: the user must choose. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp/one")
int first(struct xdp_md *ctx) { return XDP_DROP; }

SEC("xdp/two")
int second(struct xdp_md *ctx) { return XDP_TX; }

char _license[] SEC("license") = "GPL";
