// SPDX-License-Identifier: Apache-2.0
// The commands that speak to xnicd: up, down, ports, attach, detach, stats, top, trace, map.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace CLI {
class App;
}

namespace xnic::tools {

struct DaemonOptions {
  std::string socket;              // empty: $XNIC_SOCKET, else the daemon's default
  std::string file;                // up: configuration; attach: object; ports add: [[port]] keys; map set: elements
  std::string log;                 // up
  std::string program, engine;     // attach
  std::vector<std::string> ports;  // attach
  std::string port;                // detach, ports remove
  std::vector<std::string> fills;  // attach: NAME=FILE.json
  std::string map, key, value;     // map
  bool json = false;
  bool once = false;                 // top
  uint32_t interval_ms = 1000;       // top, map watch
  std::vector<std::string> filters;  // trace, filter add: KEY=VALUE
  uint32_t number = 0;               // filter del
  uint64_t limit = 0;                // trace, map watch; 0: none
  std::string out;                   // trace: pcapng
  std::function<int()> job;          // what the command line asks for; empty: none of these commands
};
void add_daemon_commands(CLI::App& app, DaemonOptions& options);

int up(const DaemonOptions& options);
int down(const DaemonOptions& options);
int ports(const DaemonOptions& options);
int add_port(const DaemonOptions& options);
int remove_port(const DaemonOptions& options);
int change_port(const DaemonOptions& options);
int filters(const DaemonOptions& options);
int add_filter(const DaemonOptions& options);
int remove_filter(const DaemonOptions& options);
int attach(const DaemonOptions& options);
int detach(const DaemonOptions& options);
int stats(const DaemonOptions& options);
int top(const DaemonOptions& options);
int trace(const DaemonOptions& options);
int map_command(const DaemonOptions& options, const std::string& what);

std::string socket_of(const DaemonOptions& options);
// One request, one reply.
base::Result<nlohmann::ordered_json> ask(const DaemonOptions& options, const nlohmann::ordered_json& request,
                                         base::Result<std::vector<uint8_t>> blob = std::vector<uint8_t>());
// Exit code of a request whose reply says nothing but that it was done.
int done(const base::Result<nlohmann::ordered_json>& reply);
// From now on SIGINT and SIGTERM set this, so that a command which runs until then ends well.
const volatile int& until_interrupted();

}  // namespace xnic::tools
