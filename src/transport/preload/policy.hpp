// SPDX-License-Identifier: Apache-2.0
// Which connections and listeners are offloaded: a list of rules, the first that matches decides; what none matches is
// offloaded. Loopback, link-local and multicast addresses always stay with the kernel.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace xnic::transport::preload {

enum class Use : uint8_t { kConnect, kListen };

struct Rule {
  bool offload = true;
  bool for_connect = true, for_listen = true;
  bool any_address = true;
  std::array<uint8_t, 16> prefix{};  // IPv4 as ::ffff:a.b.c.d
  uint8_t prefix_bits = 0;
  uint16_t first_port = 0, last_port = 65535;
};

class Policy {
 public:
  // Rules separated by ';', each: offload|kernel [connect|listen] [PREFIX] [port P[-Q]], as in
  //   "offload connect 10.0.0.0/8 port 80-89; kernel listen port 22; kernel".
  // Errors: kBadInput, with the words that it does not understand.
  static base::Result<Policy> parse(std::string_view text);

  // `address` as bind(2) or connect(2) takes it, IPv4 or IPv6; the unspecified address and port 0 are matched as such.
  bool offloads(Use use, const sockaddr* address) const;

 private:
  std::vector<Rule> rules_;
};

}  // namespace xnic::transport::preload
