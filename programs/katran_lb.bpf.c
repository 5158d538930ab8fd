/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Layer-4 load balancer after the function of Katran: IPv4 and IPv6, TCP and UDP, in front of services that answer
 * directly.
 *
 * 1. Parse to a flow as the client sends it. ICMP errors about a flow are turned round, so that they reach the real
 * that serves it; echo requests are answered here.
 * 2. Find the VIP; without one the packet is the host's.
 * 3. Choose the real: the connection table if it knows the flow, else the ring entry at hash(flow), which is then
 * remembered. A TCP SYN never asks the table: a reused port must not reach a real that has left the ring.
 * 4. Push the tunnel header (IPv4 in IPv4, or anything in IPv6) and send the packet back through the next hop.
 *
 * Fragments and IPv4 options are dropped: their flow cannot be told. */
#include "include/balancer.h"
#include "include/icmp.h"

#include <linux/tcp.h>
#include <linux/udp.h>

/* Prime, so that reals spread evenly whatever the hash's structure. */
#define RING_SIZE 4093
#define NS_PER_SECOND 1000000000ull

/* A parse step either goes on or ends with a verdict. */
#define GO_ON (-1)

enum event {
  EVENT_RING,           /* real chosen by the ring */
  EVENT_TCP_SYN,        /* of those: TCP connection starts */
  EVENT_TCP_UNKNOWN,    /* of those: TCP packets in the middle of an unknown connection */
  EVENT_NOT_REMEMBERED, /* new connections over the limit */
  EVENT_ICMP_ERROR,     /* ICMP errors forwarded to a real */
  EVENT_ECHO,           /* echo requests answered */
  EVENT_BAD_REAL,       /* the ring named no usable real */
  EVENTS
};

struct packet {
  struct flow flow;
  __u16 bytes; /* of the IP packet */
  __u8 traffic_class;
  bool is_ipv6;
  bool is_syn;
  bool is_icmp;
};

struct new_connections {
  __u64 second_started_ns;
  __u64 count;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, MAX_VIPS* RING_SIZE);
  __type(key, __u32);
  __type(value, __u32);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, EVENTS);
  __type(key, __u32);
  __type(value, __u64);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct new_connections);
} new_connections SEC(".maps");

/* New connections remembered per second and CPU, so that a flood cannot empty the table; 0: no limit. Set before
 * loading. */
const volatile __u64 max_new_per_second = 0;

/* Mixes three words into one: the last part of Jenkins' lookup3 hash. */
static __always_inline __u32 mix(__u32 a, __u32 b, __u32 c) {
#define ROTATE(x, k) (((x) << (k)) | ((x) >> (32 - (k))))
  c = (c ^ b) - ROTATE(b, 14);
  a = (a ^ c) - ROTATE(c, 11);
  b = (b ^ a) - ROTATE(a, 25);
  c = (c ^ b) - ROTATE(b, 16);
  a = (a ^ c) - ROTATE(c, 4);
  b = (b ^ a) - ROTATE(a, 14);
  c = (c ^ b) - ROTATE(b, 24);
#undef ROTATE
  return c;
}

static __always_inline __u32 flow_hash(const struct packet* packet, bool with_source_port) {
  const struct flow* flow = &packet->flow;
  __u32 ports = flow->destination_port;
  if (with_source_port) ports |= (__u32)flow->source_port << 16;

  __u32 client = flow->source.v4;
  if (packet->is_ipv6) client = mix(flow->source.v6[0] ^ flow->source.v6[1], flow->source.v6[2], flow->source.v6[3]);
  return mix(client, ports, flow->protocol);
}

/* Ports of a TCP or UDP header; those of a packet quoted in an ICMP error (`turned`) change places. */
static __always_inline int parse_ports(struct packet* packet, void* transport, void* end, bool turned) {
  struct udphdr* ports = transport;

  if (packet->flow.protocol != IPPROTO_TCP && packet->flow.protocol != IPPROTO_UDP) return XDP_PASS;
  if (!packet_has(ports, end)) return XDP_DROP;
  packet->flow.source_port = turned ? ports->dest : ports->source;
  packet->flow.destination_port = turned ? ports->source : ports->dest;
  /* A quotation may end after the ports; only a whole TCP header shows its flags. */
  if (packet->flow.protocol == IPPROTO_TCP && !turned) {
    struct tcphdr* tcp = transport;
    if (!packet_has(tcp, end)) return XDP_DROP;
    packet->is_syn = tcp->syn;
  }
  return GO_ON;
}

static __always_inline int answer_echo_ipv4(struct ethhdr* eth, struct iphdr* ip, struct icmp_header* icmp) {
  __be32 client = ip->saddr;

  icmp->checksum =
      checksum_replace16(icmp->checksum, bpf_htons(ICMP_ECHO_REQUEST << 8), bpf_htons(ICMP_ECHO_REPLY << 8));
  icmp->type = ICMP_ECHO_REPLY;
  ip->check = checksum_replace16(ip->check, bpf_htons(ip->ttl << 8), bpf_htons(TUNNEL_TTL << 8));
  ip->ttl = TUNNEL_TTL;
  ip->saddr = ip->daddr;
  ip->daddr = client;
  swap_macs(eth);
  count_one(&events, EVENT_ECHO);
  return XDP_TX;
}

