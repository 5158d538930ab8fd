// SPDX-License-Identifier: Apache-2.0
// One daemon for one test: started by `xnic up`, gone with the object, whatever the test did to it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/process.hpp"
#include "nic/control/client.hpp"
#include "nic/port/memory_peer.hpp"

namespace xnic::tests::daemon {

// A program of programs/, as an object file.
std::string program(const std::string& name);

class Daemon {
 public:
  // `ports` is the configuration's part behind [card]; "@" in it stands for the daemon's folder. `card` has further
  // keys of [card].
  explicit Daemon(const std::string& ports, const std::string& card = "");
  ~Daemon();

  // `xnic up`; `in` is put before the command, to run it elsewhere ("testnet", "exec", …).
  cli::Finished up(std::vector<std::string> in = {});
  // `xnic ARGUMENTS...` with this daemon's socket.
  cli::Finished xnic(std::vector<std::string> arguments) const;
  // The same, expecting success; its output.
  std::string must(std::vector<std::string> arguments) const;
  nlohmann::ordered_json stats() const;
  // The daemon's process, 0 when none runs.
  pid_t pid() const;
  std::string path(const std::string& file) const { return folder_ + "/" + file; }
  std::string socket() const { return path("control"); }
  std::string config() const { return path("card.toml"); }
  std::string log() const;
  nic::control::Client client() const;
  nic::port::MemoryPeer peer(const std::string& port) const;

 private:
  std::string folder_;
};

// Keys of a memory port whose socket is NAME.sock in the daemon's folder.
std::string memory_port(const std::string& name, uint32_t ifindex);
// An Ethernet frame of UDP over IPv4; `id` is its payload.
std::vector<uint8_t> frame(uint32_t id);
// Sends `count` frames with ids from `first` and takes as many from `to`; returns the ids that came, in order.
std::vector<uint32_t> pass(nic::port::MemoryPeer& from, nic::port::MemoryPeer& to, uint32_t first, uint32_t count);

}  // namespace xnic::tests::daemon
