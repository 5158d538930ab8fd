// SPDX-License-Identifier: Apache-2.0
// The TCP offload beside kernel TCP. usage: bench_offload CASES_DIR PROGRAMS_DIR OUT.json (the first two are not used)
//
// The host has processor 0 to itself: only the server's thread runs there. The agent and the load share processor 1.
// The kernel's server speaks to the same load through a veth pair between two namespaces. Both are measured in turn,
// several times; figures are medians. Work is counted for the server's thread alone, user and kernel, with what the
// kernel does for it there (the veth's softirq runs in the sender). Instructions are the gate: cycles and rates hang on
// where the hypervisor puts the two processors, so the state says how far apart they were.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "datapath_card.hpp"
#include "offload_server.hpp"
#include "offload_world.hpp"
#include "report.hpp"
#include "transport/agent/agent.hpp"

namespace xnic::bench {
namespace {

namespace fs = std::filesystem;
using base::Result;
using nlohmann::ordered_json;
using transport::agent::Agent;

constexpr int kRounds = 5;
constexpr uint32_t kEchoBytes = 64;
constexpr useconds_t kWarmUs = 150'000, kMeasureUs = 400'000;

// An agent on its processor, as long as this lives.
class RunningAgent {
 public:
  static Result<std::unique_ptr<RunningAgent>> start(const TwoHosts& hosts, const std::string& path, bool xdp) {
    auto made = std::make_unique<RunningAgent>();
    transport::agent::Options options;
    options.path = path;
    if (xdp) options.interface = kCardLink;
    options.spin_us = 0;  // it shares its processor with the load
    XNIC_ASSIGN(made->agent_, Agent::make(options));
    made->thread_ = hosts.thread(TwoHosts::Side::kCard, [self = made.get()] {
      Work work;
      work.start();
      self->agent_->run();
      work.stop();
      self->instructions = work.instructions();
      self->cpu_ns = work.cpu_ns();
    });
    return made;
  }
  ~RunningAgent() { stop(); }
  void stop() {
    if (!thread_.joinable()) return;
    agent_->stop();
    thread_.join();
  }
  uint64_t instructions = 0, cpu_ns = 0;

 private:
  std::unique_ptr<Agent> agent_;
  std::thread thread_;
};

struct Sample {
  ServerResult server;
  LoadResult load;
  double instructions() const { return per(server.instructions, server.requests); }
  double cycles() const { return per(server.cycles, server.requests); }
  double cycles_a_byte() const { return per(server.cycles, server.bytes); }
  double cpu_ns() const { return per(server.cpu_ns, server.requests); }
  double cpu_ns_a_kib() const { return 1024 * per(server.cpu_ns, server.bytes); }
  double rate() const { return static_cast<double>(load.requests) / load.seconds; }
  static double per(uint64_t what, uint64_t by) {
    return by == 0 ? 0 : static_cast<double>(what) / static_cast<double>(by);
  }
};

using Server = std::function<ServerResult(uint16_t, const std::atomic<bool>&, const std::atomic<bool>&)>;
using Load = std::function<LoadResult(const char*, uint16_t, const std::atomic<bool>&)>;

class Bench {
 public:
  Bench(std::unique_ptr<TwoHosts> hosts, std::string agent_path)
      : hosts_(std::move(hosts)),
        path_(std::move(agent_path)),
        report_({{"what", 68},
                 {"value", 10, 2},
                 {"unit", 6},
                 {"peer", 10},
                 {"peer_value", 10, 2},
                 {"ratio", 7, 2, "x"},
                 {"reach", 9, 2},
                 {"holds", 5},
                 {"state", 24}}) {}

  Result<void> run() {
    report_.print_head();
    XNIC_TRY(echo(false));
    XNIC_TRY(echo(true));
    XNIC_TRY(bulk());
    XNIC_TRY(short_connections());
    XNIC_TRY(idle_memory());
    return {};
  }
  const Report& report() const { return report_; }

