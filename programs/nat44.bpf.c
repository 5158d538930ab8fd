/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Source NAT for IPv4 (RFC 3022): TCP, UDP and ICMP echo of an interior network behind one external address.
 *
 * Mappings do not depend on the remote side (RFC 4787 REQ-1). A new mapping takes an external port (for ICMP: an
 * identifier) from a queue of free ones that the host fills, and to which it returns those it expires. Rewritten
 * packets pass to the host, which routes them. Packets from outside without a mapping, and new mappings when no port is
 * free, are dropped; so are fragments, whose ports cannot be known, and IPv4 options. Everything that is not translated
 * passes unchanged. */
#include "include/checksum.h"
#include "include/icmp.h"
#include "include/packet.h"

#include <linux/tcp.h>
#include <linux/udp.h>

struct configuration {
  __be32 external_address;
  __u32 interior_ifindex;
};

/* One side of a mapping. For ICMP echo the port is the identifier. */
struct endpoint {
  __be32 address; /* 0 in the key of the external side: there is but one */
  __be16 port;
  __u16 protocol;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct configuration);
} configuration SEC(".maps");

/* Interior endpoint to external endpoint, and back. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32768);
  __type(key, struct endpoint);
  __type(value, struct endpoint);
} outbound SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 32768);
  __type(key, struct endpoint);
  __type(value, struct endpoint);
} inbound SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 32768);
  __type(value, __be16);
} free_ports SEC(".maps");

enum outcome { TRANSLATED_OUT, TRANSLATED_IN, NEW_MAPPING, NO_FREE_PORT, UNSOLICITED, OUTCOMES };

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, OUTCOMES);
  __type(key, __u32);
  __type(value, __u64);
} outcomes SEC(".maps");

/* The ports of a packet that leaves (`outward`) or arrives; for ICMP the identifier stands for both. Returns GO_ON, or
 * the verdict for a packet that is cut off (DROP) or of a kind that is not translated (PASS). */
#define GO_ON (-1)

