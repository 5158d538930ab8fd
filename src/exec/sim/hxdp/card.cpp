// SPDX-License-Identifier: Apache-2.0
// One core runs packets one after the other, each to its end. Several cores are stepped row by row: always the core
// whose next event comes first. An event is the start of a packet, a row, or the end of a run.
#include "exec/sim/hxdp/card.hpp"

#include <algorithm>
#include <deque>
#include <limits>

#include "exec/sim/hxdp/flow.hpp"
#include "exec/sim/hxdp/rules.hpp"

namespace xnic::exec::sim::hxdp {

void LatencyHistogram::add(uint64_t cycles) {
  if (count_.empty()) count_.resize(kExact + 1);
  ++count_[std::min(cycles, kExact)];
  ++packets_;
  sum_ += cycles;
}

uint64_t LatencyHistogram::percentile(double percent) const {
  const double wanted = percent / 100 * static_cast<double>(packets_);
  uint64_t seen = 0;
  for (uint64_t cycles = 0; cycles < count_.size(); ++cycles) {
    seen += count_[cycles];
    if (seen != 0 && static_cast<double>(seen) >= wanted) return cycles;
  }
  return 0;
}

struct Card::Worker {
  enum class State : uint8_t { kIdle, kRunning, kLeaving };
  Worker(const FlatImage& image, const isa::Timing& timing) : core(image), timeline(timing) {}
  Core core;
  Timeline timeline;
  std::vector<uint64_t> lane_ops;

  // Several cores only.
  struct Waiting {
    size_t packet;
    uint64_t ready;
  };
  std::deque<Waiting> queue;
  State state = State::kIdle;
  size_t packet = 0;
  Schedule schedule;
  uint64_t waited = 0;
  size_t touches = 0;  // of the run so far, those whose wait is counted

  uint64_t clock() const {
    if (state == State::kIdle) return queue.empty() ? std::numeric_limits<uint64_t>::max() : 0;
    return schedule.run_start + core.run.cycles + waited;
  }
};

base::Result<std::unique_ptr<Card>> Card::make(const isa::Image& image, std::shared_ptr<const LoadedProgram> program,
                                               const CardOptions& options) {
  XNIC_TRY(check_rules(image));
  XNIC_ASSIGN(FlatImage flat, decode(image, *program, options.timing));
  return std::unique_ptr<Card>(new Card(std::move(flat), std::move(program), options));
}

Card::Card(FlatImage image, std::shared_ptr<const LoadedProgram> program, const CardOptions& options)
    : image_(std::move(image)), program_(std::move(program)), options_(options) {
  for (uint32_t i = 0; i < image_.parameters.cores; ++i)
    workers_.push_back(std::make_unique<Worker>(image_, options_.timing));
}

Card::~Card() = default;

// The cycle in which a packet that the port brings next lies whole in the queue.
uint64_t Card::arrive(uint32_t frames) { return port_free_ += frames; }

void Card::account(const Schedule& schedule, const PacketRun& run) {
  latency_.add(schedule.out_end - schedule.in_start + run.frames_in);
  elapsed_ = std::max(elapsed_, schedule.out_end);
  if (options_.keep_runs) runs_.push_back(run);
}

void Card::run_one(Worker& worker, packet::Packet& packet, Verdict& verdict, const RunContext& context) {
  Core& core = worker.core;
  core.begin(packet, context, helper_state_);
  core.run_rows();
  verdict = core.finish();
  account(worker.timeline.place(core.run, arrive(core.run.frames_in), output_free_), core.run);
}

uint32_t Card::core_of(const packet::Packet& packet, uint64_t number) const {
  const auto cores = static_cast<uint64_t>(workers_.size());
  if (options_.dispatch == Dispatch::kRoundRobin) return static_cast<uint32_t>(number % cores);
  const base::Bytes frame(packet.data, static_cast<size_t>(packet.data_end - packet.data));
  return static_cast<uint32_t>(flow_hash(frame) % cores);
}

void Card::start(Worker& worker, std::span<packet::Packet> packets, const RunContext& context) {
  const Worker::Waiting next = worker.queue.front();
  worker.queue.pop_front();
  worker.packet = next.packet;
  worker.core.begin(packets[next.packet], context, helper_state_);
  worker.schedule = worker.timeline.begin(worker.core.run.frames_in, next.ready);
  worker.waited = 0;
  worker.touches = 0;
  worker.state = Worker::State::kRunning;
}

// Runs one row; the wait of a frame that it touches comes in front of it, so what follows moves back.
bool Card::advance(Worker& worker) {
  const bool goes_on = worker.core.step();
  const std::vector<Touch>& touches = worker.core.run.touches;
  for (; worker.touches < touches.size(); ++worker.touches)
    worker.waited += worker.timeline.wait(worker.schedule, touches[worker.touches], worker.waited);
  return goes_on;
}

void Card::leave(Worker& worker, std::span<Verdict> verdicts) {
  verdicts[worker.packet] = worker.core.finish();
  worker.timeline.end(worker.schedule, worker.core.run, worker.waited, output_free_);
  account(worker.schedule, worker.core.run);
  worker.state = Worker::State::kIdle;
}

void Card::run_many(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context) {
  const uint32_t frame = image_.parameters.frame_bytes;
  for (size_t i = 0; i < packets.size(); ++i) {
    Worker& worker = *workers_[core_of(packets[i], packets_ + i)];
    worker.queue.push_back({i, arrive((packets[i].size() + frame - 1) / frame)});
  }
  for (;;) {
    Worker* first = nullptr;
    for (const auto& worker : workers_) {
      if (first == nullptr || worker->clock() < first->clock()) first = worker.get();
    }
    switch (first->state) {
      case Worker::State::kIdle:
        if (first->queue.empty()) return;
        start(*first, packets, context);
        break;
      case Worker::State::kRunning:
        if (!advance(*first)) first->state = Worker::State::kLeaving;
        break;
      case Worker::State::kLeaving:
        leave(*first, verdicts);
        break;
    }
  }
}

void Card::run(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context) {
  if (workers_.size() == 1) {
    for (size_t i = 0; i < packets.size(); ++i) run_one(*workers_[0], packets[i], verdicts[i], context);
  } else {
    run_many(packets, verdicts, context);
  }
  packets_ += packets.size();
}

CardCounters Card::counters() const {
  CardCounters counters;
  counters.packets = packets_;
  counters.elapsed = elapsed_;
  counters.latency = latency_;
  counters.rows.resize(image_.rows.size());
  counters.lane_ops.resize(image_.parameters.lanes);
  for (const auto& worker : workers_) {
    counters.cycles += worker->timeline.cycles();
    counters.faults += worker->core.faults;
    for (size_t row = 0; row < counters.rows.size(); ++row) {
      const RowProfile& from = worker->core.profile[row];
      RowProfile& to = counters.rows[row];
      to.visits += from.visits, to.taken += from.taken, to.cycles += from.cycles;
      for (uint32_t at = image_.rows[row].first; at < image_.rows[row].end; ++at)
        counters.lane_ops[image_.micros[at].lane] += from.visits;
    }
  }
  return counters;
}

const Fault* Card::fault() const {
  for (const auto& worker : workers_) {
    if (worker->core.first_fault != nullptr) return worker->core.first_fault.get();
  }
  return nullptr;
}

}  // namespace xnic::exec::sim::hxdp
