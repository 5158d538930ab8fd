// SPDX-License-Identifier: Apache-2.0
// The card of the soak: its lanes, and the account of every packet.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device/object.hpp"
#include "lane.hpp"
#include "nic/datapath/card.hpp"
#include "nic/port/fault.hpp"

namespace xnic::tests::soak {

struct RigOptions {
  std::string programs;  // folder of the objects
  std::string folder;    // for the sockets
  std::string engine = "native";
  uint32_t workers = 2;
  uint64_t seed = 1;
  uint32_t fault_ppm = 2000;  // of each kind of fault where a lane has them; stalls are ten times rarer
};

// What goes in, what comes out, and where the difference is counted.
struct Account {
  std::string lane;
  uint64_t sent = 0, received = 0;
  std::vector<std::pair<std::string, uint64_t>> added, lost;  // without zeros
  bool balanced() const;
};

class Rig {
 public:
  // A lane's ends: frames sent into the first port arrive at `far`, one port or several.
  struct Path {
    std::string name;
    std::unique_ptr<Lane> lane;
    uint32_t entry;
    std::vector<uint32_t> far;
    bool exact;    // nothing may be lost, changed or out of order
    bool naps;     // its receiver does not always look
    bool ordered;  // without faults frames of a flow keep their order
  };
  static base::Result<std::unique_ptr<Rig>> create(const RigOptions& options);
  ~Rig();

  nic::datapath::Card& card() { return *card_; }
  std::vector<Path>& paths() { return paths_; }
  std::string socket(uint32_t ifindex) const { return options_.folder + "/port" + std::to_string(ifindex); }
  // A port that takes part in no lane: for a peer that does what it likes.
  uint32_t hostile_port() const { return kHostile; }

  // Another load of the program takes the place of the one that runs, on each lane that sends frames back.
  base::Result<void> replace_programs();
  // Frames of the redirected lane go to its other port from now on.
  void turn_redirect();

  Account account(const Path& path) const;
  // What is wrong with what the far end saw, given what the card has counted; empty: nothing.
  std::string complaint(const Path& path) const;
  uint64_t replacements() const { return replacements_; }
  uint64_t map_updates() const { return map_updates_; }
  // Stops the card and closes the ports. Frames that are then in no pool.
  uint64_t close();
  // Packets that the redirecting program counted in its map.
  uint64_t counted_by_program() const;

 private:
  static constexpr uint32_t kHostile = 2;
  explicit Rig(const RigOptions& options) : options_(options) {}
  base::Result<void> build();
  base::Result<void> add_port(uint32_t ifindex, bool lossless, bool faults, uint32_t rx_queues, uint32_t first_worker);
  base::Result<void> load_program();
  base::Result<void> attach(uint32_t ifindex, const device::Object& object);
  static uint64_t sum(const nic::port::FaultPort& port, std::atomic<uint64_t> nic::port::FaultCounters::* counter);

  struct PortOfLane {
    nic::port::Port* port;
    nic::port::FaultPort* faults;  // the same one, or null
  };
  const RigOptions options_;
  base::SystemClock clock_;
  device::Device device_;
  std::unique_ptr<nic::datapath::Card> card_;
  std::map<uint32_t, PortOfLane> ports_;
  std::map<uint32_t, int> links_;
  std::unique_ptr<device::Object> returning_, redirecting_;
  std::vector<uint8_t> returning_elf_;
  std::vector<Path> paths_;
  uint64_t replacements_ = 0, map_updates_ = 0;
};

}  // namespace xnic::tests::soak
