// SPDX-License-Identifier: Apache-2.0
#include "xnic/traffic.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "arch/hxdp/text.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;
using exec::sim::hxdp::CardCounters;
using exec::sim::hxdp::Hxdp;
using exec::sim::hxdp::LatencyHistogram;
using exec::sim::hxdp::PacketTrace;
using exec::sim::hxdp::Traffic;
using exec::sim::hxdp::TrafficCounters;
using nlohmann::ordered_json;

namespace {

double mean_depth(const TrafficCounters& traffic) {
  const auto sum = std::accumulate(traffic.depths.begin(), traffic.depths.end(), uint64_t{0});
  return traffic.depths.empty() ? 0 : static_cast<double>(sum) / static_cast<double>(traffic.depths.size());
}

uint32_t most(std::span<const uint32_t> depths) { return depths.empty() ? 0 : *std::ranges::max_element(depths); }

// Of the packets offered, by the time from the first arrival to the last.
double offered_pps(const TrafficCounters& traffic, uint64_t clock_hz) {
  if (traffic.last_arrival == 0) return 0;
  return static_cast<double>(traffic.offered - 1) * static_cast<double>(clock_hz) /
         static_cast<double>(traffic.last_arrival);
}

struct Percentile {
  const char* name;
  double percent;
};
constexpr Percentile kPercentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}};

struct Cycle {
  std::string read_in, core, emission;
};

void add(std::string& cell, const std::string& what) { cell += (cell.empty() ? "" : ", ") + what; }

std::string row_text(const Hxdp& engine, uint32_t row) {
  std::string text;
  for (const auto& op : engine.image().rows[row].lanes) {
    if (!arch::hxdp::is_nop(op))
      text += (text.empty() ? "" : "; ") + arch::hxdp::to_text(op, engine.image().call_sites);
  }
  return text;
}

std::map<uint64_t, Cycle> cycles_of(const Hxdp& engine) {
  std::map<uint64_t, Cycle> cycles;
  const auto& traces = engine.card()->traces();
  for (size_t n = 0; n < traces.size(); ++n) {
    const PacketTrace& trace = traces[n];
    const std::string packet = fmt::format("#{} ", n);
    for (uint32_t k = 0; k < trace.frames_in; ++k)
      add(cycles[trace.schedule.in_start + k].read_in, packet + fmt::format("frame {}", k));
    for (uint64_t at = n == 0 ? trace.schedule.run_start : traces[n - 1].schedule.run_end;
         at < trace.schedule.run_start; ++at) {
      const bool reset = at - traces[n - 1].schedule.run_end < engine.card()->options().timing.start_cycles;
      add(cycles[at].core, packet + (reset ? "reset" : "waits for its first frame"));
    }
    for (const PacketTrace::RowRun& row : trace.rows) {
      for (uint64_t i = 0; i < row.wait + row.cycles; ++i) {
        std::string what = fmt::format("row {}: ", row.row);
        what += i < row.wait ? "waits for bytes" : i == row.wait ? row_text(engine, row.row) : "held";
        add(cycles[row.start + i].core, packet + what);
      }
    }
    for (uint32_t k = 0; k < trace.frames_out; ++k)
      add(cycles[trace.schedule.out_end - trace.frames_out + k].emission, packet + fmt::format("frame {}", k));
  }
  return cycles;
}

}  // namespace

base::Result<Rate> parse_rate(const std::string& text) {
  const auto wrong = [&] {
    return make_error(ErrorKind::kBadInput, "--rate " + text,
                      "needs a number with unit (10Gbps, 2.5Mpps), `trace` or `max`");
  };
  if (text == "trace") return Rate{{Traffic::Kind::kTimestamps, 0}, false};
  if (text == "max") return Rate{{Traffic::Kind::kBits, 0}, true};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  std::string unit(end);
  double scale = 1;
  for (const auto& [letter, value] : {std::pair{'K', 1e3}, {'M', 1e6}, {'G', 1e9}}) {
    if (unit.starts_with(letter)) scale = value;
  }
  if (scale != 1) unit.erase(0, 1);
  const double rate = number * scale;
  if (!(rate >= 1 && rate <= 1e13) || (unit != "bps" && unit != "pps")) return wrong();
  return Rate{{unit == "bps" ? Traffic::Kind::kBits : Traffic::Kind::kPackets, static_cast<uint64_t>(rate + 0.5)},
              false};
}

bool sustained(const TrafficCounters& traffic) {
  const std::span<const uint32_t> depths(traffic.depths);
  const size_t half = depths.size() / 2;
  return traffic.lost == 0 && most(depths.subspan(half)) <= most(depths.first(half)) + traffic.most_frames;
}

ordered_json traffic_json(const Hxdp& engine) {
  const CardCounters counters = engine.card()->counters();
  const TrafficCounters& traffic = counters.traffic;
  const auto clock = static_cast<double>(engine.image().parameters.clock_hz);
  const auto ns = [&](uint64_t cycles) { return static_cast<double>(cycles) * 1e9 / clock; };
  const double pps = offered_pps(traffic, engine.image().parameters.clock_hz);
  ordered_json latency;
  for (const Percentile& p : kPercentiles) latency[p.name] = ns(counters.latency.percentile(p.percent));
  latency["max"] = ns(counters.latency.max());
  return {{"offered", traffic.offered},
          {"lost", traffic.lost},
          {"offered_mpps", pps / 1e6},
          {"offered_gbps", traffic.offered == 0 ? 0
                                                : pps * static_cast<double>(traffic.wire_bits) /
                                                      static_cast<double>(traffic.offered) / 1e9},
          {"queue_frames", engine.card()->options().timing.queue_frames},
          {"queue_max", most(traffic.depths)},
          {"queue_mean", mean_depth(traffic)},
          {"latency_ns", latency}};
}

std::string traffic_line(const Hxdp& engine) {
  const ordered_json json = traffic_json(engine);
  const auto number = [&](const char* key) { return json[key].get<double>(); };
  std::string text = fmt::format(
      "offered {:.2f} Mpps, {:.3f} Gb/s on the wire: {} of {} packets lost; queue at most {} of {} frames, mean "
      "{:.1f}; "
      "latency",
      number("offered_mpps"), number("offered_gbps"), json["lost"].get<uint64_t>(), json["offered"].get<uint64_t>(),
      json["queue_max"].get<uint64_t>(), json["queue_frames"].get<uint64_t>(), number("queue_mean"));
  for (const auto& [name, value] : json["latency_ns"].items())
    text += fmt::format(" {} {:.0f}", name, value.get<double>());
  return text + " ns";
}

std::string cycle_table(const Hxdp& engine) {
  std::string text = "| cycle | read-in | core | emission |\n|---|---|---|---|\n";
  for (const auto& [cycle, what] : cycles_of(engine))
    text += fmt::format("| {} | {} | {} | {} |\n", cycle, what.read_in, what.core, what.emission);
  return text;
}

ordered_json cycle_json(const Hxdp& engine) {
  ordered_json list = ordered_json::array();
  for (const auto& [cycle, what] : cycles_of(engine))
    list.push_back({{"cycle", cycle}, {"read_in", what.read_in}, {"core", what.core}, {"emission", what.emission}});
  return list;
}

}  // namespace xnic::tools
