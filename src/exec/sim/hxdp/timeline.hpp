// SPDX-License-Identifier: Apache-2.0
// Timeline: when each packet is read in, run and emitted. The timing rules are those of arch/hxdp/timing.hpp; this is
// the only place where they meet. It knows of a packet only what PacketRun says, so that a run can be timed again under
// other traffic without running the program again. In the header because every packet goes through it.
//
// Three resources in a row (read-in bus, core, output bus) with packet_buffers buffers between them.
//
//   in_start  = max(packet is in the queue, read-in bus free, a buffer free)
//   run_start = max(in_start + 1, end of the last run + start_cycles)
//   out_start = max(run_end, first frame of output complete, output bus free)
//
// Frame k is readable from in_start + k + 1. A touch of frame k in relative cycle c therefore waits until then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arch/hxdp/timing.hpp"
#include "exec/sim/hxdp/core.hpp"

namespace xnic::exec::sim::hxdp {

// Absolute cycles. Intervals are half open: the run takes place in [run_start, run_end).
struct Schedule {
  uint64_t in_start = 0;
  uint64_t run_start = 0;
  uint64_t run_end = 0;
  uint64_t out_end = 0;  // run_end when nothing leaves
};

// Every cycle of a core has one cause.
struct CycleCounters {
  uint64_t rows = 0;      // one for each row run
  uint64_t branch = 0;    // bubbles behind taken branches
  uint64_t helper = 0;    // calls that take more than one cycle
  uint64_t memory = 0;    // external map memory
  uint64_t input = 0;     // a running program waits for a frame
  uint64_t start = 0;     // reset between programs
  uint64_t idle = 0;      // no packet's first frame is there: the port or the read-in is the limit
  uint64_t emission = 0;  // no buffer is free: emission is the limit
  uint64_t total() const { return rows + branch + helper + memory + input + start + idle + emission; }
  CycleCounters& operator+=(const CycleCounters& other);
};

class Timeline {
 public:
  explicit Timeline(const isa::Timing& timing);

  // `ready`: first cycle in which the packet lies whole in the queue. `output_free`: first cycle in which the output
  // bus is free; moved on. Packets come in the order in which the core takes them.
  Schedule place(const PacketRun& run, uint64_t ready, uint64_t& output_free);
  // The same in steps, for cores that run at the same time: when the next packet can start; how long the frame of a
  // touch keeps it waiting; what follows its end.
  Schedule begin(uint32_t frames_in, uint64_t ready);
  uint64_t wait(const Schedule& schedule, const Touch& touch, uint64_t waited) const;
  void end(Schedule& schedule, const PacketRun& run, uint64_t waited, uint64_t& output_free);

  // Packets that wait for begin(), in order.
  struct Waiting {
    uint64_t ready = 0;
    uint32_t frames = 0;
  };
  // Frames of them that are not read in at `cycle`. `running`: a packet has begun and not ended. Pre: everything that
  // ends before `cycle` has been told.
  template <class Queue>
  uint64_t frames_left(uint64_t cycle, const Queue& queue, bool running) const {
    uint64_t left = 0;
    uint64_t bus_free = input_free_;
    size_t ahead = running ? 1 : 0;  // buffers taken before this packet's turn
    for (const Waiting& waiting : queue) {
      uint64_t read = 0;
      // Beyond the buffers, a packet needs one that is still in use.
      if (ahead < buffer_free_.size()) {
        const uint64_t buffer_free = buffer_free_[(buffer_ + ahead) % buffer_free_.size()];
        const uint64_t in_start = std::max({waiting.ready, bus_free, buffer_free});
        bus_free = in_start + waiting.frames;
        if (cycle > in_start) read = std::min<uint64_t>(cycle - in_start, waiting.frames);
      }
      ++ahead;
      left += waiting.frames - read;
    }
    return left;
  }

  const CycleCounters& cycles() const { return cycles_; }
  uint64_t now() const { return core_free_; }  // end of the last run

 private:
  isa::Timing timing_;
  std::vector<uint64_t> buffer_free_;  // ring: when the buffer of packet n - packet_buffers is empty again
  size_t buffer_ = 0;                  // of the next packet
  uint64_t packets_ = 0;
  uint64_t input_free_ = 0;
  uint64_t core_free_ = 0;
  CycleCounters cycles_;
};

inline Schedule Timeline::begin(uint32_t frames_in, uint64_t ready) {
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

inline uint64_t Timeline::wait(const Schedule& schedule, const Touch& touch, uint64_t waited) const {
  const uint64_t readable = schedule.in_start + touch.frame + 1;
  const uint64_t now = schedule.run_start + touch.cycle + waited;
  return readable > now ? readable - now : 0;
}

inline void Timeline::end(Schedule& schedule, const PacketRun& run, uint64_t waited, uint64_t& output_free) {
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

inline Schedule Timeline::place(const PacketRun& run, uint64_t ready, uint64_t& output_free) {
  Schedule schedule = begin(run.frames_in, ready);
  uint64_t waited = 0;
  for (const Touch& touch : run.touches) waited += wait(schedule, touch, waited);
  end(schedule, run, waited, output_free);
  return schedule;
}

}  // namespace xnic::exec::sim::hxdp
