/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What every program needs to look at a packet: bounds, Ethernet, VLAN tags.
 *
 * Bounds are asked with packet_has(): "the whole object p points at lies in the packet". The comparison is the one
 * shape that every eBPF verifier recognises, so that later accesses through p need no further check. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10

/* True if *p (its whole type) ends at or before `end`. */
#define packet_has(p, end) ((void*)((p) + 1) <= (end))

/* One IEEE 802.1Q tag, as it stands after the two MAC addresses and the tag's own Ethertype. */
struct vlan_tag {
  __be16 control;
  __be16 next_protocol;
};

static __always_inline void* packet_start(const struct xdp_md* ctx) { return (void*)(long)ctx->data; }
static __always_inline void* packet_end(const struct xdp_md* ctx) { return (void*)(long)ctx->data_end; }

static __always_inline bool is_vlan(__be16 ethertype) {
  return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* A frame starts at an even address, so a MAC address moves as three 16-bit words; the compiler, who only sees bytes,
 * would take six. Pre: both pointers are even. */
static __always_inline void copy_mac(void* to, const void* from) {
  __u16* target = to;
  const __u16* source = from;

  target[0] = source[0];
  target[1] = source[1];
  target[2] = source[2];
}

static __always_inline void swap_macs(struct ethhdr* eth) {
  __u16 source[ETH_ALEN / 2];

  copy_mac(source, eth->h_source);
  copy_mac(eth->h_source, eth->h_dest);
  copy_mac(eth->h_dest, source);
}

/* Adds one to a per-CPU counter; an index outside the map counts nothing. */
static __always_inline void count_one(void* per_cpu_array, __u32 index) {
  __u64* counter = bpf_map_lookup_elem(per_cpu_array, &index);

  if (counter) *counter += 1;
}
