// SPDX-License-Identifier: Apache-2.0
// The command `exec` (docs/toolchain.md).
#pragma once

#include <string>
#include <vector>

#include "xnic/daemon.hpp"

namespace xnic::tools {

struct ExecOptions {
  std::vector<std::string> command;
};
void add_exec(CLI::App& app, DaemonOptions& daemon, ExecOptions& options);

}  // namespace xnic::tools
