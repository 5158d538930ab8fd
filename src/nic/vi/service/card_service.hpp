// SPDX-License-Identifier: Apache-2.0
// A card of virtual interfaces: makes its memory, answers clients at a Unix socket, and carries frames between the
// ports and the kernel. A daemon and tests host it alike; frames between clients never pass it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::vi {

struct PortOptions {
  std::string name;  // up to 15 characters; with `kernel_side`, of the network interface too
  std::string peer;  // port at the other end of the wire; empty: none
  uint32_t mtu = 1500;
  port::MacAddress mac{};    // zeros: one made from the place in the list
  bool kernel_side = false;  // a TAP interface of the name is made, and goes with the card (needs root)
  uint32_t ifindex = 0;  // without a kernel side: what ef_pd_alloc knows the port by; 0: its place in the list, plus 1
};

struct CardOptions {
  std::string socket;  // path
  uint32_t socket_mode = 0660;
  std::vector<PortOptions> ports;
};

class CardService {
 public:
  // Serves from here on, in a thread of its own, until it is destroyed. Errors: kBadInput (names, peers), kIo.
  static base::Result<std::unique_ptr<CardService>> start(const CardOptions& options);
  // Clients see EF_EVENT_TYPE_RESET.
  ~CardService();
  // For tests and tools: how many clients are connected, and the pages that registered memory and rings hold.
  uint32_t clients() const;
  uint64_t pages_in_use() const;
  // Frames that came to the port and that nobody wanted.
  uint64_t unclaimed(const std::string& port) const;
  // The next `count` CTPIO sends of the port run dry on the way.
  void provoke_underruns(const std::string& port, uint32_t count);

 private:
  class Impl;
  explicit CardService(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace xnic::nic::vi
