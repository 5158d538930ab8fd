/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Tells of each packet by a ring buffer and by a perf buffer, and counts in global variables. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct event {
  __u32 number;
  __u32 bytes;
};

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
  __uint(key_size, 4);
  __uint(value_size, 4);
} perf SEC(".maps");

const volatile __u32 every = 1; /* set by the loader: tell of each n-th packet */
__u32 packets = 0;
__u64 bytes = 0;

SEC("xdp")
int on_packet(struct xdp_md* ctx) {
  struct event event = {.number = packets++, .bytes = (__u32)(ctx->data_end - ctx->data)};
  bytes += event.bytes;
  if (every == 0 || event.number % every != 0) return XDP_PASS;
  struct event* slot = bpf_ringbuf_reserve(&ring, sizeof(event), 0);
  if (slot) {
    *slot = event;
    bpf_ringbuf_submit(slot, 0);
  }
  bpf_perf_event_output(ctx, &perf, BPF_F_CURRENT_CPU, &event, sizeof(event));
  return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
