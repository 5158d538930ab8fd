// SPDX-License-Identifier: Apache-2.0
// Which card for which program: the NFP card and the hXDP card side by side. usage: bench_nfp CASES_DIR PROGRAMS_DIR
// OUT.json
//
// Every program of programs/: whether the NFP's driver takes it, or its first rule and line; NFP instructions by the
// driver's passes and by all; then both cards on the packet of the program's main case, back to back: millions of
// packets a second, and latency. `mcycles_per_s` is the speed of the NFP's model on this machine, in cycles of all its
// cores.
#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "arch/hxdp/image.hpp"
#include "base/clock.hpp"
#include "compile/target/nfp/offload.hpp"
#include "device/hxdp_images.hpp"
#include "device/nfp_images.hpp"
#include "exec/sim/nfp/engine.hpp"
#include "program_case.hpp"
#include "report.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using xnic::base::make_error;
using xnic::base::Result;

namespace xnic::bench {
namespace {

namespace nfp = compile::target::nfp;

constexpr size_t kFrameBytes = 60;
constexpr size_t kBatchPackets = 64;
constexpr int kBatches = 400;

struct Figures {
  exec::EngineCounters counters;
  double host_ns = 0;
};

// The card with the packet of the case, over and over.
Result<Figures> measure(exec::Engine& engine, const std::shared_ptr<const exec::LoadedProgram>& program,
                        const ordered_json& test) {
  XNIC_TRY(engine.load(program));
  const exec::packet::Packet first = tests::packet_of(test, kFrameBytes);
  const std::vector<uint8_t> frame = first.bytes();
  std::vector<exec::packet::Packet> packets(kBatchPackets);
  std::vector<exec::Verdict> verdicts(kBatchPackets);
  const base::ManualClock still(1'000'000'000);
  const base::SystemClock clock;
  uint64_t random_state = 1;
  Figures figures;
  for (int batch = 0; batch < kBatches; ++batch) {
    for (auto& packet : packets) {
      packet.assign(frame);
      packet.ingress_ifindex = first.ingress_ifindex, packet.rx_queue = first.rx_queue;
    }
    const uint64_t start = clock.monotonic_ns();
    XNIC_TRY(engine.run(packets, verdicts, {.clock = &still, .random_state = &random_state}));
    figures.host_ns += static_cast<double>(clock.monotonic_ns() - start);
  }
  figures.counters = engine.counters();
  return figures;
}

// Rate and latency as the columns NAME_mpps, NAME_p50 and NAME_p99.
void add_time(ordered_json& row, const std::string& name, const exec::EngineCounters& counters) {
  const exec::ModelledTime& time = *counters.modelled;
  const double mhz = static_cast<double>(time.clock_hz) / 1e6;
  const auto ns = [&](uint64_t cycles) { return static_cast<double>(cycles) * 1e3 / mhz; };
  row[name + "_words"] = time.rows;
  row[name + "_cycles"] = static_cast<double>(time.cycles) / static_cast<double>(counters.packets);
  row[name + "_mpps"] = mhz * static_cast<double>(counters.packets) / static_cast<double>(time.cycles);
  row[name + "_p50"] = ns(time.latency_p50_cycles);
  row[name + "_p99"] = ns(time.latency_p99_cycles);
}

// "taken", or the first rule that refuses the program, and where.
std::string answer(const exec::LoadedProgram& loaded) {
  const auto refusals = nfp::check_offload(*loaded.program, *loaded.facts, {arch::nfp::find_firmware("ebpf"), 1500});
  if (refusals.empty()) return "taken";
  const nfp::Refusal& first = refusals.front();
  const arch::ebpf::LineInfo* line = first.slot == nfp::kNoSlot ? nullptr : loaded.program->line_at(first.slot);
  const std::string where = line == nullptr ? first.source : fmt::format("line {}", line->line);
  return fmt::format("{}, {}", nfp::rule_name(first.rule), where);
}

Result<ordered_json> row_of(device::Device& device, const fs::path& object, const std::string& name,
                            const ordered_json& test) {
  XNIC_ASSIGN(const auto loaded, tests::load_case(device, object, test));
  const auto& program = loaded.programs().at(0).loaded;
  ordered_json row = {{"program", name}, {"insns", program->program->insns.size()}, {"nfp", answer(*program)}};
  if (row["nfp"] == "taken") {
    nfp::CompileOptions driver;
    driver.passes = nfp::PassSet::driver();
    XNIC_ASSIGN(const auto image, nfp::compile(*program->program, *program->facts, driver));
    row["driver_words"] = image.words.size();
    const auto engine = exec::make_engine("nfp");
    XNIC_ASSIGN(const Figures figures, measure(*engine, program, test));
    add_time(row, "nfp", figures.counters);
    const exec::sim::nfp::CardTiming card;
    const double cores = double{1} * card.islands * card.cores;
    row["mcycles_per_s"] = static_cast<double>(figures.counters.modelled->cycles) * cores * 1e3 / figures.host_ns;
  }
  XNIC_ASSIGN(const auto again, tests::load_case(device, object, test));
  const auto engine = exec::make_engine("hxdp");
  XNIC_ASSIGN(const Figures figures, measure(*engine, again.programs().at(0).loaded, test));
  add_time(row, "hxdp", figures.counters);
  return row;
}

Result<void> fill(Report& report, const fs::path& cases, const fs::path& programs) {
  device::Device device;
  device::install_device(&device);
  compile::HxdpOptions hxdp;
  hxdp.parameters.rows = arch::hxdp::kMaxRows;
  device::install_hxdp(hxdp);
  device::install_nfp();
  report.print_head();
  for (const auto& name : programs_in(programs)) {
    XNIC_ASSIGN(const ordered_json test, main_case(cases, name));
    auto row = row_of(device, programs / (name + ".bpf.o"), name, test);
    if (!row) return make_error(row.error().kind, name, "{}", row.error().message());
    report.add(std::move(*row));
  }
  device::install_device(nullptr);
  return {};
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  using namespace xnic::bench;
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_nfp CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  pin_to_cpu(0);
  Report report({{"program", 19},
                 {"insns", 5, 0},
                 {"nfp", 34},
                 {"driver_words", 6, 0},
                 {"nfp_words", 6, 0},
                 {"nfp_mpps", 8, 2},
                 {"nfp_p50", 7, 0},
                 {"nfp_p99", 7, 0},
                 {"hxdp_words", 6, 0},
                 {"hxdp_mpps", 8, 2},
                 {"hxdp_p50", 7, 0},
                 {"hxdp_p99", 7, 0},
                 {"mcycles_per_s", 8, 0}});
  auto done = fill(report, argv[1], argv[2]);
  if (done) done = report.write(argv[3]);
  if (done) return 0;
  std::fprintf(stderr, "bench_nfp: %s\n", done.error().message().c_str());
  return 1;
}