static __always_inline int answer_echo_ipv6(struct ethhdr* eth, struct ipv6hdr* ip6, struct icmp_header* icmp) {
  struct in6_addr client = ip6->saddr;

  icmp->checksum =
      checksum_replace16(icmp->checksum, bpf_htons(ICMPV6_ECHO_REQUEST << 8), bpf_htons(ICMPV6_ECHO_REPLY << 8));
  icmp->type = ICMPV6_ECHO_REPLY;
  ip6->hop_limit = TUNNEL_TTL;
  ip6->saddr = ip6->daddr;
  ip6->daddr = client;
  swap_macs(eth);
  count_one(&events, EVENT_ECHO);
  return XDP_TX;
}

static __always_inline int parse_icmp_ipv4(struct packet* packet, struct ethhdr* eth, struct iphdr* ip, void* end) {
  struct icmp_header* icmp = (void*)(ip + 1);
  struct iphdr* quoted = (void*)(icmp + 1);

  if (!packet_has(icmp, end)) return XDP_DROP;
  if (icmp->type == ICMP_ECHO_REQUEST && icmp->code == 0) return answer_echo_ipv4(eth, ip, icmp);
  if (icmp->type != ICMP_UNREACHABLE) return XDP_PASS;
  if (!packet_has(quoted, end) || quoted->ihl != 5) return XDP_DROP;
  packet->is_icmp = true;
  packet->flow.source.v4 = quoted->daddr;
  packet->flow.destination.v4 = quoted->saddr;
  packet->flow.protocol = quoted->protocol;
  return parse_ports(packet, quoted + 1, end, true);
}

static __always_inline int parse_ipv4(struct packet* packet, struct ethhdr* eth, void* end) {
  struct iphdr* ip = (void*)(eth + 1);

  if (!packet_has(ip, end)) return XDP_DROP;
  if (ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff)) return XDP_DROP;
  packet->bytes = bpf_ntohs(ip->tot_len);
  packet->traffic_class = ip->tos;
  if (ip->protocol == IPPROTO_ICMP) return parse_icmp_ipv4(packet, eth, ip, end);
  packet->flow.source.v4 = ip->saddr;
  packet->flow.destination.v4 = ip->daddr;
  packet->flow.protocol = ip->protocol;
  return parse_ports(packet, ip + 1, end, false);
}

static __always_inline int parse_icmp_ipv6(struct packet* packet, struct ethhdr* eth, struct ipv6hdr* ip6, void* end) {
  struct icmp_header* icmp = (void*)(ip6 + 1);
  struct ipv6hdr* quoted = (void*)(icmp + 1);

  if (!packet_has(icmp, end)) return XDP_DROP;
  if (icmp->type == ICMPV6_ECHO_REQUEST && icmp->code == 0) return answer_echo_ipv6(eth, ip6, icmp);
  if (icmp->type != ICMPV6_TOO_BIG && icmp->type != ICMPV6_UNREACHABLE) return XDP_PASS;
  if (!packet_has(quoted, end)) return XDP_DROP;
  packet->is_icmp = true;
  __builtin_memcpy(&packet->flow.source, &quoted->daddr, sizeof(quoted->daddr));
  __builtin_memcpy(&packet->flow.destination, &quoted->saddr, sizeof(quoted->saddr));
  packet->flow.protocol = quoted->nexthdr;
  return parse_ports(packet, quoted + 1, end, true);
}

static __always_inline int parse_ipv6(struct packet* packet, struct ethhdr* eth, void* end) {
  struct ipv6hdr* ip6 = (void*)(eth + 1);

  if (!packet_has(ip6, end)) return XDP_DROP;
  if (ip6->nexthdr == IPPROTO_FRAGMENT) return XDP_DROP;
  packet->is_ipv6 = true;
  packet->bytes = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
  packet->traffic_class = (__u8)(ip6->priority << 4) | ip6->flow_lbl[0] >> 4;
  if (ip6->nexthdr == IPPROTO_ICMPV6) return parse_icmp_ipv6(packet, eth, ip6, end);
  __builtin_memcpy(&packet->flow.source, &ip6->saddr, sizeof(ip6->saddr));
  __builtin_memcpy(&packet->flow.destination, &ip6->daddr, sizeof(ip6->daddr));
  packet->flow.protocol = ip6->nexthdr;
  return parse_ports(packet, ip6 + 1, end, false);
}

