// SPDX-License-Identifier: Apache-2.0
// The other ends of the card's ports: threads that send and receive as fast as they can, and one that does harm.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "nic/port/memory_peer.hpp"
#include "rig.hpp"

namespace xnic::tests::soak {

class Peers {
 public:
  // Attaches to every port of every lane. Errors: those of the ports.
  static base::Result<std::unique_ptr<Peers>> start(Rig& rig, uint64_t seed);
  // Ends the threads.
  ~Peers();

  // A pause lets the card fall asleep.
  void pause(bool on) { sending_ = !on; }
  void stop_sending();
  // How often the hostile peer attached.
  uint64_t attacks() const { return attacks_; }

 private:
  struct End {
    Rig::Path* path;
    bool entry;  // sends
    nic::port::MemoryPeer peer;
    uint64_t turn = 0;
  };
  Peers() = default;
  void serve(std::vector<End>& ends);
  // How many frames.
  uint32_t send(End& end);
  uint32_t receive(End& end);
  void attack(const std::string& socket, uint64_t seed);

  std::atomic<bool> sending_{true}, attacking_{true}, running_{true};
  std::atomic<uint64_t> attacks_{0};
  std::vector<std::vector<End>> ends_;  // by thread
  std::vector<std::thread> threads_;
  std::thread attacker_;
};

}  // namespace xnic::tests::soak
