// SPDX-License-Identifier: Apache-2.0
// Card: workers, ports, and all that an operator changes while packets flow. The programs of the ports come from the
// device: whoever makes, updates or drops an XDP link by bpf(2) changes them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "device/device.hpp"
#include "device/ports.hpp"
#include "nic/datapath/worker.hpp"

namespace xnic::nic::datapath {

struct CardOptions {
  uint32_t workers = 1;
  std::vector<int> cpus;              // where the workers' threads run, in order; fewer than workers: the rest anywhere
  uint32_t frames_per_worker = 8192;  // a power of two
  std::string engine = "native";      // of programs, unless the port says otherwise
  uint32_t spin_polls = 2000;         // empty polls before a worker sleeps
  uint64_t seed = 1;                  // of the programs' random numbers
  const base::Clock* clock = nullptr;          // null: the machine's; not owned
  const exec::HostNetwork* network = nullptr;  // what helpers see of the host's network; not owned
};

// What one worker's engine says of a port's program.
struct WorkerEngine {
  std::string name;
  exec::EngineCounters counters;
};

// Thread-safe, but for poll_once() of the workers, which is for one thread while the card does not run.
class Card final : private device::PortListener {
 public:
  static constexpr uint32_t kMaxQueues = 256;  // of one port, as programs see them

  // Becomes the listener of `device`, which must outlive the card. Errors: kBadInput (counts; more workers than the
  // device's per-CPU maps have copies; no such engine), kIo (no memory).
  static base::Result<std::unique_ptr<Card>> create(device::Device& device, const CardOptions& options);
  // Stops. Packets under way are lost; see drain().
  ~Card();

  // The memory that ports have their frames from.
  frame::Memory& memory() { return *fabric_.memory; }
  uint32_t workers() const { return fabric_.workers; }
  Worker& worker(uint32_t index) { return *workers_[index]; }

  // The port comes into use; a port of the card (not a side) is entered in the device, where links find it by ifindex.
  // Errors: kBadInput (ifindex or name taken, no such port to be a side of, a second host side, options), kLimit.
  base::Result<void> add_port(std::unique_ptr<port::Port> port, PortOptions options = {});
  // The port and its sides are received from and sent to no more, then closed and destroyed. What waits for them is
  // dropped and counted. Errors: kBadInput (no such port).
  base::Result<void> remove_port(uint32_t ifindex);

  // All filters of a port at once: each packet sees the old ones or the new ones. Errors: kBadInput (see FilterTable;
  // a destination that is not there).
  base::Result<void> set_filters(uint32_t ifindex, std::vector<Filter> filters);
  // Errors: kBadInput (no such port, a queue that it does not have; the port is not spread by the card).
  base::Result<void> set_rss(uint32_t ifindex, const RssOptions& options);
  // The engine of the programs that are attached to the port from now on; empty: the card's. Errors: kBadInput.
  base::Result<void> set_engine(uint32_t ifindex, const std::string& engine);
  base::Result<void> set_features(uint32_t ifindex, const Features& features);

  // Threads. start() again after stop() is fine. False: a worker could not be pinned to its processor.
  bool start();
  void stop();
  // Receives nothing more and waits until what is under way is out, or for this long. True: nothing is under way. Then
  // resume() or stop(). Pre: started.
  bool drain(uint64_t timeout_ns);
  void resume();

  // Packets as they pass: nothing is copied while it is off, which is how a card begins. Errors: kBadInput (match).
  base::Result<void> set_trace(const std::optional<TraceOptions>& options);
  // Hands out what the workers recorded, of each worker in order; how many. One caller at a time.
  size_t read_trace(const std::function<void(const TraceRecord&)>& take);
  // The same of packets whose program aborted: recorded always.
  size_t read_aborts(const std::function<void(const TraceRecord&)>& take);
  // Records that found a full ring.
  uint64_t trace_missed() const;

  // Of the whole card, ports that were removed included.
  Totals totals() const;
  // Nothing when there is no such port.
  std::optional<Totals> port_totals(uint32_t ifindex) const;
  // By queue, as programs see queues.
  std::vector<QueueTotals> queue_totals(uint32_t ifindex) const;
  // The engines of a port's program, by worker, as they are between two batches; models of cards say here what their
  // card would have done with the traffic. Empty without a program.
  std::vector<WorkerEngine> engines(uint32_t ifindex);
  struct PortEntry {
    uint32_t ifindex;
    uint32_t side_of;
    std::string name, kind;
    std::optional<base::Error> error;  // of Port::status()
  };
  std::vector<PortEntry> ports() const;
  // Why the last attachment to a port failed: bpf(2) has only an errno for it.
  std::optional<base::Error> attach_error(uint32_t ifindex) const;

 private:
  explicit Card(device::Device& device, const CardOptions& options);
  int program_changes(uint32_t ifindex, std::shared_ptr<const exec::LoadedProgram> program) override;
  std::unique_ptr<Config> copy_config() const;
  void publish(std::unique_ptr<Config> next);
  void on_all_workers(const std::function<void(Worker&)>& work);
  base::Result<void> check_port(const port::Port& port, const PortOptions& options) const;
  base::Result<PortView*> port_to_change(Config& config, uint32_t ifindex) const;
  void close_port(PortState& state);
  uint64_t under_way() const;

  device::Device& device_;
  const CardOptions options_;
  base::SystemClock system_clock_;
  Fabric fabric_;
  std::vector<std::unique_ptr<Worker>> workers_;
  mutable std::mutex mutex_;  // of all changes; never held by workers
  std::unique_ptr<const Config> config_;
  Totals retired_;  // of ports that were removed
  std::vector<std::pair<uint32_t, base::Error>> attach_errors_;
  bool started_ = false;
};

}  // namespace xnic::nic::datapath
