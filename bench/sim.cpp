// SPDX-License-Identifier: Apache-2.0
// How fast the model of the hXDP card runs on this machine: simulated core cycles and packets per second, one core, one
// thread. usage: bench_sim CASES_DIR PROGRAMS_DIR OUT.json
//
// Programs, packets and maps are those of bench/engines.cpp. A sample is a batch of packets, laid out anew outside the
// measured time; the figure is the median of many short batches on CPU 0.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "device/hxdp_images.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "program_case.hpp"
#include "report.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using xnic::base::ErrorKind;
using xnic::base::make_error;
using xnic::base::Result;

namespace xnic::bench {
namespace {

constexpr size_t kFrameBytes = 60;
constexpr size_t kBatchPackets = 64;
constexpr int kWarmUp = 50;
constexpr int kBatches = 1001;

struct Speed {
  double ns = 0;      // a packet
  double cycles = 0;  // of the core, a packet
  double rows = 0;
};

Result<Speed> measure(device::Device& device, const fs::path& object_path, const ordered_json& test) {
  XNIC_ASSIGN(const auto object, tests::load_case(device, object_path, test));
  exec::sim::hxdp::Hxdp engine;
  XNIC_TRY(engine.load(object.programs().at(0).loaded));
  const exec::packet::Packet first = tests::packet_of(test, kFrameBytes);
  const std::vector<uint8_t> frame = first.bytes();
  const uint32_t wanted = tests::verdict_code(test["verdict"]);
  std::vector<exec::packet::Packet> packets(kBatchPackets);
  std::vector<exec::Verdict> verdicts(kBatchPackets);
  const base::ManualClock still(1'000'000'000);
  const base::SystemClock clock;
  uint64_t random_state = 1;
  std::vector<double> samples;
  for (int batch = 0; batch < kWarmUp + kBatches; ++batch) {
    for (auto& packet : packets) {
      packet.assign(frame);
      packet.ingress_ifindex = first.ingress_ifindex;
      packet.rx_queue = first.rx_queue;
    }
    const uint64_t start = clock.monotonic_ns();
    XNIC_TRY(engine.run(packets, verdicts, {.clock = &still, .random_state = &random_state}));
    const auto ns = static_cast<double>(clock.monotonic_ns() - start);
    if (batch >= kWarmUp) samples.push_back(ns / static_cast<double>(kBatchPackets));
    for (const exec::Verdict& verdict : verdicts) {
      if (verdict.code != wanted)
        return make_error(ErrorKind::kBadInput, object_path.string(), "verdict {} instead of {}", verdict.code, wanted);
    }
  }
  const auto counters = engine.card()->counters();
  const auto all = static_cast<double>(counters.packets);
  return Speed{median(samples), static_cast<double>(counters.cycles.total()) / all,
               static_cast<double>(counters.cycles.rows) / all};
}

void add(Report& report, const std::string& name, const Speed& speed) {
  report.add({{"program", name},
              {"rows", speed.rows},
              {"cycles", speed.cycles},
              {"ns", speed.ns},
              {"mcycles_per_s", speed.cycles * 1e3 / speed.ns},
              {"mpackets_per_s", 1e3 / speed.ns}});
}

Result<void> fill(Report& report, const fs::path& cases, const fs::path& programs) {
  device::Device device;
  device::install_device(&device);
  compile::HxdpOptions compile;
  compile.parameters.rows = arch::hxdp::kMaxRows;
  device::install_hxdp(compile);
  report.print_head();
  Speed all;
  for (const auto& name : programs_in(programs)) {
    XNIC_ASSIGN(const ordered_json test, main_case(cases, name));
    XNIC_ASSIGN(const Speed speed, measure(device, programs / (name + ".bpf.o"), test));
    all.ns += speed.ns, all.cycles += speed.cycles, all.rows += speed.rows;
    add(report, name, speed);
  }
  add(report, "all, one of each", all);
  device::install_device(nullptr);
  return {};
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  using namespace xnic::bench;
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_sim CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  pin_to_cpu(0);
  Report report({{"program", 16},
                 {"rows", 6, 1},
                 {"cycles", 6, 1},
                 {"ns", 6, 1},
                 {"mcycles_per_s", 8},
                 {"mpackets_per_s", 8, 2}});
  auto done = fill(report, argv[1], argv[2]);
  if (done) done = report.write(argv[3]);
  if (done) return 0;
  std::fprintf(stderr, "bench_sim: %s\n", done.error().message().c_str());
  return 1;
}
