// SPDX-License-Identifier: Apache-2.0
// The events: a packet is whole at the wire; it lies in an island's memory; a thread's data are there; a thread has
// issued up to a command; a packet has left. Memories serve commands one after the other, each for its occupancy, and
// answer after their latency.
#include "exec/sim/nfp/cores.hpp"

#include <algorithm>
#include <bit>

namespace xnic::exec::sim::nfp {

namespace {

constexpr uint32_t kWireOverhead = 24;  // check sequence, preamble and gap of a frame, in bytes
constexpr uint32_t kHostOverhead = 24;  // descriptor and bus headers
constexpr size_t kLookAhead = 64;       // packets that must be known before time goes on

}  // namespace

Cores::Cores(const CardTiming& timing) : timing_(timing) {
  const uint32_t threads = timing.islands * timing.cores * timing.threads;
  islands_.resize(timing.islands);
  cores_.resize(timing.islands * timing.cores);
  threads_.resize(threads);
  for (Island& island : islands_) island.free_buffers = timing.buffers;
  // The threads of an island take turns over its cores.
  for (uint32_t turn = 0; turn < timing.threads; ++turn)
    for (uint32_t core = 0; core < cores_.size(); ++core)
      islands_[core / timing.cores].idle.push_back(core * timing.threads + turn);
}

uint64_t Cores::parts_of(uint64_t bytes, uint32_t gbps) const { return bytes * 8 * timing_.clock_mhz / gbps; }

// The next frame begins when the one before has ended, or now.
void Cores::next_frame() {
  const uint32_t bytes = job(source_.front()).bytes_in + kWireOverhead;
  if (wire_free_ + kParts <= now_ * kParts) wire_free_ = now_ * kParts;  // it was idle; else a part of a cycle is left
  wire_free_ += parts_of(bytes, timing_.wire_gbps);
  at((wire_free_ + kParts - 1) / kParts, What::kWire, source_.front());
}

// The firmware's part before the program, its routines, and its part behind. A look-up in a hash reads the table's
// descriptor, locks the bucket, reads it and lets go.
void Cores::expand(const Trace& trace, std::vector<Step>& steps) const {
  using Kind = Step::Kind;
  uint32_t issue = timing_.receive_issue;
  const auto step = [&](uint32_t more, Kind kind, Memory memory, uint32_t place, uint32_t words = 2,
                        bool exclusive = false) {
    steps.push_back({issue + more, kind, memory, static_cast<uint8_t>(words), place, exclusive});
    issue = 0;
  };
  step(0, Kind::kRead, Memory::kPacket, 0);  // the packet's descriptor
  const auto bucket = [&](uint32_t total, uint32_t place, bool exclusive) {
    step(total / 4, Kind::kRead, Memory::kInternal, place);
    step(total / 4, Kind::kLock, Memory::kLock, place, 2, exclusive);
    step(total / 8, Kind::kRead, Memory::kExternal, place, 16);
    if (exclusive) step(total / 8, Kind::kRead, Memory::kExternal, place, 16);  // the element is written
    step(total / 4, Kind::kUnlock, Memory::kExternal, place, 2, exclusive);
    issue = total / 8;
  };
  for (const Stretch& stretch : trace) {
    issue += stretch.issue;
    switch (stretch.then) {
      case Access::kPacketRead:
      case Access::kPacketWrite:
        step(0, Kind::kRead, Memory::kPacket, 0, stretch.words);
        break;
      case Access::kValueRead:
        step(0, Kind::kRead, Memory::kExternal, stretch.place, stretch.words);
        break;
      case Access::kCount:
        step(0, Kind::kPost, Memory::kExternal, stretch.place);
        break;
      case Access::kLookupHash:
        bucket(timing_.lookup_issue, stretch.place, false);
        break;
      case Access::kLookupArray:
        step(timing_.array_issue / 2, Kind::kRead, Memory::kInternal, stretch.place);
        issue = timing_.array_issue / 2;
        break;
      case Access::kUpdate:
        bucket(timing_.update_issue, stretch.place, true);
        break;
      case Access::kDelete:
        bucket(timing_.delete_issue, stretch.place, true);
        break;
      case Access::kEvent:
        step(timing_.event_issue, Kind::kRead, Memory::kExternal, stretch.place, stretch.words);
        break;
      case Access::kEnd:
        step(timing_.send_issue, Kind::kEnd, Memory::kPacket, 0);
        break;
    }
  }
}

void Cores::add(const Trace& trace, uint32_t bytes_in, uint32_t bytes_out, Way way) {
  jobs_.push_back({{}, bytes_in, bytes_out, way, 0, 0, false});
  expand(trace, jobs_.back().steps);
  source_.push_back(next_job_++);
  if (source_.size() == 1 && !wire_held_) next_frame();
  ++counters_.packets;
  advance(false);
}

void Cores::finish() { advance(true); }

// Time goes on only while the wire's next packets are known.
void Cores::advance(bool to_the_end) {
  while (!events_.empty() && (to_the_end || source_.size() > kLookAhead)) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    handle(event);
  }
}

