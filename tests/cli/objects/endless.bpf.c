/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* A loop of ten million rounds: bounded, but over the limit of instructions visited. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int endless(struct xdp_md *ctx) {
  int sum = 0;
  for (int i = 0; i < 10000000; ++i) {
    asm volatile("%0 += 1" : "+r"(sum));
  }
  return sum & 1;
}

char _license[] SEC("license") = "GPL";
