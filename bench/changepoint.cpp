// SPDX-License-Identifier: Apache-2.0
// Change-point detection in figures. usage: bench_changepoint CASES_DIR PROGRAMS_DIR OUT.json [--stock FILE]
//
// One row a figure (docs/benchmarks.md): the agreement of fixed point with double precision by scale, then each program
// on each engine with the stock series. Figures of the hXDP card are cycles of its model and always the same; times of
// the host are medians of kRounds rounds over the whole series, the kernel's less those of `pass`.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "changepoint/card.hpp"
#include "changepoint/card_latency.hpp"
#include "changepoint/series.hpp"
#include "changepoint/wire.hpp"
#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "report.hpp"

using nlohmann::ordered_json;
using xnic::base::Result;

namespace xnic::bench {
namespace {

using namespace apps::changepoint;
using exec::sim::hxdp::Hxdp;

constexpr int kRounds = 21;
constexpr uint64_t kPacedCycles = 156;  // 1 Mpps at 156.25 MHz

class Bench {
 public:
  Bench(std::filesystem::path programs, std::vector<double> samples)
      : programs_(std::move(programs)),
        samples_(std::move(samples)),
        report_({{"part", 10}, {"subject", 20}, {"engine", 7}, {"figure", 24}, {"value", 10, 3}}) {
    report_.print_head();
  }
  void agreement();
  Result<void> program(const std::string& name, Form form);
  const Report& report() const { return report_; }

 private:
  void figure(const std::string& part, const std::string& subject, const std::string& engine, const std::string& what,
              const ordered_json& value) {
    report_.add({{"part", part}, {"subject", subject}, {"engine", engine}, {"figure", what}, {"value", value}});
  }
  Result<double> host_ns(const std::string& engine, const std::string& program, const Frames& sent);
  void card_figures(const std::string& name, const Hxdp& engine);
  std::vector<bool> fixed(const Scale& scale) const;
  std::vector<bool> exact() const;
  size_t decisions() const { return samples_.size() - kSamples + 1; }

