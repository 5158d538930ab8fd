/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* For several workers at once: all of them touch the same entries of shared maps, and the result is the same in any
 * order. Every kind of map that a program can count in is there; entries are made by whoever comes first. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define KEYS 61

#define TABLE(name, kind, value_type) \
  struct {                            \
    __uint(type, kind);               \
    __uint(max_entries, 256);         \
    __type(key, __u32);               \
    __type(value, value_type);        \
  } name SEC(".maps")

TABLE(shared_array, BPF_MAP_TYPE_ARRAY, __u64);
TABLE(shared_hash, BPF_MAP_TYPE_HASH, __u64);
TABLE(shared_lru, BPF_MAP_TYPE_LRU_HASH, __u64);
TABLE(small_counters, BPF_MAP_TYPE_HASH, __u32);
TABLE(own_array, BPF_MAP_TYPE_PERCPU_ARRAY, __u64);
TABLE(own_hash, BPF_MAP_TYPE_PERCPU_HASH, __u64);
/* Entries that come and go: only whether a look-up crashes or finds somebody else's value matters; empty at the end. */
TABLE(coming_and_going, BPF_MAP_TYPE_HASH, __u64);

__u64 packets;

#define COUNT(map, key, zero, amount)                                  \
  do {                                                                 \
    void* value = bpf_map_lookup_elem(&map, &key);                     \
    if (!value) {                                                      \
      bpf_map_update_elem(&map, &key, &zero, BPF_NOEXIST);             \
      value = bpf_map_lookup_elem(&map, &key);                         \
    }                                                                  \
    if (value) __sync_fetch_and_add((__typeof__(zero)*)value, amount); \
  } while (0)

SEC("xdp")
int shared_state(struct xdp_md* ctx) {
  const unsigned char* data = (void*)(long)ctx->data;
  const unsigned char* end = (void*)(long)ctx->data_end;
  if (data + 14 > end) return XDP_ABORTED;
  __u64 length = end - data, zero = 0;
  __u32 small_zero = 0, key = (__u32)(data[5] * 31 + data[11] * 7 + length) % KEYS;

  __sync_fetch_and_add(&packets, 1);
  __u64* slot = bpf_map_lookup_elem(&shared_array, &key);
  if (slot) __sync_fetch_and_add(slot, length);
  COUNT(shared_hash, key, zero, length);
  COUNT(shared_lru, key, zero, 1);
  COUNT(small_counters, key, small_zero, 1);
  slot = bpf_map_lookup_elem(&own_array, &key);
  if (slot) *slot += length;
  COUNT(own_hash, key, zero, 1);

  __u64 stamp = 0x1122334455667788ull ^ key;
  bpf_map_update_elem(&coming_and_going, &key, &stamp, BPF_ANY);
  slot = bpf_map_lookup_elem(&coming_and_going, &key);
  /* Another worker may have deleted the element, and it may be another key's already; but it is always some key's. */
  if (slot && (*slot ^ 0x1122334455667788ull) >= KEYS) return XDP_ABORTED;
  bpf_map_delete_elem(&coming_and_going, &key);
  return key & 1 ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
