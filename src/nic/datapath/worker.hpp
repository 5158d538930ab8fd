// SPDX-License-Identifier: Apache-2.0
// Worker: one thread's part of the card. It receives from its queues, runs programs, and transmits, each packet to the
// end before the next batch (docs/datapath.md).
//
// Nothing here locks or allocates while packets flow, with two exceptions, each once per program: the first packet for
// a map entry whose program came after the attachment, and the first redirect through a map of another program (after
// a tail call).
#pragma once

#include <poll.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "nic/datapath/config.hpp"

namespace xnic::exec {
class HostNetwork;
}

namespace xnic::nic::datapath {

// An eventfd: how a sleeping worker is woken.
class Bell {
 public:
  Bell();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  void ring() const;   // any thread
  void clear() const;  // its worker
  int fd() const { return fd_; }

 private:
  int fd_;
};

// What the workers of a card share.
struct Fabric {
  uint32_t workers = 1;
  uint32_t spin_polls = 0;
  uint64_t seed = 1;
  const base::Clock* clock = nullptr;
  const exec::HostNetwork* network = nullptr;
  std::string engine;
  MapResolver resolver;
  std::unique_ptr<frame::Memory> memory;
  std::vector<std::unique_ptr<Bell>> bells;
  // By class, giving worker, taking worker; null from a worker to itself.
  std::vector<std::unique_ptr<HandOver>> rings;
  HandOver& ring(Class what, uint32_t from, uint32_t to) const {
    return *rings[(static_cast<size_t>(what) * workers + from) * workers + to];
  }
  std::atomic<const Config*> config{nullptr};
  std::atomic<bool> receiving{true};  // false: the card drains
};

class Worker {
 public:
  // Pre: `fabric` outlives the worker.
  Worker(Fabric& fabric, uint32_t index);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // One round: waiting packets, the rings of the other workers, a batch from each of its queues. Returns how many
  // packets moved. For tests that step workers by hand; not while its thread runs.
  uint32_t poll_once();

  // Runs poll_once() in a thread of its own, on this processor unless `cpu` is negative. False: it cannot be pinned
  // there (the thread runs unpinned).
  bool start(int cpu);
  void stop();
  // Runs `work` between two polls and returns when it is done: after that the worker has no use of anything that the
  // configuration before the call named. In this thread when the worker has none. One caller at a time.
  void call(const std::function<void()>& work);

  // What the control side reads.
  TraceRing& trace() { return trace_; }
  TraceRing& aborts() { return aborts_; }
  const WorkerCounters& lost() const { return lost_; }
  // In call(): what waits for a port that is being removed is dropped.
  void forget(PortState& state);
  // In call(): gives up what it found out about maps and entries on its own; the caller destroys it.
  std::unique_ptr<WorkerProgram> take_orphan();

 private:
  using Packet = exec::packet::Packet;
  using Batch = std::span<Packet>;

  // worker.cpp: where packets come from.
  uint32_t receive(const Config::Queue& queue);
  size_t take_features(const PortView& port, size_t count);
  size_t classify(const PortView& port, size_t count);
  bool steer(const PortView& port, Packet& packet, uint32_t& aside);
  uint32_t take_rings(Class what);
  void take_batch(Class what, HandOver& ring, uint32_t count);
  bool room_for(Class first);

  // verdicts.cpp: what becomes of them.
  void run_program(const PortView& port, Batch packets);
  void carry_out(const PortView& port, Batch packets, std::span<const exec::Verdict> verdicts);
  size_t redirect(const PortView& port, Batch packets, std::span<const exec::Verdict> verdicts, bool from_cpumap);
  size_t through_devmap(const PortView& port, Batch packets, std::span<const exec::Verdict> verdicts);
  void broadcast(const PortView& port, exec::maps::Map& map, uint64_t flags, Packet& packet);
  void through_entry(const PortView& port, exec::maps::Map& map, uint32_t key, EntryValue value, Batch packets);
  void to_worker(const PortView& port, const exec::Redirect& redirect, Batch packets);
  void run_cpumap(const PortView& port, const Errand& errand, Batch packets);
  void to_host(const PortView& port, Batch packets);
  bool run_engine(exec::Engine* engine, Batch packets, std::span<exec::Verdict> verdicts);
  WorkerProgram& program_of(const PortView& port);
  WorkerCounters& counters_of(const PortView& port) { return port.state->sides[index_]->counters; }
  void count_verdicts(const PortView& port, Batch packets, std::span<const exec::Verdict> verdicts);

  // egress.cpp: where they go.
  void out(const PortView& port, Batch packets);
  void stage(const PortView& port, Batch packets);
  void send(const PortView& port, PortState::Side& side);
  void send_staged();
  void keep(PortState& state, PortState::Side& side, Packet& packet);
  void flush();
  uint32_t push_waiting();
  uint32_t push_waiting(PortState& state);
  void drop_waiting(PortState& state, Drop reason);
  void hand_over(Class what, uint32_t worker, Packet& packet, const Errand& errand, WorkerCounters& counters);
  Packet* copy_of(const Packet& packet, WorkerCounters& counters);
  void drop(Batch packets, WorkerCounters& counters, Drop reason);
  void note_residence(const PortState::Side& side, WorkerCounters& counters, uint64_t now_ns);

  // sleep.cpp: its thread.
  void loop();
  void idle();
  void sleep();
  bool prepare_sleep();
  void wake_up();
  void run_call();
  void finish_call();

  Fabric& fabric_;
  const uint32_t index_;
  frame::Pool& pool_;
  const Config* config_ = nullptr;  // of this poll
  exec::RunContext context_;
  uint64_t random_state_;

  std::vector<Packet> packets_;  // the batch; kBatch unbound packets, as the two below
  std::vector<Packet> aside_;    // of the batch, what leaves it before the program
  std::vector<Packet> copies_;
  size_t copies_used_ = 0;
  std::vector<exec::Verdict> verdicts_, entry_verdicts_, cpu_verdicts_;
  std::vector<Errand> errands_;
  std::vector<const PortView*> touched_;   // have something staged, or want to be flushed
  std::vector<PortState*> waiting_ports_;  // have a backlog here
  uint32_t held_ = 0;                      // packets in backlogs; while there are any, nothing is received
  std::vector<uint8_t> jumbo_;             // for copies of packets with fragments
  std::unique_ptr<WorkerProgram> orphan_;  // for packets whose program is gone
  WorkerCounters lost_{1};                 // ends of packets whose port is gone
  TraceRing trace_, aborts_;

  // The thread and its calls.
  std::thread thread_;
  std::atomic<bool> stopping_{false};
  std::vector<pollfd> poll_fds_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::atomic<bool> called_{false};
  const std::function<void()>* call_ = nullptr;  // guarded by mutex_
  bool running_ = false;                         // guarded by mutex_
};

}  // namespace xnic::nic::datapath
