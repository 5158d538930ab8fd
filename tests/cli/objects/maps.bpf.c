/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* One map of each kind that --map and --dump-maps treat in its own way. Every packet adds one to the counters, and the
 * element with key `chosen` of `table`, if there, says the verdict. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

enum colour { RED = 1, GREEN = 2 };

struct entry {
  __u32 verdict;
  __s16 signed_number;
  enum colour colour;
  __u8 address[4];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2);
  __type(key, __u32);
  __type(value, struct entry);
} table SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

const volatile __u32 chosen = 5;
__u64 packets;

SEC("xdp")
int use_maps(struct xdp_md *ctx) {
  __u32 zero = 0;
  __u64 *counter = bpf_map_lookup_elem(&counters, &zero);
  if (counter) ++*counter;
  ++packets;
  __u32 key = chosen;
  struct entry *entry = bpf_map_lookup_elem(&table, &key);
  return entry ? entry->verdict : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
