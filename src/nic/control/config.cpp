// SPDX-License-Identifier: Apache-2.0
// From TOML to Config. Each table is read by one function that names its keys once; keys.hpp makes the errors.
#include "nic/control/config.hpp"

#include <arpa/inet.h>
#include <fmt/ranges.h>
#include <net/if.h>
#include <sys/un.h>

#include <algorithm>
#include <filesystem>

#include "base/file.hpp"
#include "exec/engine.hpp"
#include "nic/control/settings_keys.hpp"
#include "nic/port/memory_region.hpp"

namespace xnic::nic::control {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr std::string_view kKinds[] = {"af_xdp", "memory", "tap", "pcap"};
constexpr std::string_view kLogLevels[] = {"trace", "debug", "info", "warn", "error"};

// "kernel" runs programs in the live kernel one packet a system call: a reference for tests, no engine for traffic.
std::vector<std::string_view> engines() {
  std::vector<std::string_view> names = exec::engine_names();
  std::erase(names, "kernel");
  return names;
}

void socket_path(Keys& keys, std::string_view key, std::string& target, const std::string& folder) {
  keys.path(key, target, folder);
  if (target.size() >= sizeof(sockaddr_un::sun_path))
    keys.fail(key, fmt::format("\"{}\" is too long for a Unix socket: at most {} bytes", target,
                               sizeof(sockaddr_un::sun_path) - 1));
}

// "127.0.0.1:9464" or "[::1]:9464": what a scraper on this machine reaches and nobody else.
bool is_loopback(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return false;
  const std::string port = address.substr(colon + 1);
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos || std::stoul(port) > 65535)
    return false;
  const std::string host = address.substr(0, colon);
  if (host == "[::1]") return true;
  in_addr parsed{};
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 && (ntohl(parsed.s_addr) >> 24) == 127;
}

