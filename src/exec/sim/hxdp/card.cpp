// SPDX-License-Identifier: Apache-2.0
// One core runs packets one after the other, each to its end. Several cores are stepped row by row: always the core
// whose next event comes first. An event is the start of a packet, a row, or the end of a run.
#include "exec/sim/hxdp/card.hpp"

#include <algorithm>
#include <deque>
#include <limits>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"
#include "exec/sim/hxdp/flow.hpp"
#include "exec/sim/hxdp/rules.hpp"

namespace xnic::exec::sim::hxdp {

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
  ReadIns reads;  // given rates only

  // Several cores only.
  struct Waiting : Timeline::Waiting {
    size_t packet = 0;
    uint64_t arrival = 0;
  };
  std::deque<Waiting> queue;
  RunContext context;
  State state = State::kIdle;
  Waiting now;
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
  const uint32_t cores = image.parameters.cores;
  for (const auto& map : program->maps) {
    if (cores > 1 && arch::ebpf::is_percpu(map->spec().type) && map->cpus() < cores)
      return base::make_error(base::ErrorKind::kUnsupported, image.program,
                              "the per-CPU map {} has {} copies, the card {} cores", map->spec().name, map->cpus(),
                              cores);
  }
  for (const isa::CallSite& site : image.call_sites) {
    if (cores > 1 && arch::ebpf::find_helper(site.helper)->name == "spin_lock")
      return base::make_error(base::ErrorKind::kUnsupported, image.program,
                              "spin locks on {} cores: a core cannot wait for another", cores);
  }
  XNIC_ASSIGN(FlatImage flat, decode(image, *program, options.timing));
  return std::unique_ptr<Card>(new Card(std::move(flat), std::move(program), options));
}

Card::Card(FlatImage image, std::shared_ptr<const LoadedProgram> program, const CardOptions& options)
    : image_(std::move(image)),
      program_(std::move(program)),
      options_(options),
      arrivals_(options.traffic, image_.parameters.clock_hz) {
  for (uint32_t i = 0; i < image_.parameters.cores; ++i)
    workers_.push_back(std::make_unique<Worker>(image_, options_.timing));
}

Card::~Card() = default;

uint32_t Card::frames_of(const packet::Packet& packet) const {
  return (packet.size() + image_.parameters.frame_bytes - 1) / image_.parameters.frame_bytes;
}

uint64_t Card::arrival_of(const packet::Packet& packet) {
  if (options_.traffic.kind == Traffic::Kind::kBackToBack) return 0;
  ++traffic_.offered;
  traffic_.wire_bits += 8 * (packet.size() + kWireBytes);
  traffic_.most_frames = std::max(traffic_.most_frames, frames_of(packet));
  return traffic_.last_arrival = arrivals_.next(packet.size(), packet.arrival_ns);
}

// Is there room for the packet? Back to back the port waits until there is.
bool Card::admit(Worker& worker, uint64_t arrival, uint32_t frames) {
  if (options_.traffic.kind == Traffic::Kind::kBackToBack) return true;
  const bool running = worker.state != Worker::State::kIdle;
  const uint64_t depth =
      worker.reads.frames_left(arrival) + worker.timeline.frames_left(arrival, worker.queue, running);
  traffic_.depths.push_back(static_cast<uint32_t>(depth));
  if (depth + frames <= options_.timing.queue_frames) return true;
  ++traffic_.lost;
  return false;
}

// The cycle in which the packet lies whole in the queue.
uint64_t Card::enqueue(uint64_t arrival, uint32_t frames) {
  return port_free_ = std::max(arrival, port_free_) + frames;
}

void Card::account(const Schedule& schedule, const PacketRun& run, uint64_t arrival) {
  const bool queued = options_.traffic.kind != Traffic::Kind::kBackToBack;
  latency_.add(queued ? schedule.out_end - arrival : schedule.out_end - schedule.in_start + run.frames_in);
  elapsed_ = std::max(elapsed_, schedule.out_end);
  if (options_.keep_runs) runs_.push_back(run);
}

constexpr Verdict kLost{arch::ebpf::kXdpDrop, {}};

