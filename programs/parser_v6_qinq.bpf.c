/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Walks VLAN tags (802.1Q and QinQ) and IPv6 extension headers to the transport protocol; counts by protocol and by
 * depth.
 *
 * Frames that end inside a header, and chains longer than any sane sender makes, are dropped; all else passes. A
 * fragment other than the first has no transport header: it counts under protocol 44 (fragment). */
#include "include/packet.h"

#define MAX_TAGS 2
#define MAX_EXTENSIONS 8

struct traffic {
  __u64 packets;
  __u64 bytes;
};

struct extension {
  __u8 next;
  __u8 length; /* in 8 bytes beyond the first 8; authentication header: in 4 bytes beyond the first 8 */
};

struct fragment {
  __u8 next;
  __u8 reserved;
  __be16 offset_and_flags;
  __be32 identification;
};

enum { MALFORMED, TOO_DEEP, NOT_IPV6, REASONS };

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, struct traffic);
} by_protocol SEC(".maps");

/* Index: tags * (MAX_EXTENSIONS + 1) + extension headers. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, (MAX_TAGS + 1) * (MAX_EXTENSIONS + 1));
  __type(key, __u32);
  __type(value, __u64);
} by_depth SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, REASONS);
  __type(key, __u32);
  __type(value, __u64);
} not_parsed SEC(".maps");

struct walk {
  void* at;
  __u32 depth;
  __u8 protocol;
};

/* Skips VLAN tags; the walk then stands behind the last one. Returns the Ethertype, -1 if a tag is cut off. */
static __always_inline int skip_tags(struct walk* walk, void* end, __be16 ethertype) {
#pragma unroll
  for (int i = 0; i < MAX_TAGS; i++) {
    if (!is_vlan(ethertype)) break;
    struct vlan_tag* tag = walk->at;
    if (!packet_has(tag, end)) return -1;
    ethertype = tag->next_protocol;
    walk->at = tag + 1;
    walk->depth++;
  }
  return ethertype;
}

/* Skips extension headers from the protocol given in the walk. Returns 0, or a reason + 1 why it could not. */
static __always_inline int skip_extensions(struct walk* walk, void* end) {
  for (int i = 0; i <= MAX_EXTENSIONS; i++) {
    struct extension* header = walk->at;
    __u32 bytes;

    switch (walk->protocol) {
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
      case IPPROTO_MH:
        if (!packet_has(header, end)) return MALFORMED + 1;
        bytes = (header->length + 1u) * 8;
        break;
      case IPPROTO_AH:
        if (!packet_has(header, end)) return MALFORMED + 1;
        bytes = (header->length + 2u) * 4;
        break;
      case IPPROTO_FRAGMENT: {
        struct fragment* fragment = walk->at;
        if (!packet_has(fragment, end)) return MALFORMED + 1;
        if (fragment->offset_and_flags & bpf_htons(0xfff8)) return 0;
        bytes = sizeof(*fragment);
        break;
      }
      default:
        return 0;
    }
    if (walk->at + bytes > end) return MALFORMED + 1;
    walk->protocol = header->next;
    walk->at += bytes;
    walk->depth++;
  }
  return TOO_DEEP + 1;
}

static __always_inline int refuse(__u32 reason) {
  count_one(&not_parsed, reason);
  return reason == NOT_IPV6 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int parser_v6_qinq(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct walk walk = {.at = eth + 1};

  if (!packet_has(eth, end)) return refuse(MALFORMED);
  int ethertype = skip_tags(&walk, end, eth->h_proto);
  if (ethertype < 0) return refuse(MALFORMED);
  if (ethertype != bpf_htons(ETH_P_IPV6)) return refuse(NOT_IPV6);
  __u32 tags = walk.depth;

  struct ipv6hdr* ip6 = walk.at;
  if (!packet_has(ip6, end) || ip6->version != 6) return refuse(MALFORMED);
  walk = (struct walk){.at = ip6 + 1, .protocol = ip6->nexthdr};
  int failure = skip_extensions(&walk, end);
  if (failure) return refuse(failure - 1);

  __u32 protocol = walk.protocol;
  struct traffic* traffic = bpf_map_lookup_elem(&by_protocol, &protocol);
  if (!traffic) return XDP_ABORTED;
  traffic->packets++;
  traffic->bytes += (__u64)(end - packet_start(ctx));
  count_one(&by_depth, tags * (MAX_EXTENSIONS + 1) + walk.depth);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