Result<CardConfig> read_card(Keys keys, const std::string& folder) {
  CardConfig card;
  keys.number("workers", card.workers, 1, 64);
  keys.numbers("cpus", card.cpus, 0, 4095);
  keys.power_of_two("frames", card.frames, 64, 1 << 22);
  keys.number("spin_polls", card.spin_polls, 0, 1'000'000'000);
  keys.choice("engine", card.engine, engines());
  socket_path(keys, "control", card.control, folder);
  keys.number("control_mode", card.control_mode, 0, 0777);
  keys.text("control_group", card.control_group);
  keys.text("metrics", card.metrics);
  keys.choice("log_level", card.log_level, kLogLevels);
  keys.flag("sandbox", card.sandbox);
  if (!card.metrics.empty() && !is_loopback(card.metrics))
    keys.fail("metrics", "allowed is a loopback address with a port, such as \"127.0.0.1:9464\" or \"[::1]:9464\"");
  if (card.cpus.size() > card.workers)
    keys.fail("cpus", fmt::format("names {} processors for {} workers", card.cpus.size(), card.workers));
  XNIC_TRY(keys.finish());
  return card;
}

void read_memory(Keys& keys, PortConfig& port, const std::string& folder) {
  port::MemoryOptions options;
  socket_path(keys, "path", options.path, folder);
  keys.power_of_two("entries", options.entries, 2, port::memory::kMaxEntries);
  keys.number("socket_mode", options.socket_mode, 0, 0777);
  keys.flag("lossless", port.info.lossless);
  keys.number("queues", port.info.queues, 1, port::memory::kMaxQueues);
  keys.number("mtu", port.info.mtu, 68, port::memory::kMaxMtu);
  if (options.path.empty()) keys.fail("path", "is missing: a memory port needs the path of its socket");
  port.options = std::move(options);
}

// A name that Linux takes for an interface (net/core/dev.c, dev_valid_name).
void interface_name(Keys& keys, std::string_view key, std::string& target) {
  keys.text(key, target);
  if (target.size() >= IFNAMSIZ || target.find_first_of("/: \t\n") != target.npos || target == "." || target == "..")
    keys.fail(key, fmt::format("allowed is the name of an interface, at most {} characters", IFNAMSIZ - 1));
}

void read_af_xdp(Keys& keys, PortConfig& port) {
  using Options = port::AfXdpOptions;
  Options options;
  std::string mode = "auto", copy = "auto";
  constexpr std::string_view kModes[] = {"auto", "native", "generic"};
  constexpr std::string_view kCopies[] = {"auto", "copy", "zero_copy"};
  interface_name(keys, "interface", options.interface);
  keys.choice("mode", mode, kModes);
  keys.choice("copy", copy, kCopies);
  keys.power_of_two("entries", options.entries, 64, 1 << 15);
  keys.number("busy_poll_us", options.busy_poll_us, 0, 1'000'000);
  keys.number("queues", port.info.queues, 1, 256);
  if (mode != "auto") options.mode = mode == "native" ? Options::Mode::kNative : Options::Mode::kGeneric;
  if (copy != "auto") options.copy = copy == "copy" ? Options::Copy::kCopy : Options::Copy::kZeroCopy;
  if (options.interface.empty())
    keys.fail("interface", "is missing: an af_xdp port needs an interface of this machine");
  port.options = std::move(options);
}

void read_tap(Keys& keys, PortConfig& port) {
  TapConfig options;
  interface_name(keys, "interface", options.interface);
  keys.number("queues", port.info.queues, 1, 256);
  keys.number("mtu", port.info.mtu, 68, 65521);
  if (options.interface.empty()) keys.fail("interface", "is missing: a tap port needs a name for the host's interface");
  port.options = std::move(options);
}

void read_pcap(Keys& keys, PortConfig& port, const std::string& folder) {
  using Pace = port::CaptureOptions::Pace;
  port::CaptureOptions options;
  std::string pace = "none";
  constexpr std::string_view kPaces[] = {"none", "rate", "stamps"};
  uint32_t loops = 1, rate = 0;
  keys.path("read", options.read_path, folder);
  keys.path("write", options.write_path, folder);
  keys.number("loops", loops, 0, UINT32_MAX);
  keys.choice("pace", pace, kPaces);
  keys.number("frames_per_second", rate, 1, 1'000'000'000);
  options.loops = loops;
  options.frames_per_second = rate;
  if (pace != "none") options.pace = pace == "rate" ? Pace::kRate : Pace::kStamps;
  if ((pace == "rate") != (rate != 0)) keys.fail("frames_per_second", "goes with pace = \"rate\"");
  if (options.read_path.empty() && options.write_path.empty())
    keys.fail("read", "is missing: a pcap port needs a file to read, to write, or both");
  port.options = std::move(options);
}

Result<PortConfig> read_port(Keys keys, const std::string& folder) {
  PortConfig port;
  port.where = keys.place();
  keys.text("name", port.info.name);
  keys.choice("kind", port.info.kind, kKinds);
  keys.number("ifindex", port.info.ifindex, 2, INT32_MAX);  // 1 is the card's loopback
  keys.choice("engine", port.engine, engines());
  keys.number("rx_queues", port.rx_queues, 1, 256);
  keys.number("first_worker", port.first_worker, 0, 63);
  keys.path("program", port.program, folder);
  keys.text("program_name", port.program_name);
  keys.mac("mac", port.info.mac, false);
  std::vector<std::pair<std::string, std::string>> maps;
  keys.texts("maps", maps);
  if (port.info.name.empty()) keys.fail("name", "is missing");
  if (port.info.name.size() > 63 || port.info.name.find('/') != std::string::npos)
    keys.fail("name", "allowed are at most 63 characters without '/'");
  if (port.info.kind.empty()) keys.fail("kind", fmt::format("is missing: {}", fmt::join(kKinds, ", ")));
  if (port.program.empty() && (!port.program_name.empty() || !maps.empty()))
    keys.fail(maps.empty() ? "program_name" : "maps", "needs the key \"program\" too");
  for (const auto& [map, file] : maps)
    port.maps.push_back({map, file.starts_with('/') || folder.empty() ? file : folder + "/" + file});
  interface_name(keys, "host", port.host);
  if (port.info.kind == "memory") read_memory(keys, port, folder);
  if (port.info.kind == "af_xdp") read_af_xdp(keys, port);
  if (port.info.kind == "tap") read_tap(keys, port);
  if (port.info.kind == "pcap") read_pcap(keys, port, folder);
  XNIC_TRY(read_faults(keys, port.faults));
  XNIC_TRY(read_settings(keys, queues_of(port), port.settings));
  XNIC_TRY(keys.finish());
  return port;
}

Result<void> check_unique(const std::vector<PortConfig>& ports) {
  for (auto port = ports.begin(); port != ports.end(); ++port) {
    for (auto other = ports.begin(); other != port; ++other) {
      if (other->info.name == port->info.name)
        return make_error(ErrorKind::kBadInput, port->where, "the name \"{}\" is that of the port at {} too",
                          port->info.name, other->where);
      if (port->info.ifindex != 0 && other->info.ifindex == port->info.ifindex)
        return make_error(ErrorKind::kBadInput, port->where, "ifindex {} is that of the port at {} too",
                          port->info.ifindex, other->where);
    }
  }
  return {};
}

// A filter that leads to a port that is not there is a mistake of the file; the daemon opens ports in their order.
Result<void> check_filters(const std::vector<PortConfig>& ports) {
  for (const PortConfig& port : ports) {
    for (const FilterRule& rule : port.settings.filters.value_or(std::vector<FilterRule>{})) {
      const auto named = [&](const PortConfig& other) { return other.info.name == rule.to_port; };
      if (!rule.to_port.empty() && std::ranges::none_of(ports, named))
        return make_error(ErrorKind::kBadInput, rule.where, "to_port: there is no port named \"{}\"", rule.to_port);
      if (rule.to_host && port.host.empty())
        return make_error(ErrorKind::kBadInput, rule.where, "to_host: the port has no host side; see its key host");
    }
  }
  return {};
}

}  // namespace

QueueCounts queues_of(const PortConfig& port) {
  return {port.rx_queues != 0 ? port.rx_queues : port.info.queues, port.rx_queues != 0};
}

Result<Config> parse_config(std::string_view text, const std::string& name, const std::string& folder) {
  XNIC_ASSIGN(const toml::table root, parse_table(text, name));
  Config config{name, {}, {}};
  for (const auto& [key, node] : root) {
    const std::string where = fmt::format("{}:{}", name, node.source().begin.line);
    if (key == "card" && node.is_table()) {
      XNIC_ASSIGN(config.card, read_card(Keys(*node.as_table(), "[card]", name), folder));
    } else if (key == "port" && node.is_array_of_tables()) {
      for (const toml::node& element : *node.as_array()) {
        XNIC_ASSIGN(PortConfig port, read_port(Keys(*element.as_table(), "[[port]]", name), folder));
        config.ports.push_back(std::move(port));
      }
    } else {
      return make_error(ErrorKind::kBadInput, where, "\"{}\" is not allowed here; allowed are [card] and [[port]]",
                        key.str());
    }
  }
  XNIC_TRY(check_unique(config.ports));
  XNIC_TRY(check_filters(config.ports));
  for (const PortConfig& port : config.ports)
    if (port.first_worker >= config.card.workers)
      return make_error(ErrorKind::kBadInput, port.where, "first_worker: {}, and the card has {} workers, from 0",
                        port.first_worker, config.card.workers);
  return config;
}

Result<Config> read_config(const std::string& path) {
  XNIC_ASSIGN(const std::vector<uint8_t> bytes, base::read_file(path));
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return parse_config({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path, folder);
}

Result<PortConfig> parse_port(std::string_view text, const std::string& name, const std::string& folder) {
  XNIC_ASSIGN(const toml::table table, parse_table(text, name));
  return read_port(Keys(table, "a port", name), folder);
}

}  // namespace xnic::nic::control
