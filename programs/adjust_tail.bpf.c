/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Answers IPv4 packets that are too long with ICMP "fragmentation needed" (RFC 1191), built in place.
 *
 * The packet is cut to what RFC 792 wants quoted, and a new IPv4 and ICMP header are pushed before it:
 *   [new Ethernet 14][new IPv4 20][ICMP 8][the first 84 bytes of the packet from its IPv4 header on]
 * Everything else passes to the host. */
#include "include/checksum.h"
#include "include/icmp.h"
#include "include/packet.h"

#define QUOTED_FRAME 98 /* Ethernet header and 84 quoted bytes */
#define PUSHED (int)(sizeof(struct iphdr) + sizeof(struct icmp_header))
#define ICMP_LENGTH (int)(sizeof(struct icmp_header) + QUOTED_FRAME - sizeof(struct ethhdr))
#define ANSWER_TTL 64

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} answers_sent SEC(".maps");

/* Longest frame let through, Ethernet header included. */
const volatile __u32 max_frame_bytes = 600;

static __always_inline void count_answer(void) {
  __u32 zero = 0;
  __u64* sent = bpf_map_lookup_elem(&answers_sent, &zero);

  if (sent) __sync_fetch_and_add(sent, 1);
}

/* Writes the three new headers. Pre: the frame is cut to QUOTED_FRAME bytes and starts with its Ethernet header. */
static __always_inline int answer_too_big(struct xdp_md* ctx) {
  if (bpf_xdp_adjust_head(ctx, -PUSHED)) return XDP_DROP;

  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct icmp_header* icmp = (void*)(ip + 1);
  struct iphdr* quoted = (void*)(icmp + 1);
  struct ethhdr* old_eth = (void*)eth + PUSHED;
  if ((void*)icmp + ICMP_LENGTH > end) return XDP_DROP;

  /* First of all: the ICMP header will be written over the old Ethernet header. */
  copy_mac(eth->h_dest, old_eth->h_source);
  copy_mac(eth->h_source, old_eth->h_dest);
  eth->h_proto = bpf_htons(ETH_P_IP);

  icmp->type = ICMP_UNREACHABLE;
  icmp->code = ICMP_CODE_FRAGMENTATION_NEEDED;
  icmp->checksum = 0;
  icmp->too_big.unused = 0;
  icmp->too_big.mtu = bpf_htons(max_frame_bytes - sizeof(*eth));
  icmp->checksum = checksum_finish(bpf_csum_diff(0, 0, (__be32*)icmp, ICMP_LENGTH, 0));

  ip->version = 4;
  ip->ihl = 5;
  ip->tos = 0;
  ip->tot_len = bpf_htons(sizeof(*ip) + ICMP_LENGTH);
  ip->id = 0;
  ip->frag_off = bpf_htons(0x4000); /* do not fragment */
  ip->ttl = ANSWER_TTL;
  ip->protocol = IPPROTO_ICMP;
  ip->check = 0;
  ip->saddr = quoted->daddr;
  ip->daddr = quoted->saddr;
  ip->check = checksum_finish(bpf_csum_diff(0, 0, (__be32*)ip, sizeof(*ip), 0));

  count_answer();
  return XDP_TX;
}

SEC("xdp")
int adjust_tail(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  int bytes = end - (void*)eth;

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
  if (bytes <= (int)max_frame_bytes || bytes <= QUOTED_FRAME) return XDP_PASS;
  if (bpf_xdp_adjust_tail(ctx, QUOTED_FRAME - bytes)) return XDP_PASS;
  return answer_too_big(ctx);
}

char _license[] SEC("license") = "Dual BSD/GPL";