/* The VIP for exactly this port, or else the one for all ports. */
static __always_inline struct vip_info* find_vip(const struct flow* flow) {
  struct vip vip = {.address = flow->destination, .port = flow->destination_port, .protocol = (__u8)flow->protocol};

  struct vip_info* info = bpf_map_lookup_elem(&vips, &vip);
  if (info) return info;
  vip.port = 0;
  return bpf_map_lookup_elem(&vips, &vip);
}

/* True if one more connection may be remembered in this second. */
static __always_inline bool may_remember(__u64 now_ns) {
  __u32 zero = 0;

  if (!max_new_per_second) return true;
  struct new_connections* recent = bpf_map_lookup_elem(&new_connections, &zero);
  if (!recent) return false;
  if (now_ns - recent->second_started_ns > NS_PER_SECOND) {
    recent->second_started_ns = now_ns;
    recent->count = 0;
  }
  return ++recent->count <= max_new_per_second;
}

static __always_inline void remember(const struct packet* packet, __u32 real) {
  struct connection fresh = {.real = real};
  __u64 now_ns = udp_idle_ns || max_new_per_second ? bpf_ktime_get_ns() : 0;

  if (!may_remember(now_ns)) {
    count_one(&events, EVENT_NOT_REMEMBERED);
    return;
  }
  if (packet->flow.protocol == IPPROTO_UDP && udp_idle_ns) fresh.seen_ns = now_ns;
  bpf_map_update_elem(&connections, &packet->flow, &fresh, BPF_ANY);
}

/* The index of the real that serves the packet; the caller checks it. */
static __always_inline __u32 choose_real(const struct packet* packet, const struct vip_info* vip) {
  bool use_table = !(vip->flags & VIP_WITHOUT_CONNECTIONS);

  if (use_table && !packet->is_syn) {
    struct connection* known = bpf_map_lookup_elem(&connections, &packet->flow);
    if (known && (packet->flow.protocol != IPPROTO_UDP || udp_still_alive(known))) return known->real;
  }

  count_one(&events, EVENT_RING);
  if (packet->flow.protocol == IPPROTO_TCP) count_one(&events, packet->is_syn ? EVENT_TCP_SYN : EVENT_TCP_UNKNOWN);
  __u32 hash = flow_hash(packet, !(vip->flags & VIP_HASH_WITHOUT_SOURCE_PORT));
  __u32 slot = vip->number * RING_SIZE + hash % RING_SIZE;
  __u32* real = bpf_map_lookup_elem(&ring, &slot);
  if (!real) return MAX_REALS;
  /* An ICMP error is not the start of a connection. */
  if (use_table && !packet->is_icmp) remember(packet, *real);
  return *real;
}

static __always_inline int send_to_real(struct xdp_md* ctx, const struct packet* packet, const struct real* real) {
  __u32 zero = 0;
  const struct flow* flow = &packet->flow;

  struct next_hop* hop = bpf_map_lookup_elem(&next_hop, &zero);
  if (!hop) return XDP_ABORTED;
  if (!(real->flags & REAL_IPV6)) {
    return encapsulate_ipv4(ctx, hop->mac, tunnel_source_ipv4(flow->source.v4, flow->source_port), real->address.v4,
                            packet->bytes, IPPROTO_IPIP, packet->traffic_class)
               ? XDP_DROP
               : XDP_TX;
  }
  /* Outer source in the discard prefix 100::/64 (RFC 6666), the rest from the client. */
  __be32 source[4] = {bpf_htonl(0x01000000), 0, flow->source_port, flow->source.v6[0]};
  if (packet->is_ipv6) source[3] = flow->source.v6[2] ^ flow->source.v6[3];
  return encapsulate_ipv6(ctx, hop->mac, source, real->address.v6, packet->bytes,
                          packet->is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP, packet->traffic_class)
             ? XDP_DROP
             : XDP_TX;
}

SEC("xdp")
int katran_lb(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct packet packet = {};
  int verdict = XDP_PASS;

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) verdict = parse_ipv4(&packet, eth, end);
  if (eth->h_proto == bpf_htons(ETH_P_IPV6)) verdict = parse_ipv6(&packet, eth, end);
  if (verdict != GO_ON) return verdict;

  struct vip_info* vip = find_vip(&packet.flow);
  if (!vip) return XDP_PASS;
  __u32 number = vip->number;
  __u32 index = choose_real(&packet, vip);
  struct real* real = bpf_map_lookup_elem(&reals, &index);
  /* An all-zero entry is a real that was taken out; an IPv4 tunnel cannot carry an IPv6 packet here. */
  if (!real || !real->address.v4 || (packet.is_ipv6 && !(real->flags & REAL_IPV6))) {
    count_one(&events, EVENT_BAD_REAL);
    return XDP_DROP;
  }

  count_traffic(&vip_traffic, number, packet.bytes);
  count_traffic(&real_traffic, index, packet.bytes);
  if (packet.is_icmp) count_one(&events, EVENT_ICMP_ERROR);
  return send_to_real(ctx, &packet, real);
}

char _license[] SEC("license") = "Dual BSD/GPL";
