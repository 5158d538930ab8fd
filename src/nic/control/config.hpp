// SPDX-License-Identifier: Apache-2.0
// The daemon's configuration: one TOML file (docs/operations.md lists every key). What is read here has been checked as
// far as the file alone can tell; whether interfaces, programs and addresses exist is found out when they are used.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "nic/control/settings.hpp"
#include "nic/port/af_xdp.hpp"
#include "nic/port/capture.hpp"
#include "nic/port/fault.hpp"
#include "nic/port/memory.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::control {

inline constexpr const char* kDefaultSocket = "/run/xnic/control.sock";

struct CardConfig {
  uint32_t workers = 1;
  std::vector<int> cpus;   // of the workers, in order; fewer than workers: the rest run anywhere
  uint32_t frames = 8192;  // of each worker, a power of two
  uint32_t spin_polls = 2000;
  std::string engine = "native";
  std::string control = kDefaultSocket;  // path of the control socket
  uint32_t control_mode = 0660;
  std::string control_group;  // who owns the socket beside the daemon's user; empty: its own group
  std::string metrics;        // loopback address:port; empty: off
  std::string log_level = "info";
  bool sandbox = true;  // drop privileges after set-up
};

struct MapFill {
  std::string map;
  std::string file;  // bpftool's JSON
};

struct TapConfig {
  std::string interface;
};

struct PortConfig {
  std::string where;  // "FILE:LINE" of the port's table
  port::Info info;    // ifindex 0: the next that is free; MAC address 0: the kind's own choice
  std::variant<port::MemoryOptions, port::AfXdpOptions, TapConfig, port::CaptureOptions> options;  // by info.kind
  std::string host;        // the TAP interface that is made as its host side; empty: none
  std::string engine;      // empty: the card's
  uint32_t rx_queues = 0;  // as programs see them; 0: those of the port
  uint32_t first_worker = 0;
  std::string program;       // ELF object; empty: none
  std::string program_name;  // function or section; empty: the object's only one
  std::vector<MapFill> maps;
  std::optional<port::FaultOptions> faults;
  PortSettings settings;
};
QueueCounts queues_of(const PortConfig& port);

struct Config {
  std::string file;
  CardConfig card;
  std::vector<PortConfig> ports;
};

// Paths in the file that are relative are meant from the file's folder; in the result they are from the root or from
// where this process stands. Errors: kIo, kBadInput ("FILE:LINE: what is wrong, what is allowed").
base::Result<Config> read_config(const std::string& path);
// The same with the text at hand; `name` stands for the file in errors, `folder` is where relative paths begin.
base::Result<Config> parse_config(std::string_view text, const std::string& name, const std::string& folder);
// One port: the keys of a [[port]] table without its header.
base::Result<PortConfig> parse_port(std::string_view text, const std::string& name, const std::string& folder);

}  // namespace xnic::nic::control