 private:
  // One server on the host's processor and one load on the other.
  Sample measure(const Server& server, const Load& load, const char* address) {
    Sample sample;
    const uint16_t port = ++port_;
    std::atomic<bool> measuring{false}, stop{false}, stop_load{false};
    std::thread host = hosts_->thread(TwoHosts::Side::kHost, [&] { sample.server = server(port, measuring, stop); });
    std::thread other = hosts_->thread(TwoHosts::Side::kCard, [&] { sample.load = load(address, port, stop_load); });
    usleep(kWarmUs);
    measuring = true;
    usleep(kMeasureUs);
    measuring = false;
    usleep(50'000);  // until the server has seen it
    stop_load = true;
    other.join();
    stop = true;
    host.join();
    return sample;
  }
  Server offloaded(ServerResult (*server)(const Way&, uint16_t, const std::atomic<bool>&, const std::atomic<bool>&),
                   bool xdp) const {
    return [server, way = Way{path_, xdp ? kHostLink : ""}](uint16_t port, const std::atomic<bool>& measuring,
                                                            const std::atomic<bool>& stop) {
      return server(way, port, measuring, stop);
    };
  }

  // Both sides in turn. The offload's server is reached at the agent's side: the same machine as the load.
  Result<void> alternate(const Server& kernel, const Server& offload, const Load& load, bool xdp) {
    kernel_.clear();
    offload_.clear();
    agent_ns_.clear();
    for (int round = 0; round < kRounds; ++round) {
      kernel_.push_back(measure(kernel, load, kHostAddress));
      XNIC_ASSIGN(auto agent, RunningAgent::start(*hosts_, path_, xdp));
      offload_.push_back(measure(offload, load, kCardAddress));
      agent->stop();
      agent_ns_.push_back(static_cast<double>(agent->cpu_ns) /
                          static_cast<double>(std::max<uint64_t>(offload_.back().load.requests, 1)));
    }
    return {};
  }
  static double middle(const std::vector<Sample>& samples, double (Sample::*figure)() const) {
    std::vector<double> values;
    for (const Sample& sample : samples) values.push_back((sample.*figure)());
    return median(values);
  }
  static std::string state() {
    const double round_trip_ns = median(ping_pong_ns(1));
    return fmt::format("{}, {:.0f} ns apart", machine_state(), round_trip_ns);
  }

  // `reach`: the value has to be at most (less) or at least (more) this, or the ratio, when `by_ratio`.
  struct Goal {
    double reach = 0;
    bool less = true;
    bool by_ratio = false;
  };
  void row(const std::string& what, double value, const std::string& unit, double peer, Goal goal) {
    ordered_json row = {{"what", what},
                        {"value", value > 0 ? ordered_json(value) : ordered_json()},
                        {"unit", unit},
                        {"peer", peer > 0 ? "kernel TCP" : "-"}};
    row["peer_value"] = peer > 0 ? ordered_json(peer) : ordered_json();
    // How many times better.
    const double ratio = peer <= 0 || value <= 0 ? 0 : goal.less ? peer / value : value / peer;
    row["ratio"] = ratio > 0 ? ordered_json(ratio) : ordered_json();
    row["reach"] = goal.reach > 0 ? ordered_json(goal.reach) : ordered_json();
    const double shown = goal.by_ratio ? ratio : value;
    const bool holds = goal.less && !goal.by_ratio ? shown <= goal.reach : shown >= goal.reach;
    // A value of 0 is one that this machine cannot count.
    row["holds"] = goal.reach == 0 || value == 0 ? ordered_json() : ordered_json(holds);
    row["state"] = state();
    report_.add(row);
  }

  Result<void> echo(bool xdp) {
    const Load load = [](const char* address, uint16_t port, const std::atomic<bool>& stop) {
      return echo_load(address, port, 50, kEchoBytes, stop);
    };
    XNIC_TRY(alternate(kernel_echo, offloaded(offload_echo, xdp), load, xdp));
    const std::string what =
        fmt::format("echo 64 B, 50 connections, {}: ", xdp ? "xdp link, self-kick" : "memory link");
    row(what + "host instructions a request", middle(offload_, &Sample::instructions), "instr",
        middle(kernel_, &Sample::instructions), {xdp ? 2000.0 : 600.0});
    row(what + "host cycles a request", middle(offload_, &Sample::cycles), "cyc", middle(kernel_, &Sample::cycles),
        {5, true, true});
    row(what + "host processor time a request", middle(offload_, &Sample::cpu_ns), "ns",
        middle(kernel_, &Sample::cpu_ns), {5, true, true});
    row(what + "requests a second", middle(offload_, &Sample::rate), "/s", middle(kernel_, &Sample::rate), {0, false});
    row(what + "agent's processor time a request", median(agent_ns_), "ns", 0, {});
    return {};
  }

  Result<void> bulk() {
    XNIC_TRY(alternate(kernel_send, offloaded(offload_send, false), sink_load, false));
    row("bulk send of 64 KB, memory link: host cycles a byte", middle(offload_, &Sample::cycles_a_byte), "cyc/B",
        middle(kernel_, &Sample::cycles_a_byte), {0.15});
    row("bulk send of 64 KB, memory link: host processor time a KiB", middle(offload_, &Sample::cpu_ns_a_kib), "ns",
        middle(kernel_, &Sample::cpu_ns_a_kib), {});
    row("bulk send of 64 KB, memory link: bytes a second", middle(offload_, &Sample::rate) / 1e9, "GB/s",
        middle(kernel_, &Sample::rate) / 1e9, {0, false});
    return {};
  }

  Result<void> short_connections() {
    XNIC_TRY(alternate(kernel_echo, offloaded(offload_echo, false), short_load, false));
    row("connections of one request: a second", middle(offload_, &Sample::rate), "/s", middle(kernel_, &Sample::rate),
        {20'000, false});
    row("connections of one request: host processor time each", middle(offload_, &Sample::cpu_ns), "ns",
        middle(kernel_, &Sample::cpu_ns), {});
    return {};
  }

  Result<void> idle_memory() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const int wanted = static_cast<int>(std::min<rlim_t>(10'000, (limit.rlim_cur - 100) / 2));
    XNIC_ASSIGN(auto agent, RunningAgent::start(*hosts_, path_, false));
    IdleResult result;
    std::atomic<bool> done{false};
    const uint16_t port = ++port_;
    std::thread host = hosts_->thread(TwoHosts::Side::kHost, [&] {
      result = offload_idle({path_, ""}, port, wanted);
      done = true;
    });
    std::thread load =
        hosts_->thread(TwoHosts::Side::kCard, [&] { hold_connections(kCardAddress, port, wanted, done); });
    host.join();
    load.join();
    row("idle connections: how many stood at once", result.connections, "", 0, {static_cast<double>(10'000), false});
    row("idle connections: host memory each", result.bytes_each, "bytes", 0, {1024});
    return {};
  }

  std::unique_ptr<TwoHosts> hosts_;
  const std::string path_;
  Report report_;
  uint16_t port_ = 20'000;
  std::vector<Sample> kernel_, offload_;
  std::vector<double> agent_ns_;
};

int run(const fs::path& out) {
  auto hosts = TwoHosts::make();
  if (!hosts) {
    std::fprintf(stderr, "bench_offload: %s\n", hosts.error().message().c_str());
    return 3;
  }
  const fs::path folder = fs::temp_directory_path() / ("xnic-bench-offload-" + std::to_string(getpid()));
  fs::create_directories(folder);
  Bench bench(std::move(*hosts), folder / "agent");
  const auto result = bench.run();
  fs::remove_all(folder);
  const auto written = bench.report().write(out);
  for (const auto* each : {&result, &written}) {
    if (*each) continue;
    std::fprintf(stderr, "bench_offload: %s\n", each->error().message().c_str());
    return 3;
  }
  return 0;
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_offload CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  return xnic::bench::run(argv[3]);
}
