// SPDX-License-Identifier: Apache-2.0
// `xnic stats` and `xnic top`: the daemon's counters as they are, and as rates between two looks.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "nic/control/client.hpp"
#include "xnic/command.hpp"
#include "xnic/daemon.hpp"

namespace xnic::tools {

using nlohmann::ordered_json;

namespace {

uint64_t sum(const ordered_json& members) {
  uint64_t total = 0;
  for (const ordered_json& member : members)
    if (member.is_number_unsigned()) total += member.get<uint64_t>();
  return total;
}

uint64_t verdicts(const ordered_json& port, const char* verdict) {
  uint64_t total = 0;
  for (const ordered_json& queue : port["queues"]) total += queue["verdicts"][verdict].get<uint64_t>();
  return total;
}

uint64_t drops(const ordered_json& port) { return sum(port["drops"]) + sum(port["datapath"]["drops"]); }

std::string program_of(const ordered_json& port) {
  if (!port.contains("program")) return "-";
  return port["program"]["name"].get<std::string>() + " (" + port["program"]["engine"].get<std::string>() + ")";
}

void print_drops(const ordered_json& counts) {
  for (const auto& [reason, count] : counts.items())
    if (count.get<uint64_t>() != 0) std::printf("    dropped, %s: %lu\n", reason.c_str(), count.get<uint64_t>());
}

void print_port(const ordered_json& port) {
  std::printf("%s (%s, index %u)%s\n", port["name"].get<std::string>().c_str(), port["kind"].get<std::string>().c_str(),
              port["ifindex"].get<uint32_t>(), port["up"].get<bool>() ? "" : " DOWN");
  std::printf("    received %lu packets, %lu bytes; transmitted %lu packets, %lu bytes\n",
              port["received"].get<uint64_t>(), port["received_bytes"].get<uint64_t>(),
              port["transmitted"].get<uint64_t>(), port["transmitted_bytes"].get<uint64_t>());
  if (port.contains("program")) {
    std::printf("    program %s: pass %lu, drop %lu, tx %lu, redirect %lu, aborted %lu\n", program_of(port).c_str(),
                verdicts(port, "pass"), verdicts(port, "drop"), verdicts(port, "tx"), verdicts(port, "redirect"),
                verdicts(port, "aborted"));
    if (port["program"].contains("modelled"))
      for (const ordered_json& model : port["program"]["modelled"])
        std::printf("    the modelled card: %.2f Mpps, latency p50 %.0f ns, p99 %.0f ns\n", model["mpps"].get<double>(),
                    model["latency_p50_ns"].get<double>(), model["latency_p99_ns"].get<double>());
  }
  print_drops(port["drops"]);
  print_drops(port["datapath"]["drops"]);
  if (!port.contains("faults")) return;
  for (const auto& [direction, counts] : port["faults"].items())
    for (const auto& [fault, count] : counts.items())
      if (count.get<uint64_t>() != 0)
        std::printf("    bad link, %s: %s %lu\n", direction.c_str(), fault.c_str(), count.get<uint64_t>());
}

struct Look {
  ordered_json stats;
  std::chrono::steady_clock::time_point when;
};

base::Result<Look> look(nic::control::Client& client) {
  XNIC_ASSIGN(ordered_json stats, client.call({{"request", "stats"}}));
  return Look{std::move(stats), std::chrono::steady_clock::now()};
}

std::string rates(const Look& before, const Look& after) {
  const double seconds = std::chrono::duration<double>(after.when - before.when).count();
  std::string text = fmt::format("{:<20} {:>12} {:>12} {:>10} {:>10} {:>11} {:>8}  {}\n", "PORT", "RX pkt/s",
                                 "TX pkt/s", "RX Mbit/s", "TX Mbit/s", "DROP pkt/s", "ns/pkt", "PROGRAM");
  for (const ordered_json& port : after.stats["ports"]) {
    const ordered_json* old = nullptr;
    for (const ordered_json& one : before.stats["ports"])
      if (one["ifindex"] == port["ifindex"] && one["name"] == port["name"]) old = &one;
    if (old == nullptr) continue;
    const auto per_second = [&](uint64_t now, uint64_t then) {
      return now < then ? 0 : static_cast<double>(now - then) / seconds;
    };
    const auto rate = [&](const char* key) {
      return per_second(port[key].get<uint64_t>(), (*old)[key].get<uint64_t>());
    };
    std::string cost = "-";
    if (port.contains("program") && old->contains("program")) {
      const auto grown = [&](const char* key) {
        return port["program"][key].get<uint64_t>() - (*old)["program"][key].get<uint64_t>();
      };
      if (grown("packets") != 0 && grown("packets") < (1ull << 62) && grown("run_ns") < (1ull << 62))
        cost = fmt::format("{:.0f}", static_cast<double>(grown("run_ns")) / static_cast<double>(grown("packets")));
    }
    text += fmt::format(
        "{:<20} {:>12.0f} {:>12.0f} {:>10.2f} {:>10.2f} {:>11.0f} {:>8}  {}{}\n", port["name"].get<std::string>(),
        rate("received"), rate("transmitted"), rate("received_bytes") * 8 / 1e6, rate("transmitted_bytes") * 8 / 1e6,
        per_second(drops(port), drops(*old)), cost, program_of(port), port["up"].get<bool>() ? "" : "  DOWN");
  }
  return text;
}

// The terminal gives each key at once and does not show it, until the end.
class KeyByKey {
 public:
  KeyByKey() : on_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    if (on_) tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  ~KeyByKey() {
    if (on_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  // Waits this long; true when q was pressed.
  bool wait(uint32_t ms) const {
    pollfd in{on_ ? STDIN_FILENO : -1, POLLIN, 0};
    char key = 0;
    return poll(&in, 1, static_cast<int>(ms)) > 0 && read(STDIN_FILENO, &key, 1) == 1 && key == 'q';
  }

 private:
  termios before_{};
  bool on_;
};

}  // namespace

int stats(const DaemonOptions& options) {
  const auto reply = ask(options, {{"request", "stats"}});
  if (!reply) return report(reply.error());
  if (options.json) {
    std::printf("%s\n", reply->dump(2).c_str());
    return kExitOk;
  }
  for (const ordered_json& port : reply->at("ports")) print_port(port);
  return kExitOk;
}

int top(const DaemonOptions& options) {
  auto client = nic::control::Client::connect(socket_of(options));
  if (!client) return report(client.error());
  const bool live = !options.once && isatty(STDOUT_FILENO) != 0;
  const volatile int& interrupted = until_interrupted();
  const KeyByKey keys;
  auto before = look(*client);
  if (!before) return report(before.error());
  while (interrupted == 0) {
    if (keys.wait(options.interval_ms) || interrupted != 0) break;
    auto after = look(*client);
    if (!after) return report(after.error());
    // On a terminal each table takes the place of the one before.
    std::printf("%s%s", live ? "\033[H\033[J" : "", rates(*before, *after).c_str());
    std::fflush(stdout);
    if (options.once) break;
    before = std::move(after);
  }
  return kExitOk;
}

}  // namespace xnic::tools
