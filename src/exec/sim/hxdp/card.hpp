// SPDX-License-Identifier: Apache-2.0
// Card: queues, cores, and the buses between them; runs packets and keeps the counters.
//
// With several cores a dispatcher gives each packet to one of them, and each has a queue, packet buffers and helper
// module of its own; the port, the output bus and the maps are shared. What is defined, and tested:
// - Dispatch by flow: packets of one flow (addresses, protocol and ports; other frames: MAC addresses and type) go to
//   one core and keep their order, at the output as well. Round robin: packet n goes to core n modulo cores.
// - Rows of different cores take effect in the order of the cycles in which they start, and in one cycle in the order
//   of the cores' numbers. That is the order of map updates. A row is atomic.
// - The output bus serves packets in the order in which their programs end, and in one cycle by core number.
// - Core n is processor n: bpf_get_smp_processor_id() says so, and per-CPU maps have a copy for it, so what a program
//   does with its copy is never disturbed. With one core the caller's RunContext::cpu counts.
// - A packet that arrives in the cycle in which a row starts or a run ends finds the queue as it was before.
#pragma once

#include <algorithm>
#include <memory>
#include <span>

#include "exec/helpers/helper_state.hpp"
#include "exec/sim/hxdp/timeline.hpp"
#include "exec/sim/hxdp/traffic.hpp"

namespace xnic::exec::sim::hxdp {

enum class Dispatch : uint8_t { kFlow, kRoundRobin };

struct CardOptions {
  isa::Timing timing;
  Dispatch dispatch = Dispatch::kFlow;
  Traffic traffic;
  bool keep_runs = false;      // keep each packet's PacketRun
  uint32_t trace_packets = 0;  // keep a PacketTrace of that many packets; one core only
};

// Exact up to kExact cycles; longer ones count as kExact.
class LatencyHistogram {
 public:
  static constexpr uint64_t kExact = 1u << 16;
  void add(uint64_t cycles) {
    if (count_.empty()) count_.resize(kExact + 1);
    ++count_[std::min(cycles, kExact)];
    ++packets_;
    sum_ += cycles;
    max_ = std::max(max_, cycles);
  }
  uint64_t packets() const { return packets_; }
  // Smallest latency that at least `percent` of the packets do not exceed; 0 without packets.
  uint64_t percentile(double percent) const;
  uint64_t max() const { return max_; }
  double mean() const { return packets_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(packets_); }

 private:
  std::vector<uint32_t> count_;
  uint64_t packets_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

// Where a packet was in each cycle. Cycles are absolute.
struct PacketTrace {
  struct RowRun {
    uint32_t row = 0;
    uint64_t start = 0;   // the row's first cycle, waiting included
    uint64_t wait = 0;    // of these, for bytes of the packet
    uint64_t cycles = 0;  // behind the wait: 1, and what branch, helper and memory added
  };
  Schedule schedule;
  uint32_t frames_in = 0;
  uint32_t frames_out = 0;
  std::vector<RowRun> rows;
};

struct CardCounters {
  uint64_t packets = 0;
  uint64_t elapsed = 0;  // cycles from the start until the last packet was gone
  CycleCounters cycles;  // of all cores
  // First byte in to last byte out (dropped: to the end of the run). Back to back there would be no end to the queue:
  // there it is the latency in a card that has nothing else queued before it; the packet's frames go into the queue,
  // then read-in starts when a buffer is free.
  LatencyHistogram latency;
  uint64_t faults = 0;
  TrafficCounters traffic;         // of a given rate; empty when packets come back to back
  std::vector<uint64_t> lane_ops;  // operations issued, by lane (cancelled ones included)
  std::vector<RowProfile> rows;
};

class Card {
 public:
  // Errors: a rule is broken (rules.hpp), the maps are not the image's, or a per-CPU map has fewer copies than the card
  // has cores (kUnsupported), or several cores would have to wait for a spin lock (kUnsupported).
  static base::Result<std::unique_ptr<Card>> make(const isa::Image& image, std::shared_ptr<const LoadedProgram> program,
                                                  const CardOptions& options);
  ~Card();

  // Packets arrive as CardOptions::traffic says. Time goes on from call to call; with several cores all packets of a
  // call have had their effect before the first of the next call starts. A lost packet's verdict is XDP_DROP, its bytes
  // stay as they are.
  void run(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context);

  CardCounters counters() const;
  const Fault* fault() const;  // the first, or null
  const CardOptions& options() const { return options_; }
  uint64_t lost() const { return traffic_.lost; }
  const std::vector<PacketRun>& runs() const { return runs_; }
  const std::vector<PacketTrace>& traces() const { return traces_; }
  // Core that the dispatcher gives this frame to, were it packet number `number`.
  uint32_t core_of(const packet::Packet& packet, uint64_t number) const;

 private:
  struct Worker;
  Card(FlatImage image, std::shared_ptr<const LoadedProgram> program, const CardOptions& options);
  void run_one(Worker& worker, packet::Packet& packet, Verdict& verdict, const RunContext& context);
  void run_many(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context);
  void start(Worker& worker, std::span<packet::Packet> packets);
  bool advance(Worker& worker);
  void leave(Worker& worker, std::span<Verdict> verdicts);
  void account(const Schedule& schedule, const PacketRun& run, uint64_t arrival);
  uint64_t arrival_of(const packet::Packet& packet);
  bool admit(Worker& worker, uint64_t arrival, uint32_t frames);
  uint64_t enqueue(uint64_t arrival, uint32_t frames);
  void run_traced(Worker& worker, PacketTrace& trace);
  void finish_trace(const Schedule& schedule, const PacketRun& run, PacketTrace& trace);
  uint32_t frames_of(const packet::Packet& packet) const;

  FlatImage image_;
  std::shared_ptr<const LoadedProgram> program_;
  CardOptions options_;
  helpers::HelperState helper_state_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<PacketRun> runs_;
  std::vector<PacketTrace> traces_;
  Arrivals arrivals_;
  TrafficCounters traffic_;
  LatencyHistogram latency_;
  uint64_t packets_ = 0;
  uint64_t port_free_ = 0;
  uint64_t output_free_ = 0;
  uint64_t elapsed_ = 0;
};

}  // namespace xnic::exec::sim::hxdp
