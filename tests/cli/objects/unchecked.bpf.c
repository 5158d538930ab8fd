/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Reads the packet without a look at its end. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int unchecked(struct xdp_md *ctx) {
  unsigned char *data = (void *)(long)ctx->data;
  return data[14] == 1 ? XDP_DROP : XDP_PASS; /* the line of the message */
}

char _license[] SEC("license") = "GPL";