void Cores::handle(const Event& event) {
  switch (event.what) {
    case What::kWire:
      return from_wire(event.number);
    case What::kWork: {
      Island& island = islands_[job(event.number).island];
      island.work.push_back(event.number);
      if (island.idle.empty()) return;
      const uint32_t thread = island.idle.front();
      island.idle.pop_front();
      return start(thread);
    }
    case What::kReady: {
      const auto thread = static_cast<uint32_t>(event.number);
      threads_[thread].since = now_;
      cores_[core_of(thread)].ready.push_back(thread);
      return run_next(core_of(thread));
    }
    case What::kIssued:
      return issued(static_cast<uint32_t>(event.number));
    case What::kGone:
      return gone(event.number);
  }
}

// A full queue holds the wire until a buffer becomes free.
void Cores::from_wire(uint64_t number) {
  if (waiting_.size() >= timing_.ingress_queue) {
    if (!wire_held_) held_since_ = now_;
    wire_held_ = true;
    wire_free_ = 0;
    return;
  }
  job(number).arrival = now_;
  source_.pop_front();
  waiting_.push_back(number);
  dispatch();
  if (!source_.empty()) next_frame();
}

void Cores::dispatch() {
  while (!waiting_.empty()) {
    const auto best = std::max_element(islands_.begin(), islands_.end(), [](const Island& a, const Island& b) {
      return a.free_buffers < b.free_buffers;
    });
    if (best->free_buffers == 0) return;
    --best->free_buffers;
    job(waiting_.front()).island = static_cast<uint32_t>(best - islands_.begin());
    at(now_ + timing_.ingress_latency, What::kWork, waiting_.front());
    waiting_.pop_front();
    if (!wire_held_) continue;
    wire_held_ = false;
    counters_.wire_waits += now_ - held_since_;
    at(now_, What::kWire, source_.front());
  }
}

// The thread takes the island's next packet.
void Cores::start(uint32_t thread) {
  Island& island = islands_[island_of(thread)];
  threads_[thread] = {island.work.front(), 0, now_, now_};
  island.work.pop_front();
  cores_[core_of(thread)].ready.push_back(thread);
  run_next(core_of(thread));
}

void Cores::run_next(uint32_t number) {
  Core& core = cores_[number];
  if (core.busy || core.ready.empty()) return;
  const uint32_t thread = core.ready.front();
  core.ready.pop_front();
  core.busy = true;
  counters_.core_waits += now_ - threads_[thread].since;
  uint64_t cycles = timing_.swap;
  // Commands that nobody waits for do not end a stretch.
  Thread& runner = threads_[thread];
  const std::vector<Step>& steps = job(runner.job).steps;
  for (;; ++runner.step) {
    const Step& step = steps[runner.step];
    cycles += step.issue;
    if (step.kind != Step::Kind::kPost && step.kind != Step::Kind::kUnlock) break;
    access(step, island_of(thread));
    if (step.kind == Step::Kind::kUnlock) unlock(step);
  }
  counters_.issued += cycles - timing_.swap;
  at(now_ + cycles, What::kIssued, thread);
}

void Cores::issued(uint32_t thread) {
  Thread& runner = threads_[thread];
  const Step& step = job(runner.job).steps[runner.step];
  cores_[core_of(thread)].busy = false;
  if (step.kind == Step::Kind::kEnd) {
    end(thread);
  } else {
    const uint64_t ready = access(step, island_of(thread));
    counters_.waits[static_cast<size_t>(step.memory)] += ready - now_;
    if (step.kind == Step::Kind::kLock && !lock(step)) {
      ++counters_.lock_retries;  // the same command again
    } else {
      ++runner.step;
    }
    at(ready, What::kReady, thread);
  }
  run_next(core_of(thread));
}

