/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Change points of many streams, one sample a packet. Samples are gathered into steps; a step is tested against the
 * window of the steps before it, and a split ends the window. No sample is kept: a step is its sum and its sum of
 * squares, and how many of its samples lie far from the window's mean is counted as they come.
 *
 * All arithmetic is on integers in the sender's units; mean and variance are rounded down. */
#include "include/changepoint_stream.h"

#define MAX_STEPS 8

/* Parameters, set before loading: 1 <= step, 1 <= window_steps <= MAX_STEPS, step * window_steps <= 1024. */
const volatile __u32 step = 128;
const volatile __u32 window_steps = 4;
const volatile __u64 epsilon = 1638;
const volatile __u64 epsilon_squared = 1638 * 1638;

struct sums {
  __u64 sum;
  __u64 squares;
};

struct stream_state {
  struct stream_order order;
  __u32 samples; /* of the running step */
  __u32 far;     /* of them */
  __u32 steps;   /* in the window, up to window_steps */
  __u32 at;      /* where the running step goes */
  struct sums running;
  struct sums window;
  __u64 mean; /* of the window, when it is full */
  __u64 variance;
  struct sums kept[MAX_STEPS];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, struct stream_key);
  __type(value, struct stream_state);
} streams SEC(".maps");

/* The state of a new stream; all zero but the owner. */
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
  /* When two cores meet here, the map decides which one the stream belongs to. */
  bpf_map_update_elem(&streams, key, fresh, BPF_NOEXIST);
  return bpf_map_lookup_elem(&streams, key);
}

static __always_inline void empty_window(struct stream_state* s) {
  s->window.sum = 0;
  s->window.squares = 0;
  s->steps = 0;
}

static __always_inline void empty_step(struct stream_state* s) {
  s->running.sum = 0;
  s->running.squares = 0;
  s->samples = 0;
  s->far = 0;
}

/* Moves the running step into the window, in the place of the oldest one when the window is full. */
static __always_inline void keep_step(struct stream_state* s) {
  __u64 window = step * window_steps;
  struct sums* place = &s->kept[s->at & (MAX_STEPS - 1)];

  if (s->steps == window_steps) {
    s->window.sum -= place->sum;
    s->window.squares -= place->squares;
  } else {
    s->steps += 1;
  }
  *place = s->running;
  s->window.sum += s->running.sum;
  s->window.squares += s->running.squares;
  s->at = s->at + 1 < window_steps ? s->at + 1 : 0;
  if (s->steps == window_steps) {
    s->mean = s->window.sum / window;
    s->variance = s->window.squares / window - s->mean * s->mean;
  }
  empty_step(s);
}

SEC("xdp")
int changepoint_stream(struct xdp_md* ctx) {
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
    empty_window(s);
    empty_step(s);
  }

  __u64 sample = packet->sample;
  bool full = s->steps == window_steps;
  if (full) s->far += (sample > s->mean ? sample - s->mean : s->mean - sample) >= epsilon;
  s->running.sum += sample;
  s->running.squares += sample * sample;
  s->samples += 1;
  if (s->samples < step) return XDP_PASS;
  if (full) {
    tag = s->far * epsilon_squared > s->variance * step ? STREAM_SPLIT : STREAM_NO_SPLIT;
    stream_tell(packet, &key, tag, s->far, s->mean, s->variance);
    if (tag == STREAM_SPLIT) empty_window(s);
  }
  keep_step(s);
  return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
