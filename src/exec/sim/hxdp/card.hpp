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
#pragma once

#include <memory>
#include <span>

#include "exec/helpers/helper_state.hpp"
#include "exec/sim/hxdp/timeline.hpp"

namespace xnic::exec::sim::hxdp {

enum class Dispatch : uint8_t { kFlow, kRoundRobin };

struct CardOptions {
  isa::Timing timing;
  Dispatch dispatch = Dispatch::kFlow;
  bool keep_runs = false;  // keep each packet's PacketRun, for traffic.hpp
};

// Exact up to kExact cycles; longer ones count as kExact.
class LatencyHistogram {
 public:
  static constexpr uint64_t kExact = 1u << 16;
  void add(uint64_t cycles);
  uint64_t packets() const { return packets_; }
  // Smallest latency that at least `percent` of the packets do not exceed; 0 without packets.
  uint64_t percentile(double percent) const;
  double mean() const { return packets_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(packets_); }

 private:
  std::vector<uint32_t> count_;
  uint64_t packets_ = 0;
  uint64_t sum_ = 0;
};

struct CardCounters {
  uint64_t packets = 0;
  uint64_t elapsed = 0;  // cycles from the start until the last packet was gone
  CycleCounters cycles;  // of all cores
  // First byte in to last byte out (dropped: to the end of the run), in a card that has nothing else queued before it:
  // the packet's frames go into the queue, then read-in starts when a buffer is free.
  LatencyHistogram latency;
  uint64_t faults = 0;
  std::vector<uint64_t> lane_ops;  // operations issued, by lane (cancelled ones included)
  std::vector<RowProfile> rows;
};

class Card {
 public:
  // Errors: a rule is broken (rules.hpp), or the maps are not the image's.
  static base::Result<std::unique_ptr<Card>> make(const isa::Image& image, std::shared_ptr<const LoadedProgram> program,
                                                  const CardOptions& options);
  ~Card();

  // Packets arrive back to back, one frame a cycle, as fast as the port's bus brings them. Time goes on from call to
  // call; with several cores all packets of a call have had their effect before the first of the next call starts.
  void run(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context);

  CardCounters counters() const;
  const Fault* fault() const;  // the first, or null
  const std::vector<PacketRun>& runs() const { return runs_; }
  // Core that the dispatcher gives this frame to, were it packet number `number`.
  uint32_t core_of(const packet::Packet& packet, uint64_t number) const;

 private:
  struct Worker;
  Card(FlatImage image, std::shared_ptr<const LoadedProgram> program, const CardOptions& options);
  void run_one(Worker& worker, packet::Packet& packet, Verdict& verdict, const RunContext& context);
  void run_many(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context);
  void start(Worker& worker, std::span<packet::Packet> packets, const RunContext& context);
  bool advance(Worker& worker);
  void leave(Worker& worker, std::span<Verdict> verdicts);
  void account(const Schedule& schedule, const PacketRun& run);
  uint64_t arrive(uint32_t frames);

  FlatImage image_;
  std::shared_ptr<const LoadedProgram> program_;
  CardOptions options_;
  helpers::HelperState helper_state_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<PacketRun> runs_;
  LatencyHistogram latency_;
  uint64_t packets_ = 0;
  uint64_t port_free_ = 0;
  uint64_t output_free_ = 0;
  uint64_t elapsed_ = 0;
};

}  // namespace xnic::exec::sim::hxdp