// When the memory answers.
uint64_t Cores::access(const Step& step, uint32_t island) {
  const auto serve = [&](uint64_t& free, uint32_t occupancy, uint32_t latency) {
    const uint64_t begin = std::max(now_, free);
    free = begin + occupancy;
    return begin + latency;
  };
  switch (step.memory) {
    case Memory::kPacket:
      return serve(islands_[island].memory_free, timing_.packet_occupancy + step.words / 2u, timing_.packet_latency);
    case Memory::kInternal:
      return serve(internal_free_, timing_.internal_occupancy, timing_.internal_latency);
    case Memory::kExternal:
    case Memory::kLock:
      break;
  }
  return serve(external_free_[step.place & 1], timing_.external_occupancy + step.words / 8u, timing_.external_latency);
}

bool Cores::lock(const Step& step) {
  Lock& lock = locks_[step.place];
  if (lock.exclusive || (step.exclusive && lock.shared != 0)) return false;
  if (step.exclusive) {
    lock.exclusive = true;
  } else {
    ++lock.shared;
  }
  return true;
}

void Cores::unlock(const Step& step) {
  const auto lock = locks_.find(step.place);
  if (step.exclusive) {
    lock->second.exclusive = false;
  } else {
    --lock->second.shared;
  }
  if (lock->second.shared == 0 && !lock->second.exclusive) locks_.erase(lock);
}

void Cores::end(uint32_t thread) {
  counters_.thread_cycles += now_ - threads_[thread].began;
  job(threads_[thread].job).done = true;
  ++waiting_for_order_;
  release();
  counters_.reorder_depth = std::max(counters_.reorder_depth, waiting_for_order_);
  Island& island = islands_[island_of(thread)];
  if (island.work.empty()) {
    island.idle.push_back(thread);
  } else {
    start(thread);
  }
}

// Packets leave in the order of their arrival.
void Cores::release() {
  for (; next_release_ < next_job_ && job(next_release_).done; ++next_release_) {
    --waiting_for_order_;
    const Job& leaving = job(next_release_);
    reorder_free_ = std::max(now_, reorder_free_) + timing_.reorder_occupancy;
    uint64_t time = reorder_free_;
    if (leaving.way != Way::kDrop) {
      const bool host = leaving.way == Way::kHost;
      uint64_t& free = host ? host_free_ : out_free_;
      const uint32_t bytes = leaving.bytes_out + (host ? kHostOverhead : kWireOverhead);
      free = std::max(free, (time + timing_.egress_latency) * kParts) +
             parts_of(bytes, host ? timing_.host_gbps : timing_.wire_gbps);
      time = (free + kParts - 1) / kParts;
    }
    at(time, What::kGone, next_release_);
  }
}

void Cores::gone(uint64_t number) {
  Job& left = job(number);
  ++islands_[left.island].free_buffers;
  count_latency(now_ - left.arrival);
  counters_.cycles = std::max(counters_.cycles, now_);
  left.steps.clear();
  left.steps.shrink_to_fit();
  left.arrival = ~uint64_t{0};
  while (!jobs_.empty() && jobs_.front().arrival == ~uint64_t{0} && first_job_ < next_release_) {
    jobs_.pop_front();
    ++first_job_;
  }
  dispatch();
}

void Cores::count_latency(uint64_t cycles) {
  counters_.latency_sum += cycles;
  const auto power = static_cast<unsigned>(std::bit_width(cycles | kFine)) - 6;
  ++latencies_[power * kFine + (cycles >> power)];
}

CoreCounters Cores::counters() const {
  CoreCounters result = counters_;
  uint64_t total = 0, seen = 0;
  for (const uint64_t count : latencies_) total += count;
  for (size_t i = 0; i < latencies_.size(); ++i) {
    seen += latencies_[i];
    const uint64_t low = i < 2 * kFine ? i : (kFine + i % kFine) << (i / kFine - 1);
    if (seen * 2 >= total && result.latency_p50 == 0) result.latency_p50 = low;
    if (seen * 100 >= total * 99 && result.latency_p99 == 0) result.latency_p99 = low;
  }
  return result;
}

}  // namespace xnic::exec::sim::nfp
