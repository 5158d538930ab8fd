/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* A program for traffic control, none for XDP. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int classify(struct __sk_buff *skb) { return 0; }

char _license[] SEC("license") = "GPL";
