// SPDX-License-Identifier: Apache-2.0
// What compiled programs do beside their own instructions, in a form that LLVM can inline into them: the loop over
// packets, and helpers specialised for one map. clang makes bitcode of this file when the project is built; it is not
// linked into any binary. The implementations are the maps' and helpers' own headers, so there is one of each.
//
// Functions of maps take (run, the helper's arguments behind the map, what is known of the map); symbols.cpp names them
// and says what is known.
#include "exec/native/run.hpp"

using xnic::exec::Verdict;
using xnic::exec::native::Run;
using xnic::exec::packet::Packet;

extern "C" {

// The program; its code is made with this file's.
uint64_t xnic_program(Run* run, Packet* packet);

void xnic_batch(Run* run, Packet* packets, uint64_t count, Verdict* verdicts) {
  for (uint64_t i = 0; i < count; ++i) {
    Packet* packet = packets + i;
    if (i + 2 < count) __builtin_prefetch(packets[i + 2].data);
    run->packet = packet;
    run->redirect = {};
    run->tail_calls = 0;
    if (!run->held_maps.empty()) xnic_settle(run);
    run->lent.clear();
    const uint64_t result = xnic_program(run, packet);
    verdicts[i].code = static_cast<uint32_t>(result);
    verdicts[i].redirect = {};
    if (verdicts[i].code == xnic::arch::ebpf::kXdpRedirect) verdicts[i].redirect = run->redirect;
  }
}

uint64_t xnic_array_lookup(Run*, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries) {
  const uint32_t index = xnic::base::load<uint32_t>(reinterpret_cast<const void*>(key));
  return index < entries ? values + index * stride : 0;
}

uint64_t xnic_percpu_array_lookup(Run* run, uint64_t key, uint64_t values, uint64_t stride, uint64_t entries,
                                  uint64_t cpu_stride, uint64_t cpus) {
  const uint32_t index = xnic::base::load<uint32_t>(reinterpret_cast<const void*>(key));
  const uint32_t cpu = run->run->cpu;
  return index < entries && cpu < cpus ? values + cpu * cpu_stride + index * stride : 0;
}
}
