/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Calls a helper that exists, but not for XDP programs. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int call_wrong(struct xdp_md *ctx) { return bpf_skb_vlan_pop((void *)ctx); }

char _license[] SEC("license") = "GPL";
