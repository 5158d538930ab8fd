// SPDX-License-Identifier: Apache-2.0
// `xnic sweep`: the same program and packets on every combination of lanes, cores, frame bytes and clock. Each
// combination is compiled and run anew, with maps of its own.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "device/hxdp_images.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"
#include "xnic/job.hpp"

namespace xnic::tools {
namespace {

struct Point {
  uint32_t lanes;
  uint32_t cores;
  uint32_t frame_bytes;
  double clock_mhz;
};

std::vector<Point> points_of(const SweepOptions& options) {
  std::vector<Point> points;
  for (uint32_t lanes : options.lanes) {
    for (uint32_t cores : options.cores) {
      for (uint32_t frame_bytes : options.frame_bytes) {
        for (double clock_mhz : options.clock_mhz) points.push_back({lanes, cores, frame_bytes, clock_mhz});
      }
    }
  }
  return points;
}

base::Result<exec::ModelledTime> measure(device::Device& device, const SweepOptions& options, const Point& point,
                                         uint64_t& packets) {
  std::vector<std::string> card = options.card;
  card.push_back(fmt::format("lanes={}", point.lanes));
  card.push_back(fmt::format("cores={}", point.cores));
  card.push_back(fmt::format("frame_bytes={}", point.frame_bytes));
  card.push_back(fmt::format("clock_mhz={}", point.clock_mhz));
  XNIC_ASSIGN(const CardSettings settings, parse_card(card));
  device::install_hxdp(settings.compile, settings.card);
  RunOptions run;
  run.program_name = options.program_name;
  run.engines = {"hxdp"};
  run.maps = options.maps;
  run.repeat = options.repeat;
  run.json = true;  // no progress line between the rows of the table
  std::optional<nic::port::PcapngWriter> no_output;
  XNIC_ASSIGN(const JobResult result, run_job(device, options.object, options.input, run, no_output, nullptr));
  packets = result.engines[0].counters.packets;
  return *result.engines[0].counters.modelled;
}

base::Result<int> sweep_all(const SweepOptions& options) {
  uint32_t most_cores = 1;
  for (uint32_t cores : options.cores) most_cores = std::max(most_cores, cores);
  device::Device device(device_options(most_cores));
  device::install_device(&device);
  fmt::print("{}\n", options.csv ? "lanes,cores,frame_bytes,clock_mhz,rows,packets,cycles_per_packet,mpps,p50_ns,p99_ns"
                                 : "lanes cores frame  clock/MHz   rows  cycles/packet     Mpps    p50 ns    p99 ns");
  for (const Point& point : points_of(options)) {
    uint64_t packets = 0;
    XNIC_ASSIGN(const exec::ModelledTime time, measure(device, options, point, packets));
    if (packets == 0) return base::make_error(base::ErrorKind::kBadInput, options.input, "has no packets");
    const double cycles = static_cast<double>(time.cycles) / static_cast<double>(packets);
    const double ns = 1e3 / point.clock_mhz;
    const double mpps = point.clock_mhz / cycles;
    const double p50 = static_cast<double>(time.latency_p50_cycles) * ns;
    const double p99 = static_cast<double>(time.latency_p99_cycles) * ns;
    if (options.csv) {
      fmt::print("{},{},{},{},{},{},{:.4f},{:.4f},{:.1f},{:.1f}\n", point.lanes, point.cores, point.frame_bytes,
                 point.clock_mhz, time.rows, packets, cycles, mpps, p50, p99);
    } else {
      fmt::print("{:>5} {:>5} {:>5} {:>10} {:>6} {:>14.2f} {:>8.2f} {:>9.0f} {:>9.0f}\n", point.lanes, point.cores,
                 point.frame_bytes, point.clock_mhz, time.rows, cycles, mpps, p50, p99);
    }
  }
  return kExitOk;
}

}  // namespace

int sweep(const SweepOptions& options) {
  auto result = sweep_all(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