void Card::run_one(Worker& worker, packet::Packet& packet, Verdict& verdict, const RunContext& context) {
  const bool queued = options_.traffic.kind != Traffic::Kind::kBackToBack;
  const uint64_t arrival = queued ? arrival_of(packet) : 0;
  if (queued && !admit(worker, arrival, frames_of(packet))) {
    verdict = kLost;
    return;
  }
  Core& core = worker.core;
  core.begin(packet, context, helper_state_);
  PacketTrace* trace = nullptr;
  if (traces_.size() < options_.trace_packets) trace = &traces_.emplace_back();
  trace == nullptr ? core.run_rows() : run_traced(worker, *trace);
  core.finish(verdict);
  const uint64_t ready = enqueue(arrival, core.run.frames_in);
  const Schedule schedule = worker.timeline.place(core.run, ready, output_free_);
  if (trace != nullptr) finish_trace(schedule, core.run, *trace);
  if (queued) worker.reads.add(schedule.in_start, core.run.frames_in);
  account(schedule, core.run, arrival);
}

// Cycles are those of the run until finish_trace() knows when it began.
void Card::run_traced(Worker& worker, PacketTrace& trace) {
  Core& core = worker.core;
  for (bool goes_on = true; goes_on;) {
    PacketTrace::RowRun& row = trace.rows.emplace_back();
    row.row = core.row;
    row.start = core.run.cycles;
    goes_on = core.step();
    row.cycles = core.run.cycles - row.start;
  }
}

void Card::finish_trace(const Schedule& schedule, const PacketRun& run, PacketTrace& trace) {
  trace.schedule = schedule;
  trace.frames_in = run.frames_in;
  trace.frames_out = run.frames_out;
  uint64_t waited = 0;
  size_t touch = 0;
  for (PacketTrace::RowRun& row : trace.rows) {
    const uint64_t relative = row.start;
    row.start = schedule.run_start + relative + waited;
    for (; touch < run.touches.size() && run.touches[touch].cycle == relative; ++touch)
      row.wait += workers_[0]->timeline.wait(schedule, run.touches[touch], waited + row.wait);
    waited += row.wait;
  }
}

uint32_t Card::core_of(const packet::Packet& packet, uint64_t number) const {
  const auto cores = static_cast<uint64_t>(workers_.size());
  if (options_.dispatch == Dispatch::kRoundRobin) return static_cast<uint32_t>(number % cores);
  const base::Bytes frame(packet.data, static_cast<size_t>(packet.data_end - packet.data));
  return static_cast<uint32_t>(flow_hash(frame) % cores);
}

void Card::start(Worker& worker, std::span<packet::Packet> packets) {
  worker.now = worker.queue.front();
  worker.queue.pop_front();
  worker.core.begin(packets[worker.now.packet], worker.context, helper_state_);
  worker.schedule = worker.timeline.begin(worker.core.run.frames_in, worker.now.ready);
  if (options_.traffic.kind != Traffic::Kind::kBackToBack)
    worker.reads.add(worker.schedule.in_start, worker.core.run.frames_in);
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
  worker.core.finish(verdicts[worker.now.packet]);
  worker.timeline.end(worker.schedule, worker.core.run, worker.waited, output_free_);
  account(worker.schedule, worker.core.run, worker.now.arrival);
  worker.state = Worker::State::kIdle;
}

void Card::run_many(std::span<packet::Packet> packets, std::span<Verdict> verdicts, const RunContext& context) {
  for (size_t core = 0; core < workers_.size(); ++core) {
    workers_[core]->context = context;
    workers_[core]->context.cpu = static_cast<uint32_t>(core);
  }
  size_t next = 0;
  uint64_t arrival = packets.empty() ? 0 : arrival_of(packets[0]);
  for (;;) {
    Worker* first = nullptr;
    for (const auto& worker : workers_) {
      if (first == nullptr || worker->clock() < first->clock()) first = worker.get();
    }
    if (next < packets.size() && arrival <= first->clock()) {
      Worker& worker = *workers_[core_of(packets[next], packets_ + next)];
      const uint32_t frames = frames_of(packets[next]);
      if (admit(worker, arrival, frames)) {
        worker.queue.push_back({{enqueue(arrival, frames), frames}, next, arrival});
      } else {
        verdicts[next] = kLost;
      }
      if (++next < packets.size()) arrival = arrival_of(packets[next]);
      continue;
    }
    switch (first->state) {
      case Worker::State::kIdle:
        if (first->queue.empty()) return;
        start(*first, packets);
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
    for (size_t i = 0; i < packets.size(); ++i) {
      if (i + 1 < packets.size()) __builtin_prefetch(packets[i + 1].data);
      run_one(*workers_[0], packets[i], verdicts[i], context);
    }
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
  counters.traffic = traffic_;
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
