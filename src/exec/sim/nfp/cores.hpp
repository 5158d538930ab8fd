// SPDX-License-Identifier: Apache-2.0
// Cores: the many cores of the card in time. Packets come from the wire into the memory of the island that has most
// room, any idle thread of the island takes them, runs to completion, swapping out on each command to a memory, and
// they leave in the order in which they came.
//
// An event simulation over the traces of packets (trace.hpp): what programs compute is known before. Events of the same
// cycle are taken in the order in which they were made, so the same traces give the same time.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <queue>
#include <unordered_map>
#include <vector>

#include "exec/sim/nfp/timing.hpp"
#include "exec/sim/nfp/trace.hpp"

namespace xnic::exec::sim::nfp {

// Where threads wait.
enum class Memory : uint8_t { kPacket, kInternal, kExternal, kLock };
inline constexpr const char* kMemoryNames[] = {"packet", "internal", "external", "lock"};

struct CoreCounters {
  uint64_t packets = 0;
  uint64_t cycles = 0;         // from the first packet's arrival to the last one's end
  uint64_t issued = 0;         // cycles in which a core issued, or lost a slot behind a branch
  uint64_t thread_cycles = 0;  // cycles that threads had a packet
  uint64_t waits[4] = {};      // of threads, by Memory
  uint64_t core_waits = 0;     // of threads for their core
  uint64_t lock_retries = 0;
  uint64_t reorder_depth = 0;  // most packets that waited for an earlier one
  uint64_t wire_waits = 0;     // cycles that the wire was held
  uint64_t latency_sum = 0;
  uint64_t latency_p50 = 0, latency_p99 = 0;  // wire to wire (or host, or end), within 3 %
};

class Cores {
 public:
  explicit Cores(const CardTiming& timing);
  enum class Way : uint8_t { kDrop, kHost, kWire };
  // The next packet from the wire, which is never idle. `bytes`: of the frame as it came and as it goes.
  void add(const Trace& trace, uint32_t bytes_in, uint32_t bytes_out, Way way);
  // Runs until all packets are gone.
  void finish();
  CoreCounters counters() const;

 private:
  struct Step {
    uint32_t issue;
    enum class Kind : uint8_t { kRead, kPost, kLock, kUnlock, kEnd } kind;
    Memory memory;
    uint8_t words;
    uint32_t place;
    bool exclusive;  // kLock, kUnlock
  };
  struct Job {
    std::vector<Step> steps;
    uint32_t bytes_in, bytes_out;
    Way way;
    uint32_t island = 0;
    uint64_t arrival = 0;
    bool done = false;
  };
  struct Thread {
    uint64_t job = 0;
    size_t step = 0;
    uint64_t since = 0;  // it has waited for its core
    uint64_t began = 0;
  };
  struct Core {
    bool busy = false;
    std::deque<uint32_t> ready;
  };
  struct Island {
    uint32_t free_buffers;
    std::deque<uint64_t> work;
    std::deque<uint32_t> idle;  // threads
    uint64_t memory_free = 0;
  };
  struct Lock {
    uint32_t shared = 0;
    bool exclusive = false;
  };
  enum class What : uint8_t { kWire, kWork, kReady, kIssued, kGone };
  struct Event {
    uint64_t time;
    uint64_t order;
    What what;
    uint64_t number;  // job, thread
    bool operator>(const Event& other) const { return time != other.time ? time > other.time : order > other.order; }
  };

  void expand(const Trace& trace, std::vector<Step>& steps) const;
  void at(uint64_t time, What what, uint64_t number) { events_.push({time, order_++, what, number}); }
  void advance(bool to_the_end);
  void handle(const Event& event);
  void from_wire(uint64_t job);
  void dispatch();
  void start(uint32_t thread);
  void run_next(uint32_t core);
  void issued(uint32_t thread);
  uint64_t access(const Step& step, uint32_t island);
  bool lock(const Step& step);
  void unlock(const Step& step);
  void end(uint32_t thread);
  void release();
  void gone(uint64_t job);
  Job& job(uint64_t number) { return jobs_[number - first_job_]; }
  uint32_t core_of(uint32_t thread) const { return thread / timing_.threads; }
  uint32_t island_of(uint32_t thread) const { return core_of(thread) / timing_.cores; }
  static constexpr uint64_t kParts = 1000;  // of a cycle, in which wires are counted
  uint64_t parts_of(uint64_t bytes, uint32_t gbps) const;
  void next_frame();
  void count_latency(uint64_t cycles);

  const CardTiming timing_;
  std::vector<Island> islands_;
  std::vector<Core> cores_;
  std::vector<Thread> threads_;
  std::unordered_map<uint32_t, Lock> locks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::deque<Job> jobs_;          // from first_job_ on: not gone
  std::deque<uint64_t> source_;   // on the wire, not yet arrived
  std::deque<uint64_t> waiting_;  // for a buffer
  uint64_t first_job_ = 0, next_job_ = 0, next_release_ = 0;
  bool wire_held_ = false;
  uint64_t now_ = 0, order_ = 0;
  uint64_t wire_free_ = 0, out_free_ = 0, host_free_ = 0;  // in parts of cycles
  uint64_t internal_free_ = 0, external_free_[2] = {}, reorder_free_ = 0;
  uint64_t held_since_ = 0, waiting_for_order_ = 0;
  CoreCounters counters_;
  static constexpr unsigned kFine = 32;  // parts of each power of two
  std::array<uint64_t, 64 * kFine> latencies_{};
};

}  // namespace xnic::exec::sim::nfp
