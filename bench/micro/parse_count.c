/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Parses to UDP or TCP and counts the packet on its flow, if the table has it; drops. */
#include "micro.h"

struct flow {
  __u32 source, destination;
  __u16 source_port, destination_port;
  __u32 protocol;
};

#if defined(__bpf__) && !defined(MICRO_FLAT)
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, struct flow);
  __type(value, __u64);
} flows SEC(".maps");
#define LOOKUP(key) bpf_map_lookup_elem(&flows, key)
#else
void* micro_lookup(const void* key);
#define LOOKUP(key) micro_lookup(key)
#endif

ENTRY(parse_count)(context* ctx) {
  unsigned char* data = DATA(ctx);
  unsigned char* end = DATA_END(ctx);
  struct ethhdr* ethernet = (void*)data;
  struct iphdr* ip = (void*)(ethernet + 1);
  __be16* ports = (void*)(ip + 1);
  if ((unsigned char*)(ports + 2) > end) return XDP_PASS;
  if (ethernet->h_proto != SWAP16(ETH_P_IP) || ip->version != 4 || ip->ihl != 5) return XDP_PASS;
  if (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_TCP) return XDP_PASS;
  struct flow key = {ip->saddr, ip->daddr, ports[0], ports[1], ip->protocol};
  __u64* count = LOOKUP(&key);
  if (!count) return XDP_PASS;
  *count += 1;
  return XDP_DROP;
}

LICENSE;
