// SPDX-License-Identifier: Apache-2.0
// The card's bpf(2) for other processes: a Unix socket beside the control socket (device/remote says what is spoken).
//
// Each connection has a thread, so a client that is slow, stuck or hostile keeps nobody waiting; it has
// kPatienceSeconds for each part of a conversation. Connections have no state worth keeping, so when all places are
// taken the one that has been silent for longest is closed: its client connects anew.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.hpp"
#include "device/remote/session.hpp"

namespace xnic::nic::door {

inline constexpr size_t kMaxClients = 128;

struct DoorOptions {
  std::string path;
  uint32_t mode = 0660;
  std::string group;  // members may change the card, as root may; empty: the daemon's own group
};

class Door {
 public:
  // Makes the socket; nobody is served yet. Pre: who calls has made sure that no other daemon serves the path (the lock
  // of control::Endpoint). Errors: kBadInput, kIo.
  static base::Result<std::unique_ptr<Door>> open(const DoorOptions& options);
  // Closes every connection; waits for commands under way.
  ~Door();
  // Pre: once. `device` and `network` outlive the door.
  void serve(device::Device& device, device::remote::Network& network);
  size_t clients() const;

 private:
  struct Client;
  explicit Door(DoorOptions options);
  void accept_loop();
  void admit(exec::kernel::Fd socket);
  bool make_room();
  device::remote::Peer peer_of(int socket) const;

  const DoorOptions options_;
  exec::kernel::Fd socket_, stop_;
  gid_t group_ = 0;
  device::Device* device_ = nullptr;
  device::remote::Network* network_ = nullptr;
  mutable std::mutex mutex_;
  std::list<std::unique_ptr<Client>> clients_;
  std::thread acceptor_;
};

}  // namespace xnic::nic::door
