// SPDX-License-Identifier: Apache-2.0
// What the card and its ports count, collected, and as JSON.
#include <nlohmann/json.hpp>

#include "nic/control/service.hpp"

namespace xnic::nic::control {

using nlohmann::ordered_json;

namespace {

constexpr const char* kActions[] = {"aborted", "drop", "pass", "tx", "redirect"};

Counts sum(const port::Port& port) {
  Counts counts;
  for (uint32_t queue = 0; queue < port.info().queues; ++queue) {
    const port::Counters& one = port.counters(queue);
    const auto add = [](uint64_t& to, const std::atomic<uint64_t>& from) {
      to += from.load(std::memory_order_relaxed);
    };
    add(counts.received, one.received), add(counts.received_bytes, one.received_bytes);
    add(counts.transmitted, one.transmitted), add(counts.transmitted_bytes, one.transmitted_bytes);
    add(counts.drop_no_frame, one.drop_no_frame), add(counts.drop_bad, one.drop_bad);
    add(counts.drop_too_long, one.drop_too_long), add(counts.drop_down, one.drop_down);
    add(counts.drop_kernel, one.drop_kernel);
  }
  return counts;
}

FaultCounts faults_of(const port::FaultPort& port) {
  FaultCounts counts;
  const auto add = [](FaultCounts::Direction& to, const port::FaultCounters& from) {
    to.dropped += from.dropped, to.duplicated += from.duplicated, to.reordered += from.reordered;
    to.corrupted += from.corrupted, to.delayed += from.delayed, to.stalls += from.stalls;
  };
  for (uint32_t queue = 0; queue < port.info().queues; ++queue) {
    add(counts.receive, port.receive_faults(queue));
    add(counts.transmit, port.transmit_faults(queue));
  }
  return counts;
}

ordered_json faults_json(const FaultCounts::Direction& counts) {
  return {{"dropped", counts.dropped},     {"duplicated", counts.duplicated}, {"reordered", counts.reordered},
          {"corrupted", counts.corrupted}, {"delayed", counts.delayed},       {"stalls", counts.stalls}};
}

ordered_json totals_json(const datapath::Totals& totals) {
  ordered_json json = {{"received", totals.received}, {"copied", totals.copied}, {"sent", totals.sent}};
  for (size_t reason = 0; reason < datapath::kDropCount; ++reason)
    json["drops"][std::string(datapath::drop_name(static_cast<datapath::Drop>(reason)))] = totals.drops[reason];
  json["held"] = totals.held;
  json["handed_over"] = totals.handed_over;
  json["bad_checksums"] = totals.bad_checksums;
  return json;
}

// What the engines of a port's program say: the sum over workers, and of models what their card would have done.
ordered_json engines_json(const std::vector<datapath::WorkerEngine>& engines) {
  ordered_json json;
  uint64_t packets = 0, run_ns = 0;
  for (const datapath::WorkerEngine& engine : engines) {
    packets += engine.counters.packets;
    run_ns += engine.counters.run_ns;
    if (!engine.counters.modelled) continue;
    const exec::ModelledTime& time = *engine.counters.modelled;
    const double ns = 1e9 / static_cast<double>(time.clock_hz);
    const double spent = static_cast<double>(time.cycles) * ns;
    json["modelled"].push_back({{"clock_hz", time.clock_hz},
                                {"rows", time.rows},
                                {"cycles", time.cycles},
                                {"mpps", spent == 0 ? 0 : static_cast<double>(engine.counters.packets) * 1e3 / spent},
                                {"latency_p50_ns", static_cast<double>(time.latency_p50_cycles) * ns},
                                {"latency_p99_ns", static_cast<double>(time.latency_p99_cycles) * ns},
                                {"faults", time.faults}});
  }
  json["packets"] = packets;
  json["run_ns"] = run_ns;
  return json;
}

ordered_json port_json(const PortStats& port) {
  const Counts& counts = port.port;
  ordered_json json = {{"name", port.name}, {"kind", port.kind}, {"ifindex", port.ifindex}, {"up", port.error.empty()}};
  if (!port.side_of.empty()) json["side_of"] = port.side_of;
  if (!port.error.empty()) json["error"] = port.error;
  json["received"] = counts.received;
  json["received_bytes"] = counts.received_bytes;
  json["transmitted"] = counts.transmitted;
  json["transmitted_bytes"] = counts.transmitted_bytes;
  json["drops"] = {{"no_frame", counts.drop_no_frame},
                   {"bad", counts.drop_bad},
                   {"too_long", counts.drop_too_long},
                   {"down", counts.drop_down},
                   {"kernel", counts.drop_kernel}};
  if (port.faults)
    json["faults"] = {{"receive", faults_json(port.faults->receive)}, {"transmit", faults_json(port.faults->transmit)}};
  json["datapath"] = totals_json(port.datapath);
  ordered_json queues = ordered_json::array();
  for (const datapath::QueueTotals& queue : port.queues) {
    ordered_json verdicts;
    for (size_t action = 0; action < std::size(kActions); ++action) verdicts[kActions[action]] = queue.verdicts[action];
    queues.push_back({{"packets", queue.packets}, {"verdicts", std::move(verdicts)}});
  }
  json["queues"] = std::move(queues);
  if (!port.program.empty()) {
    json["program"] = {{"file", port.file}, {"name", port.program}, {"engine", port.engine}};
    json["program"].update(engines_json(port.engines));
  }
  return json;
}

}  // namespace

Stats Service::stats() {
  std::lock_guard lock(mutex_);
  Stats stats;
  stats.card = card_->totals();
  stats.trace_missed = card_->trace_missed();
  const auto add = [&](const port::Port& port, const std::string& side_of) -> PortStats& {
    const port::Info& info = port.info();
    PortStats entry;
    entry.name = info.name;
    entry.kind = info.kind;
    entry.ifindex = info.ifindex;
    entry.side_of = side_of;
    if (const auto status = port.status(); !status) entry.error = status.error().message();
    entry.port = sum(port);
    entry.datapath = card_->port_totals(info.ifindex).value_or(datapath::Totals{});
    return stats.ports.emplace_back(std::move(entry));
  };
  for (const auto& [name, port] : ports_) {
    PortStats& entry = add(*port.port, "");
    entry.queues = card_->queue_totals(entry.ifindex);
    if (port.faults != nullptr) entry.faults = faults_of(*port.faults);
    if (port.program != nullptr) {
      entry.file = port.object->file;
      entry.program = port.program->name;
      entry.engine = port.engine;
      entry.engines = card_->engines(entry.ifindex);
    }
    if (port.host != nullptr) add(*port.host, name);
  }
  return stats;
}

ordered_json stats_json(const Stats& stats) {
  ordered_json json = {{"card", totals_json(stats.card)}};
  json["card"]["trace_missed"] = stats.trace_missed;
  json["ports"] = ordered_json::array();
  for (const PortStats& port : stats.ports) json["ports"].push_back(port_json(port));
  return json;
}

}  // namespace xnic::nic::control
