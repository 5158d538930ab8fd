// SPDX-License-Identifier: Apache-2.0
// `xnic testnet`: hosts in network namespaces, each joined by a veth pair to an interface in the card's namespace.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::tools {

struct TestnetOptions {
  std::string net = "xnic";                       // namespaces are NET-card and NET-HOST
  std::vector<std::string> hosts = {"h1", "h2"};  // NAME or NAME=ADDRESS/LENGTH,...
  uint32_t mtu = 1500;
  uint32_t queues = 1;
  std::string ipv4 = "10.77.0.0/24";  // of hosts without addresses of their own, in the order of the hosts
  std::string ipv6 = "fd77::/64";
  std::string where;                 // exec: the host, or "card"
  std::vector<std::string> command;  // exec
};
int testnet_up(const TestnetOptions& options);
int testnet_down(const TestnetOptions& options);
// Becomes the command; returns only when it cannot.
int testnet_exec(const TestnetOptions& options);

// What `up` does, as commands for `ip -batch`; made without touching the system.
struct TestnetPlan {
  struct Host {
    std::string name;  // and that of the card's interface
    std::string space;
    std::vector<std::string> addresses;
    std::string commands;  // run in `space`
  };
  std::string card_space;
  std::vector<Host> hosts;
  std::string links;          // run anywhere, when the namespaces are there
  std::string card_commands;  // run in `card_space`
  std::string id;             // one line that says all options; equal for equal networks

  std::vector<std::string> spaces() const;
};
// Errors: kBadInput (a name or address that is none, too many hosts).
base::Result<TestnetPlan> plan_testnet(const TestnetOptions& options);

}  // namespace xnic::tools