static __always_inline int read_ports(struct iphdr* ip, void* end, bool outward, __be16* source, __be16* destination) {
  struct icmp_header* icmp = (void*)(ip + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  struct udphdr* udp = (void*)(ip + 1);

  switch (ip->protocol) {
    case IPPROTO_TCP:
      if (!packet_has(tcp, end)) return XDP_DROP;
      *source = tcp->source;
      *destination = tcp->dest;
      return GO_ON;
    case IPPROTO_UDP:
      if (!packet_has(udp, end)) return XDP_DROP;
      *source = udp->source;
      *destination = udp->dest;
      return GO_ON;
    case IPPROTO_ICMP:
      if (!packet_has(icmp, end)) return XDP_DROP;
      if (icmp->type != (outward ? ICMP_ECHO_REQUEST : ICMP_ECHO_REPLY)) return XDP_PASS;
      *source = *destination = icmp->echo.identifier;
      return GO_ON;
    default:
      return XDP_PASS;
  }
}

/* A transport checksum that covers a port and, through the pseudo header, an address, when both change. */
static __always_inline __u16 replace_endpoint(__u16 checksum, __be32 address, __be32 new_address, __be16 port,
                                              __be16 new_port) {
  return checksum_replace16(checksum_replace32(checksum, address, new_address), port, new_port);
}

/* Replaces the source (`outward`) or destination endpoint and brings the checksums up to date. */
static __always_inline int translate(struct iphdr* ip, void* end, bool outward, const struct endpoint* to) {
  __be32 address = outward ? ip->saddr : ip->daddr;

  if (ip->protocol == IPPROTO_TCP) {
    struct tcphdr* tcp = (void*)(ip + 1);
    if (!packet_has(tcp, end)) return XDP_DROP;
    __be16* port = outward ? &tcp->source : &tcp->dest;
    tcp->check = replace_endpoint(tcp->check, address, to->address, *port, to->port);
    *port = to->port;
  } else if (ip->protocol == IPPROTO_UDP) {
    struct udphdr* udp = (void*)(ip + 1);
    if (!packet_has(udp, end)) return XDP_DROP;
    __be16* port = outward ? &udp->source : &udp->dest;
    if (udp->check) { /* 0: the sender computed none */
      __u16 checksum = replace_endpoint(udp->check, address, to->address, *port, to->port);
      udp->check = checksum ? checksum : 0xffff;
    }
    *port = to->port;
  } else {
    struct icmp_header* icmp = (void*)(ip + 1);
    if (!packet_has(icmp, end)) return XDP_DROP;
    icmp->checksum = checksum_replace16(icmp->checksum, icmp->echo.identifier, to->port);
    icmp->echo.identifier = to->port;
  }

  ip->check = checksum_replace32(ip->check, address, to->address);
  if (outward)
    ip->saddr = to->address;
  else
    ip->daddr = to->address;
  return XDP_PASS;
}

/* Maps `inside` to a free external port. Returns 0 and fills *outside, or -1 if there is no room. */
static __always_inline int new_mapping(const struct endpoint* inside, __be32 external_address,
                                       struct endpoint* outside) {
  __be16 port;

  if (bpf_map_pop_elem(&free_ports, &port)) return -1;
  struct endpoint key = {.port = port, .protocol = inside->protocol};
  /* The way back first: a packet must not leave before its answer would be known. */
  if (bpf_map_update_elem(&inbound, &key, inside, BPF_NOEXIST)) goto give_back;
  *outside = (struct endpoint){.address = external_address, .port = port, .protocol = inside->protocol};
  if (bpf_map_update_elem(&outbound, inside, outside, BPF_NOEXIST)) {
    bpf_map_delete_elem(&inbound, &key);
    goto give_back;
  }
  count_one(&outcomes, NEW_MAPPING);
  return 0;

give_back:
  bpf_map_push_elem(&free_ports, &port, 0);
  return -1;
}

static __always_inline int leave(struct iphdr* ip, void* end, const struct configuration* config) {
  __be16 source = 0, destination = 0;
  int verdict = read_ports(ip, end, true, &source, &destination);
  if (verdict != GO_ON) return verdict;

  struct endpoint inside = {.address = ip->saddr, .port = source, .protocol = ip->protocol};
  struct endpoint outside;
  struct endpoint* known = bpf_map_lookup_elem(&outbound, &inside);
  if (known) {
    outside = *known;
  } else if (new_mapping(&inside, config->external_address, &outside)) {
    count_one(&outcomes, NO_FREE_PORT);
    return XDP_DROP;
  }
  count_one(&outcomes, TRANSLATED_OUT);
  return translate(ip, end, true, &outside);
}

static __always_inline int arrive(struct iphdr* ip, void* end) {
  __be16 source = 0, destination = 0;
  int verdict = read_ports(ip, end, false, &source, &destination);
  if (verdict != GO_ON) return verdict;

  struct endpoint key = {.port = destination, .protocol = ip->protocol};
  struct endpoint* inside = bpf_map_lookup_elem(&inbound, &key);
  if (!inside) {
    count_one(&outcomes, UNSOLICITED);
    return XDP_DROP;
  }
  count_one(&outcomes, TRANSLATED_IN);
  return translate(ip, end, false, inside);
}

SEC("xdp")
int nat44(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  __u32 zero = 0;

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
  if (!packet_has(ip, end)) return XDP_DROP;
  struct configuration* config = bpf_map_lookup_elem(&configuration, &zero);
  if (!config) return XDP_ABORTED;

  bool outward = ctx->ingress_ifindex == config->interior_ifindex;
  if (!outward && ip->daddr != config->external_address) return XDP_PASS;
  if (ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff)) return XDP_DROP;
  return outward ? leave(ip, end, config) : arrive(ip, end);
}

char _license[] SEC("license") = "Dual BSD/GPL";