  std::filesystem::path programs_;
  std::vector<double> samples_;
  Report report_;
};

std::vector<bool> Bench::exact() const {
  std::vector<bool> list;
  const std::span<const double> all(samples_);
  for (size_t i = 0; i < decisions(); ++i)
    list.push_back(splits(all.subspan(i, kWindow), all.subspan(i + kWindow, kWindow), kEpsilon));
  return list;
}

std::vector<bool> Bench::fixed(const Scale& scale) const {
  std::vector<uint64_t> units;
  for (double sample : samples_) units.push_back(to_fixed(sample, scale.scale));
  std::vector<bool> list;
  const std::span<const uint64_t> all(units);
  for (size_t i = 0; i < decisions(); ++i)
    list.push_back(splits_fixed(all.subspan(i, kWindow), all.subspan(i + kWindow, kWindow), scale));
  return list;
}

void Bench::agreement() {
  const std::vector<bool> wanted = exact();
  const auto compare = [&](const std::string& subject, const Scale& scale) {
    const std::vector<bool> got = fixed(scale);
    size_t equal = 0;
    for (size_t i = 0; i < wanted.size(); ++i) equal += wanted[i] == got[i];
    figure("agreement", subject, "host", "equal_decisions", equal);
    figure("agreement", subject, "host", "agreement_percent",
           100 * static_cast<double>(equal) / static_cast<double>(wanted.size()));
  };
  figure("agreement", "double precision", "host", "decisions", wanted.size());
  figure("agreement", "double precision", "host", "splits", std::count(wanted.begin(), wanted.end(), true));
  for (uint64_t scale = 1024; scale <= 32768; scale *= 2) {
    compare(fmt::format("x{} epsilon down", scale), scale_down(scale, kEpsilon));
    compare(fmt::format("x{} epsilon nearest", scale), scale_nearest(scale, kEpsilon));
  }
  compare("deployed", kDeployed);
}

// Median nanoseconds of a packet; the frames are sent anew in every round.
Result<double> Bench::host_ns(const std::string& engine, const std::string& program, const Frames& sent) {
  XNIC_ASSIGN(Card card, Card::open(programs_ / (program + ".bpf.o"), engine));
  std::vector<double> rounds;
  std::vector<exec::Verdict> verdicts;
  for (int round = 0; round < kRounds; ++round) {
    Frames frames = sent;
    const uint64_t before = card.engine().counters().run_ns;
    XNIC_TRY(card.run(frames, verdicts));
    rounds.push_back(static_cast<double>(card.engine().counters().run_ns - before) /
                     static_cast<double>(frames.size()));
  }
  return median(rounds);
}

void Bench::card_figures(const std::string& name, const Hxdp& engine) {
  const auto& image = engine.image();
  const double ns = 1e9 / static_cast<double>(image.parameters.clock_hz);
  uint32_t operations = 0;
  for (const auto& row : image.rows)
    for (const auto& op : row.lanes) operations += !arch::hxdp::is_nop(op);
  const auto latencies = paced_latency(engine, kPacedCycles);
  const auto less = [](const CardLatency& a, const CardLatency& b) { return a.cycles < b.cycles; };
  const auto [least, most] = std::minmax_element(latencies.begin(), latencies.end(), less);
  const auto counters = engine.card()->counters();
  figure("programs", name, "hxdp", "instructions", image.source_insns);
  figure("programs", name, "hxdp", "operations", operations);
  figure("programs", name, "hxdp", "rows", image.rows.size());
  figure("programs", name, "hxdp", "latency_min_ns", least->cycles * ns);
  figure("programs", name, "hxdp", "latency_max_ns", most->cycles * ns);
  figure("programs", name, "hxdp", "of_it_transfer_ns", most->transfer_cycles * ns);
  figure("programs", name, "hxdp", "mpps",
         static_cast<double>(counters.packets) / (static_cast<double>(counters.elapsed) * ns) * 1e3);
}

Result<void> Bench::program(const std::string& name, Form form) {
  Frames sent;
  for (size_t i = 0; i < decisions(); ++i) {
    const auto at = samples_.begin() + static_cast<ptrdiff_t>(i);
    sent.push_back(make_frame(form, {0, i, decisions(), {at, at + kSamples}}));
  }
  Frames first;  // of the first engine
  for (std::string_view view : exec::engine_names()) {
    const std::string engine(view);
    if (engine == "kernel" && geteuid() != 0) continue;
    XNIC_ASSIGN(Card card, Card::open(programs_ / (name + ".bpf.o"), engine));
    Frames frames = sent;
    std::vector<exec::Verdict> verdicts;
    XNIC_TRY(card.run(frames, verdicts));
    if (first.empty()) {
      first = frames;
      size_t split = 0;
      for (const auto& frame : frames) split += parse_frame(form, frame)->tag == static_cast<uint64_t>(Tag::kSplit);
      figure("programs", name, engine, "splits", split);
    }
    size_t equal = 0;
    for (size_t i = 0; i < frames.size(); ++i) equal += frames[i] == first[i];
    figure("programs", name, engine, "equal_frames", equal);
    if (engine == "hxdp") {
      card_figures(name, static_cast<const Hxdp&>(card.engine()));
      continue;
    }
    XNIC_ASSIGN(double ns, host_ns(engine, name, sent));
    if (engine == "kernel") {
      XNIC_ASSIGN(const double harness, host_ns(engine, "pass", sent));
      ns -= harness;
    }
    figure("programs", name, engine, "ns", ns);
    figure("programs", name, engine, "mpps", 1e3 / ns);
  }
  return {};
}

Result<void> run(const std::filesystem::path& programs, const std::filesystem::path& out, const std::string& stock) {
  SeriesOptions options;
  options.skip_blank = true;
  XNIC_ASSIGN(const Series series, read_series(stock, options));
  exec::sim::hxdp::CardOptions card;
  card.keep_runs = true;
  device::install_hxdp({}, card);
  device::install_native();
  Bench bench(programs, series.samples);
  bench.agreement();
  XNIC_TRY(bench.program("changepoint_fixed", Form::kFixed));
  XNIC_TRY(bench.program("changepoint_double", Form::kDouble));
  return bench.report().write(out);
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) {
  const bool stock = argc == 6 && std::string(argv[4]) == "--stock";
  if (argc != 4 && !stock) {
    std::fprintf(stderr, "usage: bench_changepoint CASES_DIR PROGRAMS_DIR OUT.json [--stock FILE]\n");
    return 2;
  }
  xnic::bench::pin_to_cpu(0);
  const auto done = xnic::bench::run(argv[2], argv[3], stock ? argv[5] : "apps/changepoint/data/stock_000001SZ.txt");
  if (done) return 0;
  std::fprintf(stderr, "bench_changepoint: %s\n", done.error().message().c_str());
  return 1;
}
