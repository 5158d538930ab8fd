// SPDX-License-Identifier: Apache-2.0
// One collection is one look at the card's counters; nothing is kept between two.
#include "xnicd/metrics.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "exec/kernel/bpf_call.hpp"

namespace xnic::tools {

using nic::control::PortStats;
using nic::control::Stats;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

namespace {

using Labels = std::vector<ClientMetric::Label>;

class Family {
 public:
  Family(const char* name, const char* help, MetricType type) : family_{name, help, type, {}} {}
  void add(Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family_.metric.push_back(std::move(metric));
  }
  MetricFamily take() { return std::move(family_); }

 private:
  MetricFamily family_;
};

constexpr const char* kVerdicts[] = {"aborted", "drop", "pass", "tx", "redirect"};

void add_drops(Family& drops, const PortStats& port) {
  const auto add = [&](std::string reason, uint64_t count) {
    drops.add({{"port", port.name}, {"reason", std::move(reason)}}, static_cast<double>(count));
  };
  add("port_no_frame", port.port.drop_no_frame);
  add("port_bad", port.port.drop_bad);
  add("port_too_long", port.port.drop_too_long);
  add("port_down", port.port.drop_down);
  add("port_kernel", port.port.drop_kernel);
  for (size_t i = 0; i < nic::datapath::kDropCount; ++i)
    add(std::string(nic::datapath::drop_name(static_cast<nic::datapath::Drop>(i))), port.datapath.drops[i]);
}

std::vector<MetricFamily> families(const Stats& stats) {
  Family up("xnic_port_up", "1 when the port works", MetricType::Gauge);
  Family packets("xnic_port_packets_total", "Packets that the port received and transmitted", MetricType::Counter);
  Family bytes("xnic_port_bytes_total", "Bytes of these packets, without FCS", MetricType::Counter);
  Family drops("xnic_dropped_packets_total", "Packets that ended in the card, by reason", MetricType::Counter);
  Family verdicts("xnic_verdicts_total", "What the port's programs said of packets", MetricType::Counter);
  Family run("xnic_program_run_seconds_total", "Time inside the engine, all workers", MetricType::Counter);
  Family modelled("xnic_modelled_latency_seconds", "What the modelled card would have taken for a packet",
                  MetricType::Gauge);
  Family held("xnic_held_packets", "Packets under way inside the card", MetricType::Gauge);
  held.add({}, static_cast<double>(stats.card.held));
  for (const PortStats& port : stats.ports) {
    const Labels labels = {{"port", port.name}, {"kind", port.kind}};
    const auto way = [&](const char* direction) { return Labels{{"port", port.name}, {"direction", direction}}; };
    up.add(labels, port.error.empty() ? 1 : 0);
    packets.add(way("rx"), static_cast<double>(port.port.received));
    packets.add(way("tx"), static_cast<double>(port.port.transmitted));
    bytes.add(way("rx"), static_cast<double>(port.port.received_bytes));
    bytes.add(way("tx"), static_cast<double>(port.port.transmitted_bytes));
    add_drops(drops, port);
    for (size_t queue = 0; queue < port.queues.size(); ++queue)
      for (size_t action = 0; action < std::size(kVerdicts); ++action)
        verdicts.add({{"port", port.name}, {"queue", std::to_string(queue)}, {"verdict", kVerdicts[action]}},
                     static_cast<double>(port.queues[queue].verdicts[action]));
    uint64_t run_ns = 0;
    for (size_t worker = 0; worker < port.engines.size(); ++worker) {
      const auto& counters = port.engines[worker].counters;
      run_ns += counters.run_ns;
      if (counters.modelled)
        modelled.add({{"port", port.name}, {"worker", std::to_string(worker)}, {"quantile", "0.99"}},
                     static_cast<double>(counters.modelled->latency_p99_cycles) /
                         static_cast<double>(counters.modelled->clock_hz));
    }
    if (!port.program.empty())
      run.add({{"port", port.name}, {"program", port.program}, {"engine", port.engine}},
              static_cast<double>(run_ns) / 1e9);
  }
  std::vector<MetricFamily> all;
  for (Family* family : {&up, &packets, &bytes, &drops, &verdicts, &run, &modelled, &held})
    all.push_back(family->take());
  return all;
}

class Collector final : public prometheus::Collectable {
 public:
  explicit Collector(std::function<Stats()> stats) : stats_(std::move(stats)) {}
  std::vector<MetricFamily> Collect() const override { return families(stats_()); }

 private:
  std::function<Stats()> stats_;
};

}  // namespace

struct Metrics::State {
  std::shared_ptr<Collector> collector;  // before the exposer: its threads use it
  std::unique_ptr<prometheus::Exposer> exposer;
  std::string host;  // as configured: an IPv4 address, or one of IPv6 in brackets
};

namespace {

// Connects and says nothing.
void knock(const std::string& host, int port) {
  const bool ipv6 = host.starts_with('[');
  const exec::kernel::Fd fd(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  v4.sin_family = AF_INET;
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;  // the only one of IPv6
  v4.sin_port = v6.sin6_port = htons(static_cast<uint16_t>(port));
  if (!ipv6) inet_pton(AF_INET, host.c_str(), &v4.sin_addr);
  (void)connect(fd.get(), ipv6 ? reinterpret_cast<const sockaddr*>(&v6) : reinterpret_cast<const sockaddr*>(&v4),
                ipv6 ? sizeof v6 : sizeof v4);
}

}  // namespace

Metrics::Metrics(std::unique_ptr<State> state) : state_(std::move(state)) {}
Metrics::Metrics(Metrics&&) noexcept = default;
Metrics& Metrics::operator=(Metrics&&) noexcept = default;
// The library's server looks every two seconds whether it shall end, or when somebody connects.
Metrics::~Metrics() {
  if (state_ == nullptr || state_->exposer == nullptr) return;
  const std::vector<int> ports = state_->exposer->GetListeningPorts();
  std::atomic<bool> ended{false};
  std::thread knocking([&] {
    for (; !ended && !ports.empty(); usleep(5000)) knock(state_->host, ports[0]);
  });
  state_->exposer.reset();
  ended = true;
  knocking.join();
}

base::Result<Metrics> Metrics::serve(const std::string& address, std::function<Stats()> stats) {
  auto state = std::make_unique<State>();
  state->collector = std::make_shared<Collector>(std::move(stats));
  try {
    state->exposer = std::make_unique<prometheus::Exposer>(address, 2);
  } catch (const std::exception& error) {  // how the library tells that an address is taken
    return base::make_error(base::ErrorKind::kIo, address, "cannot serve metrics here: {}: see [card] metrics",
                            error.what());
  }
  state->host = address.substr(0, address.rfind(':'));
  state->exposer->RegisterCollectable(state->collector);
  return Metrics(std::move(state));
}

}  // namespace xnic::tools
