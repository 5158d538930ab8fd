/* SPDX-License-Identifier: Apache-2.0 */
/* A program as applications of libbpf are: a skeleton that sets a constant before the load, reads global variables
 * through their mapping, and waits for a ring buffer and a perf buffer. It knows nothing of the card. What it prints is
 * the same wherever it runs. usage: events [DEVICE]: with a device, the program is attached to it by a link, too. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "events.skel.h"

enum { kPackets = 20, kEvery = 2, kBytes = 100 };

struct event {
  unsigned number, bytes;
};
static unsigned ring_events, ring_sum, perf_events, perf_sum;

static int on_ring(void* context, void* data, size_t size) {
  (void)context;
  const struct event* event = data;
  if (size != sizeof *event || event->bytes != kBytes) return -1;
  ++ring_events;
  ring_sum += event->number;
  return 0;
}

static void on_perf(void* context, int cpu, void* data, __u32 size) {
  (void)context;
  (void)cpu;
  const struct event* event = data;
  if (size < sizeof *event || event->bytes != kBytes) return;
  ++perf_events;
  perf_sum += event->number;
}

static int fail(const char* what) {
  perror(what);
  return 1;
}

static int run(struct events_bpf* object) {
  struct ring_buffer* ring = ring_buffer__new(bpf_map__fd(object->maps.ring), on_ring, NULL, NULL);
  if (!ring) return fail("ring_buffer__new");
  struct perf_buffer* perf = perf_buffer__new(bpf_map__fd(object->maps.perf), 8, on_perf, NULL, NULL, NULL);
  if (!perf) return fail("perf_buffer__new");
  char packet[kBytes] = {0};
  for (int i = 0; i < kPackets; ++i) {
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet, .repeat = 1);
    if (bpf_prog_test_run_opts(bpf_program__fd(object->progs.on_packet), &options))
      return fail("bpf_prog_test_run_opts");
    if (options.retval != 2) return fail("XDP_PASS");
    if (i % 7 == 0 && ring_buffer__poll(ring, 1000) < 0) return fail("ring_buffer__poll");
  }
  while (ring_events < kPackets / kEvery && ring_buffer__poll(ring, 1000) > 0) {
  }
  while (perf_events < kPackets / kEvery && perf_buffer__poll(perf, 1000) > 0) {
  }
  printf("ring: %u events, sum %u\n", ring_events, ring_sum);
  printf("perf: %u events, sum %u\n", perf_events, perf_sum);
  printf("globals: every %u, packets %u, bytes %llu\n", object->rodata->every, object->bss->packets,
         (unsigned long long)object->bss->bytes);
  object->bss->packets = 1000; /* seen by the program */
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof packet, .repeat = 1);
  bpf_prog_test_run_opts(bpf_program__fd(object->progs.on_packet), &options);
  printf("written: packets %u\n", object->bss->packets);
  printf("nothing left: %d\n", ring_buffer__poll(ring, 0) + ring_buffer__poll(ring, 10));
  perf_buffer__free(perf);
  ring_buffer__free(ring);
  return 0;
}

int main(int argc, char** argv) {
  struct events_bpf* object = events_bpf__open();
  if (!object) return fail("open");
  object->rodata->every = kEvery;
  if (events_bpf__load(object)) return fail("load");
  struct bpf_link* link = NULL;
  if (argc > 1) {
    link = bpf_program__attach_xdp(object->progs.on_packet, (int)if_nametoindex(argv[1]));
    if (!link) return fail("attach");
    struct bpf_link_info info = {0};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size)) return fail("link info");
    char name[IF_NAMESIZE];
    printf("link: type %u, on %s\n", info.type, if_indextoname(info.xdp.ifindex, name));
  }
  const int result = run(object);
  bpf_link__destroy(link);
  events_bpf__destroy(object);
  return result;
}
