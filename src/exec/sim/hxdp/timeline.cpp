// SPDX-License-Identifier: Apache-2.0
#include "exec/sim/hxdp/timeline.hpp"

#include <algorithm>

namespace xnic::exec::sim::hxdp {

CycleCounters& CycleCounters::operator+=(const CycleCounters& other) {
  rows += other.rows, branch += other.branch, helper += other.helper, memory += other.memory;
  input += other.input, start += other.start, idle += other.idle, emission += other.emission;
  return *this;
}

Timeline::Timeline(const isa::Timing& timing) : timing_(timing) {
  buffer_free_.resize(std::max<uint32_t>(1, timing.packet_buffers));
}

}  // namespace xnic::exec::sim::hxdp
