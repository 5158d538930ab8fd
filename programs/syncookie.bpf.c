/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* SYN cookies in front of a TCP service over IPv4: no state for a connection before its client has proved its address.
 *
 * A SYN is answered here with a SYN-ACK whose sequence number is the cookie:
 *   [epoch mod 32, 5 bits][MSS index, 3 bits][24 bits of SipHash-2-4 over addresses, ports, client sequence number,
 * epoch, MSS] The ACK that completes the handshake carries cookie + 1; if it is right for the current or the last
 * epoch, the flow is remembered and passes from then on. Other packets of unknown flows are dropped. Key and epoch are
 * the host's to change, so the answer is a function of packet and configuration alone. Everything but TCP to the
 * protected port passes. */
#include "include/checksum.h"
#include "include/packet.h"

#include <linux/tcp.h>

#define ANSWER_TTL 64
#define ANSWER_WINDOW 65535
#define MAX_OPTIONS 10
#define OPTION_END 0
#define OPTION_NOP 1
#define OPTION_MSS 2
#define DEFAULT_MSS 536 /* RFC 9293 3.7.1: what a client without the option can take */

struct configuration {
  __u64 key[2];
  __u32 epoch;
  __be16 port;
  __u16 unused;
};

struct flow {
  __be32 client;
  __be32 server;
  __be16 client_port;
  __be16 server_port;
};

/* What the hash covers: three words without holes. */
struct __attribute__((aligned(8))) cookie_input {
  struct flow flow;
  __u32 client_sequence;
  __u32 epoch;
  __u32 mss_index;
};

struct mss_option {
  __u8 kind;
  __u8 length;
  __be16 mss;
};

/* The answer from its IPv4 header on. */
struct answer {
  struct iphdr ip;
  struct tcphdr tcp;
  struct mss_option mss;
};

enum outcome { COOKIE_SENT, COOKIE_RIGHT, COOKIE_WRONG, KNOWN_FLOW, OUTCOMES };

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct configuration);
} configuration SEC(".maps");

/* Flows that completed a handshake; the value is the MSS the client offered, rounded down to the table. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 65536);
  __type(key, struct flow);
  __type(value, __u32);
} verified SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, OUTCOMES);
  __type(key, __u32);
  __type(value, __u64);
} outcomes SEC(".maps");

/* Ascending; the index fits three bits of the cookie. */
const __u16 mss_table[8] = {DEFAULT_MSS, 1220, 1300, 1360, 1400, 1440, 1460, 8960};

#define ROTATE(x, k) (((x) << (k)) | ((x) >> (64 - (k))))
#define SIP_ROUND             \
  do {                        \
    v0 += v1;                 \
    v2 += v3;                 \
    v1 = ROTATE(v1, 13) ^ v0; \
    v3 = ROTATE(v3, 16) ^ v2; \
    v0 = ROTATE(v0, 32);      \
    v2 += v1;                 \
    v0 += v3;                 \
    v1 = ROTATE(v1, 17) ^ v2; \
    v3 = ROTATE(v3, 21) ^ v0; \
    v2 = ROTATE(v2, 32);      \
  } while (0)

/* SipHash-2-4 (Aumasson, Bernstein 2012) of exactly 24 bytes, read as three little-endian words. */
static __noinline __u64 siphash_24_bytes(const struct cookie_input* input, __u64 key0, __u64 key1) {
  const __u64* words = (const __u64*)input;
  __u64 v0 = key0 ^ 0x736f6d6570736575ull;
  __u64 v1 = key1 ^ 0x646f72616e646f6dull;
  __u64 v2 = key0 ^ 0x6c7967656e657261ull;
  __u64 v3 = key1 ^ 0x7465646279746573ull;

#pragma unroll
  for (int i = 0; i <= 3; i++) {
    /* The last block holds the length alone, for 24 is a multiple of 8. */
    __u64 word = i < 3 ? words[i] : (__u64)sizeof(*input) << 56;
    v3 ^= word;
    SIP_ROUND;
    SIP_ROUND;
    v0 ^= word;
  }
  v2 ^= 0xff;
#pragma unroll
  for (int i = 0; i < 4; i++) SIP_ROUND;
  return v0 ^ v1 ^ v2 ^ v3;
}

static __always_inline __u32 make_cookie(const struct configuration* config, const struct flow* flow,
                                         __u32 client_sequence, __u32 epoch, __u32 mss_index) {
  struct cookie_input input = {
      .flow = *flow, .client_sequence = client_sequence, .epoch = epoch, .mss_index = mss_index};
  __u64 hash = siphash_24_bytes(&input, config->key[0], config->key[1]);

  return (epoch & 31) << 27 | mss_index << 24 | (__u32)(hash & 0xffffff);
}

/* The index of the largest table entry that the client can take. */
static __always_inline __u32 mss_index_of(__u16 mss) {
  __u32 index = 0;

#pragma unroll
  for (__u32 i = 1; i < sizeof(mss_table) / sizeof(mss_table[0]); i++)
    if (mss >= mss_table[i]) index = i;
  return index;
}

