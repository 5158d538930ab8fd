/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Token bucket per IPv4 source address: a packet costs one token, a source without tokens is dropped.
 *
 * Buckets are per CPU, so the limit holds per receive queue and needs no lock. Tokens are kept in billionths:
 * nanoseconds times tokens per second, without a division. With a rate of 0 the clock is neither read nor stored, so
 * that what the program does depends on its packets alone. */
#include "include/packet.h"

#define BILLION 1000000000ull
/* Idle time beyond this earns nothing; it keeps elapsed * rate below 2^64. */
#define MAX_ELAPSED_NS 0xffffffffull

struct limit {
  __u32 tokens_per_second;
  __u32 burst_tokens;
};

struct bucket {
  __u64 billionths;
  __u64 updated_ns;
};

enum { ADMITTED, REFUSED, NOT_IPV4, OUTCOMES };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct limit);
} limit SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
  __uint(max_entries, 16384);
  __type(key, __be32);
  __type(value, struct bucket);
} buckets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, OUTCOMES);
  __type(key, __u32);
  __type(value, __u64);
} outcomes SEC(".maps");

static __always_inline void refill(struct bucket* bucket, const struct limit* limit, __u64 now_ns) {
  __u64 full = limit->burst_tokens * BILLION;
  __u64 elapsed_ns = now_ns - bucket->updated_ns;

  if (elapsed_ns > MAX_ELAPSED_NS) elapsed_ns = MAX_ELAPSED_NS;
  __u64 earned = elapsed_ns * limit->tokens_per_second;
  /* burst * 10^9 < 2^62, so "full - billionths" cannot wrap unless the limit was lowered meanwhile. */
  if (bucket->billionths >= full || earned >= full - bucket->billionths)
    bucket->billionths = full;
  else
    bucket->billionths += earned;
  bucket->updated_ns = now_ns;
}

static __always_inline bool take_token(__be32 source, const struct limit* limit) {
  __u64 now_ns = limit->tokens_per_second ? bpf_ktime_get_ns() : 0;
  struct bucket* bucket = bpf_map_lookup_elem(&buckets, &source);

  if (!bucket) {
    if (!limit->burst_tokens) return false;
    struct bucket fresh = {.billionths = (limit->burst_tokens - 1) * BILLION, .updated_ns = now_ns};
    bpf_map_update_elem(&buckets, &source, &fresh, BPF_ANY);
    return true;
  }
  if (limit->tokens_per_second) refill(bucket, limit, now_ns);
  if (bucket->billionths < BILLION) return false;
  bucket->billionths -= BILLION;
  return true;
}

SEC("xdp")
int rate_limiter(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  __u32 zero = 0;

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) {
    count_one(&outcomes, NOT_IPV4);
    return XDP_PASS;
  }
  if (!packet_has(ip, end)) return XDP_DROP;

  struct limit* current = bpf_map_lookup_elem(&limit, &zero);
  if (!current) return XDP_ABORTED;
  bool admitted = take_token(ip->saddr, current);
  count_one(&outcomes, admitted ? ADMITTED : REFUSED);
  return admitted ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
