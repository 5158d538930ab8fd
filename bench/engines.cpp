// SPDX-License-Identifier: Apache-2.0
// Nanoseconds per packet of every program on every engine. usage: bench_engines CASES_DIR PROGRAMS_DIR OUT.json
//
// The packet and the maps are those of one behaviour case a program, the one on its main path; the frame is padded to
// 64 bytes where it is shorter. A sample is a batch of kBatchPackets packets, laid out anew outside the measured time,
// so that every run starts from the same frame. The figure is the median of kBatches samples, all on CPU 0; a batch is
// short, so that few samples are hit by what else the machine does.
//
// Time is what the engine reports (EngineCounters::run_ns). The kernel's is that of BPF_PROG_TEST_RUN with repeat 1,
// which holds two clock readings, about 100 ns; so batches of the program `pass` run in between, and the difference of
// the medians is the figure. Longer repeats would average the readings away, but they run on the same frame again and
// again, and programs that change it leave their main path. What is left below kResolutionNs is noise and not shown.
#include <unistd.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "device/native_images.hpp"
#include "program_case.hpp"
#include "report.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using xnic::base::ErrorKind;
using xnic::base::make_error;
using xnic::base::Result;

namespace xnic::bench {
namespace {

constexpr size_t kFrameBytes = 64;
constexpr size_t kBatchPackets = 32;
constexpr int kWarmUp = 50;
constexpr int kBatches = 1001;
constexpr double kResolutionNs = 3;
const std::string kEmptyProgram = "pass";
// Engines that run here as fast as they can; the time of a model of a card is not the host's (bench/hxdp.cpp).
constexpr std::string_view kEngines[] = {"interp", "native", "kernel"};

// One program with its case on one engine.
class Setup {
 public:
  static Result<Setup> make(device::Device& device, const std::string& engine, const fs::path& object,
                            const ordered_json& test) {
    XNIC_ASSIGN(auto loaded, tests::load_case(device, object, test));
    Setup setup(std::move(loaded), exec::make_engine(engine), test);
    XNIC_TRY(setup.engine_->load(setup.object_.programs().at(0).loaded));
    XNIC_TRY(setup.engine_->push_maps());
    return setup;
  }

  // Runs one batch and adds its nanoseconds per packet to `samples`. A verdict other than the case's is an error.
  Result<void> run_batch(std::vector<double>& samples) {
    for (auto& packet : packets_) {
      packet.assign(frame_);
      packet.ingress_ifindex = first_.ingress_ifindex;
      packet.rx_queue = first_.rx_queue;
    }
    const exec::RunContext context{.clock = &clock_, .random_state = &random_state_};
    const uint64_t before = engine_->counters().run_ns;
    XNIC_TRY(engine_->run(packets_, verdicts_, context));
    samples.push_back(static_cast<double>(engine_->counters().run_ns - before) / static_cast<double>(kBatchPackets));
    for (const exec::Verdict& verdict : verdicts_) {
      if (verdict.code != wanted_)
        return make_error(ErrorKind::kBadInput, std::string(engine_->name()), "verdict {} instead of {}", verdict.code,
                          wanted_);
    }
    return {};
  }

 private:
  Setup(device::Object object, std::unique_ptr<exec::Engine> engine, const ordered_json& test)
      : object_(std::move(object)),
        engine_(std::move(engine)),
        first_(tests::packet_of(test, kFrameBytes)),
        frame_(first_.bytes()),
        packets_(kBatchPackets),
        verdicts_(kBatchPackets),
        wanted_(tests::verdict_code(test["verdict"])) {}

  device::Object object_;
  std::unique_ptr<exec::Engine> engine_;
  exec::packet::Packet first_;
  std::vector<uint8_t> frame_;
  std::vector<exec::packet::Packet> packets_;
  std::vector<exec::Verdict> verdicts_;
  uint32_t wanted_;
  base::SystemClock clock_;
  uint64_t random_state_ = 1;
};

// Null when the figure is below the resolution.
using Figure = std::optional<double>;

Result<Figure> measure(device::Device& device, const std::string& engine, const fs::path& programs,
                       const std::string& program, const ordered_json& test, const ordered_json& empty_test) {
  XNIC_ASSIGN(auto setup, Setup::make(device, engine, programs / (program + ".bpf.o"), test));
  std::optional<Setup> empty;
  if (engine == "kernel") {
    XNIC_ASSIGN(empty, Setup::make(device, engine, programs / (kEmptyProgram + ".bpf.o"), empty_test));
  }
  std::vector<double> samples;
  std::vector<double> harness;
  for (int batch = 0; batch < kWarmUp + kBatches; ++batch) {
    if (batch == kWarmUp) samples.clear(), harness.clear();
    XNIC_TRY(setup.run_batch(samples));
    if (empty) XNIC_TRY(empty->run_batch(harness));
  }
  const double figure = median(samples) - (empty ? median(harness) : 0);
  return figure < kResolutionNs ? Figure() : Figure(figure);
}

ordered_json json(const Figure& figure) { return figure ? ordered_json(*figure) : ordered_json(); }

Result<void> fill(Report& report, const fs::path& cases, const fs::path& programs,
                  const std::vector<std::string>& engines) {
  device::Device device;
  device::install_device(&device);
  XNIC_ASSIGN(const ordered_json empty_test, main_case(cases, kEmptyProgram));
  report.print_head();
  for (const auto& name : programs_in(programs)) {
    XNIC_ASSIGN(const ordered_json test, main_case(cases, name));
    ordered_json row = {{"program", name},
                        {"case", test["name"]},
                        {"bytes", tests::packet_of(test, kFrameBytes).size()},
                        {"verdict", test["verdict"]}};
    std::map<std::string, Figure> figures;
    for (const auto& engine : engines) {
      XNIC_ASSIGN(figures[engine], measure(device, engine, programs, name, test, empty_test));
      row[engine + "_ns"] = json(figures[engine]);
    }
    Figure ratio;
    if (figures["interp"] && figures["kernel"]) ratio = *figures["interp"] / *figures["kernel"];
    if (!row.contains("kernel_ns")) row["kernel_ns"] = nullptr;
    row["ratio"] = json(ratio);
    report.add(std::move(row));
  }
  device::install_device(nullptr);
  return {};
}

int run(const fs::path& cases, const fs::path& programs, const fs::path& out) {
  std::vector<std::string> engines;
  std::vector<Column> columns = {{"program", 16}, {"bytes", 5}};
  for (std::string_view name : kEngines) {
    if (name == "kernel" && geteuid() != 0) continue;
    engines.emplace_back(name);
    columns.push_back({engines.back() + "_ns", 10});
  }
  columns.push_back({"ratio", 6});
  columns.push_back({"case", 1});
  if (geteuid() != 0) fmt::print("not root: the live kernel is left out\n");
  Report report(std::move(columns));
  auto filled = fill(report, cases, programs, engines);
  if (filled) {
    fmt::print("ratio: interp_ns / kernel_ns; -: less than {} ns\n", kResolutionNs);
    filled = report.write(out);
  }
  if (filled) return 0;
  fmt::print(stderr, "\nbench_engines: {}\n", filled.error().message());
  return 1;
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  xnic::device::install_native();
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_engines CASES_DIR PROGRAMS_DIR OUT.json\n");
    return 2;
  }
  xnic::bench::pin_to_cpu(0);
  return xnic::bench::run(argv[1], argv[2], argv[3]);
}
