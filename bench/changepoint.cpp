// SPDX-License-Identifier: Apache-2.0
// Change-point detection in figures. usage: bench_changepoint CASES_DIR PROGRAMS_DIR OUT.json [--stock FILE]
//
// One row a figure (docs/benchmarks.md): the agreement of fixed point with double precision by scale, then each program
// on each engine with the stock series, streams, detection quality, and the digits of docs/digits.md. Figures of the
// hXDP card are cycles of its model and always the same; times of the host are medians of kRounds rounds over the whole
// series, the kernel's less those of `pass`.
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "changepoint/card.hpp"
#include "changepoint/card_latency.hpp"
#include "changepoint/quality.hpp"
#include "changepoint/series.hpp"
#include "changepoint/wire.hpp"
#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "digits/card.hpp"
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
  Result<void> streams();
  Result<void> quality();
  Result<void> digits(const std::string& weights);
  const Report& report() const { return report_; }

 private:
  void figure(const std::string& part, const std::string& subject, const std::string& engine, const std::string& what,
              const ordered_json& value) {
    report_.add({{"part", part}, {"subject", subject}, {"engine", engine}, {"figure", what}, {"value", value}});
  }
  Result<double> host_ns(const std::string& engine, const std::string& program, const Frames& sent);
  void card_figures(const std::string& part, const std::string& name, const Hxdp& engine);
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

