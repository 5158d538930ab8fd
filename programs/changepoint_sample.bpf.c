/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Change points of many streams by sampling the window: DRAWS times, DRAWN of the WINDOW samples are drawn without
 * replacement, and the mean and the variance of the draws' means stand for the window. The next STEP samples are one
 * more draw, if nothing has changed: by Chebyshev's inequality their mean lies epsilon or more from the mean of means
 * with a probability of at most variance / epsilon^2. The stream splits when it does lie so far and that bound is below
 * one. A split ends the window.
 *
 * A draw walks a permutation of the window's places: a linear congruential generator modulo WINDOW has its full period
 * when the increment is odd and the multiplier is 1 modulo 4 (Hull, Dobell 1962), so no place comes twice. Multiplier,
 * increment and first place come from a seeded 32-bit generator, one for each stream. */
#include "include/changepoint_stream.h"

#define WINDOW 512
#define STEP 128
#define DRAWS 64
#define DRAWN 128

/* Parameters, set before loading. */
const volatile __u64 epsilon = 1638;
const volatile __u64 epsilon_squared = 1638 * 1638;
const volatile __u32 seed = 1;

struct stream_state {
  struct stream_order order;
  __u32 random;
  __u32 samples; /* since the window began */
  __u64 sum;     /* of the running step */
  __u32 window[WINDOW];
  __u32 running[STEP]; /* the running step; it enters the window when it is complete */
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, struct stream_key);
  __type(value, struct stream_state);
} streams SEC(".maps");

/* The state of a new stream; all zero but the owner and the generator. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct stream_state);
} blank SEC(".maps");

static __always_inline struct stream_state* state_of(const struct stream_key* key, __u32 owner) {
  struct stream_state* state = bpf_map_lookup_elem(&streams, key);
  __u32 zero = 0;

  if (state) return state;
  struct stream_state* fresh = bpf_map_lookup_elem(&blank, &zero);
  if (!fresh) return NULL;
  fresh->order.owner = owner;
  fresh->random = seed + key->stream;
  /* When two cores meet here, the map decides which one the stream belongs to. */
  bpf_map_update_elem(&streams, key, fresh, BPF_NOEXIST);
  return bpf_map_lookup_elem(&streams, key);
}

/* Mean of DRAWN samples of the window, rounded down. */
static __always_inline __u64 draw(struct stream_state* s) {
  __u32 random = s->random * 1664525 + 1013904223;
  __u32 multiplier = (random >> 8 & (WINDOW - 4)) | 1;
  __u32 increment = random >> 17 | 1;
  __u32 place = random >> 23;
  __u64 sum = 0;

  s->random = random;
  for (__u32 i = 0; i < DRAWN; ++i) {
    place = (place * multiplier + increment) & (WINDOW - 1);
    sum += s->window[place];
  }
  return sum / DRAWN;
}

SEC("xdp")
int changepoint_sample(struct xdp_md* ctx) {
  struct stream_key key;
  struct stream_packet* packet = stream_open(ctx, &key.address);
  bool restart;

  if (!packet) return XDP_PASS;
  if (packet->sample >= STREAM_LIMIT) return stream_decline(packet, COUNT_REFUSED, STREAM_REFUSED);
  key.stream = packet->stream;
  struct stream_state* s = state_of(&key, ctx->rx_queue_index + 1);
  if (!s) return stream_decline(packet, COUNT_NO_ROOM, STREAM_NO_ROOM);
  if (s->order.owner != ctx->rx_queue_index + 1) return stream_decline(packet, COUNT_FOREIGN, STREAM_FOREIGN);
  __u32 tag = stream_arrive(&s->order, packet->sequence, &restart);
  packet->tag = tag;
  if (tag != STREAM_TAKEN) return XDP_PASS;
  if (restart) {
    s->samples = 0;
    s->sum = 0;
  }

  s->running[s->samples & (STEP - 1)] = packet->sample;
  s->sum += packet->sample;
  s->samples += 1;
  if (s->samples & (STEP - 1)) return XDP_PASS;

  __u64 mean = s->sum / STEP;
  s->sum = 0;
  if (s->samples > WINDOW) {
    __u64 total = 0, squares = 0;

    for (__u32 i = 0; i < DRAWS; ++i) {
      __u64 drawn = draw(s);

      total += drawn;
      squares += drawn * drawn;
    }
    __u64 middle = total / DRAWS;
    __u64 variance = squares / DRAWS - middle * middle;
    __u32 far = (mean > middle ? mean - middle : middle - mean) >= epsilon;
    tag = far && variance < epsilon_squared ? STREAM_SPLIT : STREAM_NO_SPLIT;
    stream_tell(packet, &key, tag, far, middle, variance);
    /* The step that split is the first one of the new window. */
    if (tag == STREAM_SPLIT) s->samples = STEP;
  }
  /* Steps take turns in the window; below 2 * WINDOW so that the count never wraps. */
  __u32 place = (s->samples - STEP) & (WINDOW - 1);
  for (__u32 i = 0; i < STEP; ++i) s->window[(place + i) & (WINDOW - 1)] = s->running[i];
  if (s->samples >= 2 * WINDOW) s->samples -= WINDOW;
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
