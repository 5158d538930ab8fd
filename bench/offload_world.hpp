// SPDX-License-Identifier: Apache-2.0
// What the offload's benchmark runs in: two network namespaces, "host" and "card", which are joined by a veth pair for
// kernel TCP and another for links over XDP sockets (a program on a pair turns its segmentation offload off), and end
// with the process; counters of a thread's own work; and the loads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.hpp"

namespace xnic::bench {

constexpr int kHostCpu = 0, kAgentCpu = 1;
constexpr const char* kHostAddress = "10.77.0.1";
constexpr const char* kCardAddress = "10.77.0.2";
constexpr const char* kHostLink = "xnl0";
constexpr const char* kCardLink = "xnl1";

// Two namespaces held by two threads, so that nothing of them outlives this object.
class TwoHosts {
 public:
  enum class Side { kHost, kCard };
  // Errors: kIo (no root, no ip(8)).
  static base::Result<std::unique_ptr<TwoHosts>> make();
  ~TwoHosts();
  // A thread in the namespace of `side`, on its processor, with realtime priority where that is allowed.
  std::thread thread(Side side, std::function<void()> body) const;

 private:
  TwoHosts() = default;
  struct Holder {
    std::thread thread;
    std::atomic<int> tid{0};
    int fd = -1;
  };
  Holder host_, card_;
  std::atomic<bool> stop_{false};
};

// Instructions, cycles and time on the processor of the calling thread, user and kernel. Instructions and cycles are 0
// on machines that do not count them (many virtual ones).
class Work {
 public:
  Work();
  ~Work();
  void start();
  void stop();
  uint64_t instructions() const { return values_[0]; }
  uint64_t cycles() const { return values_[1]; }
  uint64_t cpu_ns() const { return cpu_ns_; }

 private:
  int fds_[2];
  uint64_t values_[2] = {};
  uint64_t cpu_ns_ = 0;
};

struct LoadResult {
  uint64_t requests = 0;
  double seconds = 0;
};
// Clients: `connections` connections to `address`:`port`, each sends `bytes` and waits for the echo, until `stop`.
LoadResult echo_load(const char* address, uint16_t port, int connections, uint32_t bytes,
                     const std::atomic<bool>& stop);
// Opens a connection, exchanges one byte, closes it, over and over.
LoadResult short_load(const char* address, uint16_t port, const std::atomic<bool>& stop);
// Reads and drops whatever comes over one connection that it opens.
LoadResult sink_load(const char* address, uint16_t port, const std::atomic<bool>& stop);

// Opens `count` connections and holds them until `stop`.
void hold_connections(const char* address, uint16_t port, int count, const std::atomic<bool>& stop);

// Servers of kernel TCP at `port` of every address; they end after `stop` within 20 ms.
struct ServerResult {
  uint64_t requests = 0, bytes = 0, instructions = 0, cycles = 0, cpu_ns = 0;
};
ServerResult kernel_echo(uint16_t port, const std::atomic<bool>& measure, const std::atomic<bool>& stop);
ServerResult kernel_send(uint16_t port, const std::atomic<bool>& measure, const std::atomic<bool>& stop);

}  // namespace xnic::bench
