/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* IPv4 and IPv6 outer headers for IP-in-IP tunnels (RFC 2003, RFC 2473), pushed before the inner IP header.
 *
 * Both functions move the Ethernet header to the new front. Pre: the packet starts with an Ethernet header without VLAN
 * tag, followed by the inner IP packet of `inner_bytes` bytes. They invalidate all packet pointers. Return 0, or -1 if
 * there is no headroom or the packet is shorter than its headers; it may be changed then and must be dropped. */
#pragma once

#include "checksum.h"
#include "packet.h"

#define TUNNEL_TTL 64

/* The new Ethernet header: sent by who received the packet, to `next_hop`. */
static __always_inline void write_outer_ethernet(struct ethhdr* eth, const struct ethhdr* old, const void* next_hop,
                                                 __u16 ethertype) {
  copy_mac(eth->h_source, old->h_dest);
  copy_mac(eth->h_dest, next_hop);
  eth->h_proto = bpf_htons(ethertype);
}

static __always_inline int encapsulate_ipv4(struct xdp_md* ctx, const void* next_hop, __be32 source, __be32 destination,
                                            __u16 inner_bytes, __u8 inner_protocol, __u8 tos) {
  if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr))) return -1;

  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct ethhdr* old = (void*)(eth) + sizeof(struct iphdr);
  if (!packet_has(ip, end) || !packet_has(old, end)) return -1;

  write_outer_ethernet(eth, old, next_hop, ETH_P_IP);
  ip->version = 4;
  ip->ihl = 5;
  ip->tos = tos;
  ip->tot_len = bpf_htons(inner_bytes + sizeof(*ip));
  ip->id = 0;
  ip->frag_off = 0;
  ip->ttl = TUNNEL_TTL;
  ip->protocol = inner_protocol;
  ip->check = 0;
  ip->saddr = source;
  ip->daddr = destination;
  ip->check = ipv4_checksum(ip);
  return 0;
}

/* `traffic_class` is the 8-bit field; source and destination point to four 32-bit words each. */
static __always_inline int encapsulate_ipv6(struct xdp_md* ctx, const void* next_hop, const __be32* source,
                                            const __be32* destination, __u16 inner_bytes, __u8 inner_protocol,
                                            __u8 traffic_class) {
  if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ipv6hdr))) return -1;

  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct ipv6hdr* ip6 = (void*)(eth + 1);
  struct ethhdr* old = (void*)(eth) + sizeof(struct ipv6hdr);
  if (!packet_has(ip6, end) || !packet_has(old, end)) return -1;

  write_outer_ethernet(eth, old, next_hop, ETH_P_IPV6);
  ip6->version = 6;
  ip6->priority = traffic_class >> 4;
  ip6->flow_lbl[0] = (__u8)(traffic_class << 4);
  ip6->flow_lbl[1] = 0;
  ip6->flow_lbl[2] = 0;
  ip6->payload_len = bpf_htons(inner_bytes);
  ip6->nexthdr = inner_protocol;
  ip6->hop_limit = TUNNEL_TTL;
  __builtin_memcpy(&ip6->saddr, source, sizeof(ip6->saddr));
  __builtin_memcpy(&ip6->daddr, destination, sizeof(ip6->daddr));
  return 0;
}
