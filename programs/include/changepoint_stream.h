/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the programs with one sample a packet share: the packet, order and loss, counters, results for the host
 * (docs/changepoint.md).
 *
 * A stream belongs to the receive queue that its first packet came through, and a queue to one core. So one core alone
 * writes a stream's state, which needs no lock and no atomic operation; a packet of the stream on another queue is
 * refused and counted. Cards that spread flows over queues by their addresses and ports send none. */
#pragma once

#include "packet.h"

#define STREAM_OFFSET 42
#define STREAM_MAGIC 0x216D616572747321ULL /* "!stream!" */
#define STREAM_LIMIT (1U << 27)            /* samples are below; 1024 squares fit 64 bits */
#define STREAM_RESTART 65536               /* so far from what was expected, a sequence number starts anew */
#define STREAM_HISTORY 64                  /* so many sequence numbers back, a late sample is told from a double */

enum stream_tag {
  STREAM_OPEN = 0, /* the sender's */
  STREAM_SPLIT = 1,
  STREAM_NO_SPLIT = 2,
  STREAM_TAKEN = 3,     /* no decision is due */
  STREAM_REFUSED = 4,   /* sample out of range */
  STREAM_LATE = 5,      /* older than the history */
  STREAM_DUPLICATE = 6, /* this sequence number was here */
  STREAM_FOREIGN = 7,   /* the stream belongs to another queue */
  STREAM_NO_ROOM = 8,   /* a new stream, and the map is full */
};

enum stream_count {
  COUNT_TAKEN,     /* samples used, the reordered ones included */
  COUNT_MISSING,   /* sequence numbers jumped over; those of them that came later are COUNT_REORDERED */
  COUNT_REORDERED, /* samples used behind a later one */
  COUNT_LATE,
  COUNT_DUPLICATES,
  COUNT_REFUSED,
  COUNT_FOREIGN,
  COUNT_NO_ROOM,
  COUNT_RESTARTS,
  COUNT_DECISIONS,
  COUNT_SPLITS,
  COUNT_UNTOLD, /* decisions that found no room in the ring buffer */
  COUNTS,
};

struct stream_packet {
  __u64 magic;
  __u64 tag;
  __u32 stream;
  __u32 sequence; /* from 0, modulo 2^32 */
  __u32 sample;
  __u32 far;  /* this and what follows: written with a decision */
  __u64 mean; /* of the window that was tested against */
  __u64 variance;
};

struct stream_key {
  __u32 address; /* IPv4 source */
  __u32 stream;
};

/* What the host reads from the ring buffer, one for each decision. */
struct stream_result {
  struct stream_key key;
  __u32 sequence; /* of the sample that completed the step */
  __u32 tag;
  __u64 far;
  __u64 mean;
  __u64 variance;
};

/* Where a stream's sequence stands. All zero for a new stream but the owner. */
struct stream_order {
  __u32 owner; /* queue + 1 */
  __u32 next;
  __u64 seen; /* bit n: sequence number next - 1 - n was here */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, COUNTS);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} results SEC(".maps");

static __always_inline void stream_count(__u32 what, __u64 amount) {
  __u64* count = bpf_map_lookup_elem(&counts, &what);

  if (count) *count += amount;
}

/* The packet's stream part when it waits for an answer and fits, else null. `*address` is the sender's. */
static __always_inline struct stream_packet* stream_open(const struct xdp_md* ctx, __u32* address) {
  const struct iphdr* ip = packet_start(ctx) + sizeof(struct ethhdr);
  struct stream_packet* packet = packet_start(ctx) + STREAM_OFFSET;

  if (!packet_has(packet, packet_end(ctx))) return NULL;
  if (packet->magic != STREAM_MAGIC || packet->tag != STREAM_OPEN) return NULL;
  *address = ip->saddr;
  return packet;
}

/* Takes a sequence number into the order. STREAM_TAKEN, STREAM_LATE or STREAM_DUPLICATE; `*restart` when the sender has
 * begun anew, so that what the stream's state knows is void. */
static __always_inline __u32 stream_arrive(struct stream_order* order, __u32 sequence, bool* restart) {
  __s32 ahead = sequence - order->next;

  *restart = ahead >= STREAM_RESTART || ahead < -STREAM_RESTART;
  if (*restart) {
    stream_count(COUNT_RESTARTS, 1);
    order->seen = 1;
    order->next = sequence + 1;
  } else if (ahead >= 0) {
    order->seen = ahead < STREAM_HISTORY - 1 ? order->seen << ((ahead + 1) & 63) | 1 : 1;
    order->next = sequence + 1;
    if (ahead > 0) stream_count(COUNT_MISSING, ahead);
  } else {
    __u32 age = -1 - ahead;

    if (age >= STREAM_HISTORY) {
      stream_count(COUNT_LATE, 1);
      return STREAM_LATE;
    }
    if (order->seen >> (age & 63) & 1) {
      stream_count(COUNT_DUPLICATES, 1);
      return STREAM_DUPLICATE;
    }
    order->seen |= 1ULL << (age & 63);
    stream_count(COUNT_REORDERED, 1);
  }
  stream_count(COUNT_TAKEN, 1);
  return STREAM_TAKEN;
}

/* The sample is not used: says so in the packet, and counts it. */
static __always_inline int stream_decline(struct stream_packet* packet, __u32 count, __u32 tag) {
  stream_count(count, 1);
  packet->tag = tag;
  return XDP_PASS;
}

/* Writes a decision into the packet and tells the host. */
static __always_inline void stream_tell(struct stream_packet* packet, const struct stream_key* key, __u32 tag,
                                        __u32 far, __u64 mean, __u64 variance) {
  struct stream_result result = {
      .key = *key, .sequence = packet->sequence, .tag = tag, .far = far, .mean = mean, .variance = variance};

  packet->tag = tag;
  packet->far = far;
  packet->mean = mean;
  packet->variance = variance;
  stream_count(COUNT_DECISIONS, 1);
  if (tag == STREAM_SPLIT) stream_count(COUNT_SPLITS, 1);
  if (bpf_ringbuf_output(&results, &result, sizeof(result), 0)) stream_count(COUNT_UNTOLD, 1);
}
