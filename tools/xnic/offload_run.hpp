// SPDX-License-Identifier: Apache-2.0
// `xnic offload -- COMMAND`: runs a program whose TCP is the agent's.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace xnic::tools {

struct OffloadRunOptions {
  std::string agent = "/run/xnic/agent.sock";
  std::vector<std::string> rules;
  int spin_us = -1;  // -1: the library's own
  std::vector<std::string> command;
  std::function<int()> job;  // empty: not this command
};
void add_offload(CLI::App& app, OffloadRunOptions& options);

}  // namespace xnic::tools