void Bench::card_figures(const std::string& part, const std::string& name, const Hxdp& engine) {
  const auto& image = engine.image();
  const double ns = 1e9 / static_cast<double>(image.parameters.clock_hz);
  uint32_t operations = 0;
  for (const auto& row : image.rows)
    for (const auto& op : row.lanes) operations += !arch::hxdp::is_nop(op);
  // Programs that take longer than 1 Mpps leaves them are measured at a thousandth of it.
  const auto busy = engine.card()->counters();
  const uint64_t gap = busy.elapsed / busy.packets < kPacedCycles ? kPacedCycles : kPacedCycles * 1000;
  const auto latencies = paced_latency(engine, gap);
  const auto less = [](const CardLatency& a, const CardLatency& b) { return a.cycles < b.cycles; };
  const auto [least, most] = std::minmax_element(latencies.begin(), latencies.end(), less);
  const auto counters = engine.card()->counters();
  figure(part, name, "hxdp", "instructions", image.source_insns);
  figure(part, name, "hxdp", "operations", operations);
  figure(part, name, "hxdp", "rows", image.rows.size());
  figure(part, name, "hxdp", "latency_min_ns", least->cycles * ns);
  figure(part, name, "hxdp", "latency_max_ns", most->cycles * ns);
  figure(part, name, "hxdp", "of_it_transfer_ns", most->transfer_cycles * ns);
  figure(part, name, "hxdp", "mpps",
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
      card_figures("programs", name, static_cast<const Hxdp&>(card.engine()));
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

// 200 streams of 2000 samples, with and without changes.
Result<void> Bench::streams() {
  constexpr uint32_t kStreams = 200;
  constexpr size_t kStreamSamples = 2000;
  base::Rng rng(3);
  std::vector<std::vector<double>> series;
  for (uint32_t i = 0; i < kStreams; ++i) {
    SeriesPlan plan;
    plan.change = kChanges[i % std::size(kChanges)];
    plan.samples = kStreamSamples;
    series.push_back(generate(plan, rng).samples);
  }
  for (std::string_view view : exec::engine_names()) {
    const std::string engine(view);
    if (engine == "kernel" && geteuid() != 0) continue;
    XNIC_ASSIGN(StreamCard card, StreamCard::open(programs_ / "changepoint_stream.bpf.o", engine, {}, 1));
    std::vector<StreamPacket> packets;
    std::vector<StreamAnswer> answers;
    std::vector<double> rounds;
    for (uint32_t t = 0; t < kStreamSamples; ++t) {
      packets.clear();
      for (uint32_t i = 0; i < kStreams; ++i)
        packets.push_back({0xc0a80001, i, t, static_cast<uint32_t>(to_fixed(series[i][t], kDeployed.scale))});
      const uint64_t before = card.engine(0).counters().run_ns;
      XNIC_TRY(card.run(0, packets, answers));
      rounds.push_back(static_cast<double>(card.engine(0).counters().run_ns - before) / kStreams);
      if (engine != "kernel") card.drain([](const StreamResult&) {});
    }
    XNIC_ASSIGN(const StreamCounts counts, card.counts());
    const std::string name = "changepoint_stream";
    figure("streams", name, engine, "decisions", counts.decisions);
    figure("streams", name, engine, "splits", counts.splits);
    if (engine != "hxdp") {
      figure("streams", name, engine, "ns", median(rounds));
      continue;
    }
    card_figures("streams", name, static_cast<const Hxdp&>(card.engine(0)));
  }
  return {};
}

// Change points of generated series, found by the card and by CUSUM.
Result<void> Bench::quality() {
  constexpr size_t kSeries = 200;
  constexpr size_t kTolerance = 256;
  for (Change change : {Change::kMean, Change::kVariance, Change::kDrift, Change::kNone}) {
    base::Rng rng(17);
    Detection card_all, cusum_all;
    XNIC_ASSIGN(StreamCard card,
                StreamCard::open(programs_ / "changepoint_stream.bpf.o", "interp", quality_parameters(), 1));
    for (uint32_t i = 0; i < kSeries; ++i) {
      SeriesPlan plan;
      plan.change = change;
      plan.samples = 6000;
      const MarkedSeries series = generate(plan, rng);
      const size_t drift = change == Change::kDrift ? plan.drift : 0;
      XNIC_ASSIGN(const auto found, detect_in_card(card, i, series.samples));
      card_all += judge(series, found, kTolerance, drift);
      cusum_all += judge(series, detect_cusum(series.samples, {}), kTolerance, drift);
    }
    for (const auto& [method, d] : {std::pair{"card", card_all}, {"cusum", cusum_all}}) {
      const std::string subject = fmt::format("{} {}", method, change_name(change));
      figure("quality", subject, "interp", "changes", d.changes);
      figure("quality", subject, "interp", "found", d.found);
      figure("quality", subject, "interp", "false_alarms", d.false_alarms);
      figure("quality", subject, "interp", "precision", d.precision());
      figure("quality", subject, "interp", "recall", d.recall());
      figure("quality", subject, "interp", "median_delay", d.median_delay());
    }
  }
  return {};
}

Result<void> Bench::digits(const std::string& file) {
  using namespace apps::digits;
  XNIC_ASSIGN(const FloatWeights weights, read_weights(file));
  XNIC_ASSIGN(const FixedWeights fixed, quantise(weights));
  constexpr size_t kImagesRound = 50;
  const auto set = draw_set(5000, Shapes::kAll, 1000);
  std::vector<Image> images;
  size_t by_float = 0, by_fixed = 0;
  for (const Sample& sample : set) {
    images.push_back(sample.image);
    by_float += read_float(weights, sample.image) == sample.digit;
    by_fixed += read_fixed(fixed, sample.image).digit == sample.digit;
  }
  const auto percent = [&](size_t right) { return 100 * static_cast<double>(right) / static_cast<double>(set.size()); };
  figure("digits", "floating point", "host", "accuracy_percent", percent(by_float));
  figure("digits", "fixed point", "host", "accuracy_percent", percent(by_fixed));
  for (std::string_view view : exec::engine_names()) {
    const std::string engine(view);
    if (engine == "kernel" && geteuid() != 0) continue;
    XNIC_ASSIGN(DigitsCard card, DigitsCard::open(programs_ / "digits.bpf.o", engine));
    XNIC_TRY(card.use(fixed));
    std::vector<Reading> readings;
    std::vector<double> rounds;
    for (size_t first = 0; first < images.size(); first += kImagesRound) {
      const uint64_t before = card.engine().counters().run_ns;
      XNIC_ASSIGN(const auto some, card.read(std::span(images).subspan(first, kImagesRound)));
      rounds.push_back(static_cast<double>(card.engine().counters().run_ns - before) / kImagesRound);
      readings.insert(readings.end(), some.begin(), some.end());
    }
    const double ns = median(rounds);
    size_t right = 0, equal = 0;
    for (size_t i = 0; i < set.size(); ++i) {
      right += readings[i].digit == set[i].digit;
      equal += readings[i] == read_fixed(fixed, images[i]);
    }
    figure("digits", "digits", engine, "accuracy_percent", percent(right));
    figure("digits", "digits", engine, "equal_readings", equal);
    if (engine == "hxdp") {
      card_figures("digits", "digits", static_cast<const Hxdp&>(card.engine()));
      continue;
    }
    figure("digits", "digits", engine, "ns", ns);
    figure("digits", "digits", engine, "mpps", 1e3 / ns);
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
  XNIC_TRY(bench.streams());
  XNIC_TRY(bench.quality());
  XNIC_TRY(bench.digits("apps/digits/data/weights.txt"));
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
