/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* From the start of the frame to the protocol number of what IP carries, through at most two VLAN tags. */
#pragma once

#include "packet.h"

/* No frame to speak of: the Ethernet header or a VLAN tag is cut off. */
#define TRUNCATED_FRAME (-1)

/* The IPv4 protocol or IPv6 next-header field; 0 if the packet is not IP or its IP header is cut off. */
static __always_inline int ip_protocol(void* network, void* end, __be16 ethertype) {
  if (ethertype == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = network;
    return packet_has(ip, end) ? ip->protocol : 0;
  }
  if (ethertype == bpf_htons(ETH_P_IPV6)) {
    struct ipv6hdr* ip6 = network;
    return packet_has(ip6, end) ? ip6->nexthdr : 0;
  }
  return 0;
}

/* As ip_protocol(), from the Ethernet header on; TRUNCATED_FRAME if there is not even an Ethertype. */
static __always_inline int frame_ip_protocol(void* data, void* end) {
  struct ethhdr* eth = data;
  if (!packet_has(eth, end)) return TRUNCATED_FRAME;

  void* network = eth + 1;
  __be16 ethertype = eth->h_proto;
#pragma unroll
  for (int depth = 0; depth < 2; depth++) {
    if (!is_vlan(ethertype)) break;
    struct vlan_tag* tag = network;
    if (!packet_has(tag, end)) return TRUNCATED_FRAME;
    ethertype = tag->next_protocol;
    network = tag + 1;
  }
  return ip_protocol(network, end, ethertype);
}
