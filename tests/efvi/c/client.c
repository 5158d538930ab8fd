/* SPDX-License-Identifier: Apache-2.0 */
/* A program in C against libciul1. It uses what programs look at inside of ef_vi and what they print, and it checks
 * that sizes which must not change have not. Without a card, opening one says that there is none. */
#include <etherfabric/capabilities.h>
#include <etherfabric/checksum.h>
#include <etherfabric/efct_vi.h>
#include <etherfabric/memreg.h>
#include <etherfabric/packedstream.h>
#include <etherfabric/pd.h>
#include <etherfabric/pio.h>
#include <etherfabric/timer.h>
#include <etherfabric/vi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef __EFAB_VI_H__
#error "programs ask for this macro"
#endif

_Static_assert(sizeof(ef_event) == 16, "ef_event");
_Static_assert(sizeof(ef_pd) == 40, "ef_pd");
_Static_assert(sizeof(ef_memreg) == 16, "ef_memreg");
_Static_assert(sizeof(ef_filter_spec) == 56, "ef_filter_spec");
_Static_assert(sizeof(ef_filter_cookie) == 8, "ef_filter_cookie");
_Static_assert(sizeof(ef_filter_info) == 24, "ef_filter_info");
_Static_assert(sizeof(ef_iovec) == 16, "ef_iovec");
_Static_assert(sizeof(ef_precisetime) == 16, "ef_precisetime");
_Static_assert(sizeof(ef_packed_stream_packet) == 16, "ef_packed_stream_packet");
_Static_assert(sizeof(enum ef_vi_flags) == 8, "programs print it with %lx");
_Static_assert(EF_VI_CAP_RX_FILTER_ID == 57 && EF_VI_CAP_MIN_BUFFER_MODE_SIZE == 49, "capabilities");
_Static_assert(sizeof(((struct ef_vi*)0)->ops) == 35 * sizeof(void*), "ef_vi.ops");

static int failures = 0;
static void expect(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  ++failures;
}

/* What programs read of a live interface; compiled only. */
unsigned long looks_inside(struct ef_vi* vi) {
  printf("%lx\n", ef_vi_flags(vi));
  return vi->ep_state->evq.evq_ptr + (unsigned long)vi->evq_base + vi->evq_mask + vi->vi_txq.ids[0] +
         vi->nic_type.arch + vi->ep_state->txq.removed + vi->vi_out_flags;
}

int main(void) {
  ef_driver_handle dh;
  ef_filter_spec spec;
  setenv("XNIC_CARD", "/nonexistent/efvi.sock", 1);
  expect(ef_driver_open(&dh) == -ENOENT, "no card: -ENOENT");
  ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
  expect(ef_filter_spec_set_ip4_local(&spec, IPPROTO_UDP, 1, 2) == 0, "an IP filter");
  expect(ef_filter_spec_set_unicast_all(&spec) == -EPROTONOSUPPORT, "does not go with all unicast");
  expect(ef_vi_capabilities_max() == 57, "the largest capability");
  expect(ef_vi_capabilities_name(EF_VI_CAP_CTPIO) != NULL, "capabilities have names");
  return failures != 0;
}