/* The MSS option among the first MAX_OPTIONS options of a SYN, DEFAULT_MSS if it is not there or malformed. */
static __always_inline __u16 offered_mss(struct tcphdr* tcp, void* end) {
  __u8* option = (void*)(tcp + 1);
  __u8* options_end = (void*)tcp + tcp->doff * 4;

  for (int i = 0; i < MAX_OPTIONS; i++) {
    if (option >= options_end || (void*)(option + 1) > end) break;
    if (*option == OPTION_END) break;
    if (*option == OPTION_NOP) {
      option++;
      continue;
    }
    struct mss_option* sized = (void*)option;
    if ((void*)(option + 2) > end || sized->length < 2) break;
    if (sized->kind == OPTION_MSS) {
      if (sized->length != sizeof(*sized) || (void*)(option + sizeof(*sized)) > (void*)options_end) break;
      if (!packet_has(sized, end)) break;
      return bpf_ntohs(sized->mss);
    }
    option += sized->length;
  }
  return DEFAULT_MSS;
}

/* The TCP checksum of an answer (whose check field is zero), pseudo header included. */
static __always_inline __u16 tcp_checksum(const struct answer* answer) {
  const __u16* word = (const __u16*)&answer->tcp;
  __u32 bytes = sizeof(answer->tcp) + sizeof(answer->mss);
  __u32 sum =
      checksum_halves(answer->ip.saddr) + checksum_halves(answer->ip.daddr) + bpf_htons(IPPROTO_TCP) + bpf_htons(bytes);

#pragma unroll
  for (__u32 i = 0; i < sizeof(answer->tcp) / 2 + sizeof(answer->mss) / 2; i++) sum += word[i];
  return checksum_finish(sum);
}

/* Turns the SYN into the SYN-ACK, cut or grown to exactly one option. */
static __always_inline int send_cookie(struct xdp_md* ctx, const struct flow* flow, __u32 client_sequence,
                                       __u32 cookie) {
  int bytes = packet_end(ctx) - packet_start(ctx);
  if (bpf_xdp_adjust_tail(ctx, (int)(sizeof(struct ethhdr) + sizeof(struct answer)) - bytes)) return XDP_DROP;

  struct ethhdr* eth = packet_start(ctx);
  struct answer* answer = (void*)(eth + 1);
  if (!packet_has(answer, packet_end(ctx))) return XDP_DROP;

  swap_macs(eth);
  answer->ip = (struct iphdr){.version = 4,
                              .ihl = 5,
                              .tot_len = bpf_htons(sizeof(*answer)),
                              .frag_off = bpf_htons(0x4000), /* do not fragment */
                              .ttl = ANSWER_TTL,
                              .protocol = IPPROTO_TCP,
                              .saddr = flow->server,
                              .daddr = flow->client};
  answer->ip.check = ipv4_checksum(&answer->ip);
  answer->tcp = (struct tcphdr){.source = flow->server_port,
                                .dest = flow->client_port,
                                .seq = bpf_htonl(cookie),
                                .ack_seq = bpf_htonl(client_sequence + 1),
                                .doff = (sizeof(answer->tcp) + sizeof(answer->mss)) / 4,
                                .syn = 1,
                                .ack = 1,
                                .window = bpf_htons(ANSWER_WINDOW)};
  answer->mss = (struct mss_option){.kind = OPTION_MSS, .length = sizeof(answer->mss), .mss = bpf_htons(1460)};
  answer->tcp.check = tcp_checksum(answer);
  count_one(&outcomes, COOKIE_SENT);
  return XDP_TX;
}

/* True if the ACK completes a handshake that began with one of our cookies. */
static __always_inline bool check_cookie(const struct configuration* config, const struct flow* flow,
                                         const struct tcphdr* tcp, __u32* mss) {
  __u32 cookie = bpf_ntohl(tcp->ack_seq) - 1;
  __u32 age = (config->epoch - (cookie >> 27)) & 31;
  __u32 mss_index = cookie >> 24 & 7;

  if (age > 1) return false;
  *mss = mss_table[mss_index];
  return cookie == make_cookie(config, flow, bpf_ntohl(tcp->seq) - 1, config->epoch - age, mss_index);
}

SEC("xdp")
int syncookie(struct xdp_md* ctx) {
  void* end = packet_end(ctx);
  struct ethhdr* eth = packet_start(ctx);
  struct iphdr* ip = (void*)(eth + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  __u32 zero = 0, mss = 0;

  if (!packet_has(eth, end)) return XDP_DROP;
  if (eth->h_proto != bpf_htons(ETH_P_IP)) return XDP_PASS;
  if (!packet_has(ip, end)) return XDP_DROP;
  if (ip->protocol != IPPROTO_TCP) return XDP_PASS;
  if (ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff) || !packet_has(tcp, end) || tcp->doff < 5) return XDP_DROP;
  struct configuration* config = bpf_map_lookup_elem(&configuration, &zero);
  if (!config) return XDP_ABORTED;
  if (tcp->dest != config->port) return XDP_PASS;

  struct flow flow = {.client = ip->saddr, .server = ip->daddr, .client_port = tcp->source, .server_port = tcp->dest};
  if (tcp->syn) {
    if (tcp->ack || tcp->rst || tcp->fin) return XDP_DROP;
    __u32 client_sequence = bpf_ntohl(tcp->seq);
    __u32 index = mss_index_of(offered_mss(tcp, end));
    return send_cookie(ctx, &flow, client_sequence, make_cookie(config, &flow, client_sequence, config->epoch, index));
  }
  if (bpf_map_lookup_elem(&verified, &flow)) {
    count_one(&outcomes, KNOWN_FLOW);
    return XDP_PASS;
  }
  if (!tcp->ack || tcp->rst || !check_cookie(config, &flow, tcp, &mss)) {
    count_one(&outcomes, COOKIE_WRONG);
    return XDP_DROP;
  }
  bpf_map_update_elem(&verified, &flow, &mss, BPF_ANY);
  count_one(&outcomes, COOKIE_RIGHT);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
