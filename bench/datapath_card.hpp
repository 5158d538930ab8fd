// SPDX-License-Identifier: Apache-2.0
// A running card with memory ports, and who it exchanges frames with, for bench_datapath.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "device/object.hpp"
#include "nic/datapath/card.hpp"
#include "nic/port/memory_peer.hpp"

namespace xnic::bench {

constexpr size_t kFrameBytes = 64;
constexpr int kCardCpu = 0, kPeerCpu = 1;
// The ports' indexes on the card. Packets received at the first come from the firewall's inside.
constexpr uint32_t kInside = 2, kOutside = 3;

// Realtime (round robin) for this thread and those it starts, so that what else the machine does takes little. False:
// not allowed.
bool go_realtime(int priority);
void pin_thread(int cpu);

// One worker with two memory ports, lossless, with sockets in a folder that goes with it.
class MemoryCard {
 public:
  ~MemoryCard();
  // Attaches `program` (an object's path) to both ports and starts. Errors: those of loading and attaching.
  static base::Result<std::unique_ptr<MemoryCard>> start(const std::filesystem::path& program);
  base::Result<nic::port::MemoryPeer> peer(uint32_t ifindex) const;
  nic::datapath::Card& card() { return *card_; }

 private:
  base::Result<void> attach(uint32_t ifindex);
  base::Result<void> set_target(uint32_t key, uint32_t ifindex);
  std::string path_of(uint32_t ifindex) const { return folder_ / ("port" + std::to_string(ifindex)); }
  base::SystemClock clock_;
  std::filesystem::path folder_;
  device::Device device_;
  std::unique_ptr<device::Object> object_;
  std::unique_ptr<nic::datapath::Card> card_;
  std::vector<int> links_;
};

// DPDK's forwarder, the peer of several rows.
inline const std::filesystem::path kTestpmd = "/usr/bin/dpdk-testpmd";
// Starts a shell command. Returns its process id, or -1.
pid_t spawn(const std::string& command);

// Millions of packets a second that the card forwards, both ways at once, as samples of a third of a second.
base::Result<std::vector<double>> forwarding_mpps(const std::filesystem::path& firewall, int samples);
// Nanoseconds from giving the card a frame until it is back, program `tx`: medians, one a series of 20,000.
base::Result<std::vector<double>> round_trip_ns(const std::filesystem::path& tx, int samples);
// The same between two threads that copy a frame's bytes to each other through shared memory, with nothing else.
std::vector<double> ping_pong_ns(int samples);

}  // namespace xnic::bench
