/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Uses a map type that the card lacks. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int look(struct xdp_md *ctx) {
  __u32 key = 0;
  return bpf_map_lookup_elem(&sockets, &key) ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
