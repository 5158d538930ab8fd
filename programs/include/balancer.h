/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Tables of the layer-4 load balancers katran_lb and katran_min, after the function of Katran.
 *
 * A virtual service (VIP) is (address, port, protocol). Each has a number, which selects its part of the
 * consistent-hashing ring and its counters. A real is a server behind it, named by its index in `reals`. Packets reach
 * the real in an IP-in-IP tunnel through one next hop; the real answers the client directly. */
#pragma once

#include "encapsulate.h"
#include "packet.h"

#define MAX_VIPS 64
#define MAX_REALS 512

struct address {
  union {
    __be32 v4;
    __be32 v6[4];
  };
};

struct vip {
  struct address address;
  __be16 port; /* 0: every port that has no entry of its own */
  __u8 protocol;
  __u8 unused;
};

enum vip_flags {
  VIP_HASH_WITHOUT_SOURCE_PORT = 1u << 0, /* all connections of a client go to one real */
  VIP_WITHOUT_CONNECTIONS = 1u << 1,      /* the ring alone decides; nothing is remembered */
};

struct vip_info {
  __u32 flags;
  __u32 number;
};

/* As the client sends it. */
struct flow {
  struct address source;
  struct address destination;
  __be16 source_port;
  __be16 destination_port;
  __u32 protocol;
};

struct connection {
  __u32 real;
  __u32 unused;
  __u64 seen_ns; /* UDP only, and only if udp_idle_ns is set */
};

enum real_flags { REAL_IPV6 = 1u << 0 };

struct real {
  struct address address;
  __u32 flags;
};

struct traffic {
  __u64 packets;
  __u64 bytes;
};

struct next_hop {
  __u8 mac[ETH_ALEN];
  __u8 unused[2];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, MAX_VIPS);
  __type(key, struct vip);
  __type(value, struct vip_info);
} vips SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 65536);
  __type(key, struct flow);
  __type(value, struct connection);
} connections SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_REALS);
  __type(key, __u32);
  __type(value, struct real);
} reals SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct next_hop);
} next_hop SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, MAX_VIPS);
  __type(key, __u32);
  __type(value, struct traffic);
} vip_traffic SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, MAX_REALS);
  __type(key, __u32);
  __type(value, struct traffic);
} real_traffic SEC(".maps");

/* A UDP flow without packets for this long is forgotten; 0: never, and the clock is not read. Set before loading. */
const volatile __u64 udp_idle_ns = 0;

static __always_inline void count_traffic(void* per_cpu_array, __u32 index, __u64 bytes) {
  struct traffic* traffic = bpf_map_lookup_elem(per_cpu_array, &index);

  if (!traffic) return;
  traffic->packets++;
  traffic->bytes += bytes;
}

/* True if the UDP connection is still alive; notes that it was seen now. */
static __always_inline bool udp_still_alive(struct connection* connection) {
  if (!udp_idle_ns) return true;
  __u64 now_ns = bpf_ktime_get_ns();
  if (now_ns - connection->seen_ns > udp_idle_ns) return false;
  connection->seen_ns = now_ns;
  return true;
}

/* Outer source 172.16.x.y, where x.y depends on the flow: receivers spread tunnels over queues by outer address. */
static __always_inline __be32 tunnel_source_ipv4(__be32 client, __be16 client_port) {
  /* The low half of an address comes last in memory, which is the high half of the little-endian word. */
  __u32 mixed = bpf_htonl(0x0000ffff) & (client ^ (client << 16) ^ ((__u32)client_port << 16));

  return bpf_htonl(0xac100000) | mixed;
}
