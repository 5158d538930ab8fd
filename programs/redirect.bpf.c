/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Sends every packet out of one port, unchanged. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* Interface index of the port; set before the program is loaded. */
const volatile __u32 target_ifindex = 1;

SEC("xdp")
int redirect(struct xdp_md* ctx) {
  (void)ctx;
  return bpf_redirect(target_ifindex, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
