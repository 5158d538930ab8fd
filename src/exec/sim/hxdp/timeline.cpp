// SPDX-License-Identifier: Apache-2.0
// Three resources in a row (read-in bus, core, output bus) with packet_buffers buffers between them.
//
//   in_start  = max(packet is in the queue, read-in bus free, a buffer free)
//   run_start = max(in_start + 1, end of the last run + start_cycles)
//   out_start = max(run_end, first frame of output complete, output bus free)
//
// Frame k is readable from in_start + k + 1. A touch of frame k in relative cycle c therefore waits until then.
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

Schedule Timeline::begin(uint32_t frames_in, uint64_t ready) {
  const uint64_t buffer_free = buffer_free_[buffer_];
  const uint64_t could_start = std::max(ready, input_free_);
  Schedule schedule;
  schedule.in_start = std::max(could_start, buffer_free);
  input_free_ = schedule.in_start + frames_in;
  const uint64_t reset = packets_ == 0 ? 0 : timing_.start_cycles;
  schedule.run_start = std::max(schedule.in_start + 1, core_free_ + reset);
  schedule.run_end = schedule.run_start;

  const uint64_t gap = schedule.run_start - core_free_ - reset;
  cycles_.start += reset;
  (buffer_free > could_start ? cycles_.emission : cycles_.idle) += gap;
  return schedule;
}

uint64_t Timeline::wait(const Schedule& schedule, const Touch& touch, uint64_t waited) const {
  const uint64_t readable = schedule.in_start + touch.frame + 1;
  const uint64_t now = schedule.run_start + touch.cycle + waited;
  return readable > now ? readable - now : 0;
}

void Timeline::end(Schedule& schedule, const PacketRun& run, uint64_t waited, uint64_t& output_free) {
  schedule.run_end = schedule.run_start + run.cycles + waited;
  schedule.out_end = schedule.run_end;
  if (run.frames_out != 0) {
    const uint64_t first_frame = schedule.in_start + 1 + std::min(run.lead_frames, run.frames_in);
    const uint64_t out_start = std::max({schedule.run_end, first_frame, output_free});
    schedule.out_end = output_free = out_start + run.frames_out;
  }
  core_free_ = schedule.run_end;
  buffer_free_[buffer_] = schedule.out_end;
  if (++buffer_ == buffer_free_.size()) buffer_ = 0;
  ++packets_;
  cycles_.rows += run.rows;
  cycles_.branch += run.branch_cycles;
  cycles_.helper += run.helper_cycles;
  cycles_.memory += run.memory_cycles;
  cycles_.input += waited;
}

Schedule Timeline::place(const PacketRun& run, uint64_t ready, uint64_t& output_free) {
  Schedule schedule = begin(run.frames_in, ready);
  uint64_t waited = 0;
  for (const Touch& touch : run.touches) waited += wait(schedule, touch, waited);
  end(schedule, run, waited, output_free);
  return schedule;
}

}  // namespace xnic::exec::sim::hxdp
