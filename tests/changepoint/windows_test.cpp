// SPDX-License-Identifier: Apache-2.0
// The programs whose packet carries both windows, on the stock series of 3239 decisions.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "changepoint/card.hpp"
#include "changepoint/card_latency.hpp"
#include "changepoint/series.hpp"
#include "changepoint/wire.hpp"
#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "exec/sim/hxdp/engine.hpp"

namespace xnic::apps::changepoint {
namespace {

constexpr size_t kDecisions = 3239;
constexpr double kClockMhz = 156.25;

std::vector<double> stock() {
  auto series = read_series(XNIC_SOURCE "/apps/changepoint/data/stock_000001SZ.txt", {.skip_blank = true});
  EXPECT_TRUE(series.has_value());
  EXPECT_EQ(series->blank_rows, 148u);
  EXPECT_EQ(series->samples.size(), kDecisions + 15);
  return series->samples;
}

Frames frames_of(const std::vector<double>& samples, Form form) {
  Frames frames;
  for (size_t i = 0; i + kSamples <= samples.size(); ++i) {
    const auto at = samples.begin() + static_cast<ptrdiff_t>(i);
    frames.push_back(make_frame(form, {0, i, samples.size() - kSamples + 1, {at, at + kSamples}}));
  }
  return frames;
}

bool double_splits(const std::vector<double>& samples, size_t i) {
  const std::span<const double> all(samples);
  return splits(all.subspan(i, kWindow), all.subspan(i + kWindow, kWindow), kEpsilon);
}

bool fixed_splits(const std::vector<double>& samples, size_t i, const Scale& scale) {
  std::vector<uint64_t> units;
  for (size_t k = 0; k < kSamples; ++k) units.push_back(to_fixed(samples[i + k], scale.scale));
  const std::span<const uint64_t> all(units);
  return splits_fixed(all.first(kWindow), all.subspan(kWindow), scale);
}

size_t agreements(const std::vector<double>& samples, const Scale& scale) {
  size_t equal = 0;
  for (size_t i = 0; i + kSamples <= samples.size(); ++i)
    equal += double_splits(samples, i) == fixed_splits(samples, i, scale);
  return equal;
}

// The engines of this build that can run here.
std::vector<std::string> engines() {
  std::vector<std::string> names;
  for (std::string_view name : exec::engine_names())
    if (name != "nfp" && (name != "kernel" || geteuid() == 0)) names.emplace_back(name);  // that card refuses it
  return names;
}

std::string object(const std::string& program) { return XNIC_PROGRAMS "/" + program + ".bpf.o"; }

class ChangepointWindows : public testing::Test {
 protected:
  void SetUp() override {
    exec::sim::hxdp::CardOptions card;
    card.keep_runs = true;
    device::install_hxdp({}, card);
    device::install_native();
  }
};

TEST_F(ChangepointWindows, agreement_by_scale_is_that_of_the_report) {
  const auto samples = stock();
  const std::pair<uint64_t, size_t> down[] = {{1024, 2810}, {2048, 2954},  {4096, 3101},
                                              {8192, 3161}, {16384, 3205}, {32768, 3219}};
  for (auto [scale, equal] : down) EXPECT_EQ(agreements(samples, scale_down(scale, kEpsilon)), equal) << scale;
  const std::pair<uint64_t, size_t> nearest[] = {{1024, 2810}, {2048, 2956},  {4096, 3105},
                                                 {8192, 3161}, {16384, 3205}, {32768, 3221}};
  for (auto [scale, equal] : nearest) EXPECT_EQ(agreements(samples, scale_nearest(scale, kEpsilon)), equal) << scale;
}

TEST_F(ChangepointWindows, the_deployed_constants_agree_in_3206_of_3239) {
  const auto samples = stock();
  size_t fixed = 0, exact = 0, wrong = 0, missed = 0;
  for (size_t i = 0; i < kDecisions; ++i) {
    const bool f = fixed_splits(samples, i, kDeployed), d = double_splits(samples, i);
    fixed += f, exact += d, wrong += f && !d, missed += d && !f;
  }
  EXPECT_EQ(kDecisions - wrong - missed, 3206u);
  EXPECT_EQ(wrong, 3u);
  EXPECT_EQ(missed, 30u);
  EXPECT_EQ(fixed, 748u);
  EXPECT_EQ(exact, 775u);
}

// Every engine's frames are, byte for byte, the sender's with the tag of the definition.
TEST_F(ChangepointWindows, every_engine_gives_the_same_tags) {
  const auto samples = stock();
  for (auto [program, form] : {std::pair{"changepoint_fixed", Form::kFixed}, {"changepoint_double", Form::kDouble}}) {
    Frames wanted = frames_of(samples, form);
    const Frames sent = wanted;
    for (size_t i = 0; i < wanted.size(); ++i)
      base::store_le<uint64_t>(wanted[i].data() + kTagOffset, fixed_splits(samples, i, kDeployed) ? 1 : 2);
    ASSERT_EQ(sent.size(), kDecisions);
    for (const std::string& engine : engines()) {
      auto card = Card::open(object(program), engine);
      ASSERT_TRUE(card.has_value()) << engine << ": " << card.error().message();
      Frames frames = sent;
      std::vector<exec::Verdict> verdicts;
      ASSERT_TRUE(card->run(frames, verdicts).has_value()) << engine;
      EXPECT_TRUE(std::all_of(verdicts.begin(), verdicts.end(), [](const auto& v) { return v.code == 2; })) << engine;
      EXPECT_EQ(frames, wanted) << engine << " " << program;
    }
  }
}

// Frames of 314 bytes, 10,000 of them, one every 156 cycles (1 Mpps).
TEST_F(ChangepointWindows, latency_in_the_card_is_short_and_always_the_same) {
  struct {
    const char* program;
    Form form;
    double limit_ns;
    uint32_t slots;
  } const programs[] = {{"changepoint_fixed", Form::kFixed, 500, 119}, {"changepoint_double", Form::kDouble, 900, 391}};
  const auto samples = stock();
  for (const auto& p : programs) {
    auto card = Card::open(object(p.program), "hxdp");
    ASSERT_TRUE(card.has_value()) << card.error().message();
    const Frames one = frames_of(samples, p.form);
    Frames frames;
    while (frames.size() < 10000) frames.insert(frames.end(), one.begin(), one.end());
    frames.resize(10000);
    std::vector<exec::Verdict> verdicts;
    ASSERT_TRUE(card->run(frames, verdicts).has_value());
    const auto& engine = static_cast<const exec::sim::hxdp::Hxdp&>(card->engine());
    uint32_t operations = 0;
    for (const auto& row : engine.image().rows)
      for (const auto& op : row.lanes) operations += !arch::hxdp::is_nop(op);
    EXPECT_LT(operations, p.slots);
    const auto latencies = paced_latency(engine, 156);
    ASSERT_EQ(latencies.size(), 10000u);
    for (const CardLatency& latency : latencies) ASSERT_EQ(latency.cycles, latencies[0].cycles);
    EXPECT_EQ(latencies[0].transfer_cycles, 20u);  // ten frames of 32 bytes each way
    EXPECT_LE(latencies[0].cycles * 1e3 / kClockMhz, p.limit_ns) << p.program;
    const double mpps = kClockMhz / (static_cast<double>(engine.card()->counters().elapsed) / 10000);
    if (p.form == Form::kFixed) {
      EXPECT_GE(mpps, 3.7);
    }
  }
}

TEST(ChangepointWire, frames_come_back_as_they_were_made) {
  Windows windows{2, 7, 99, {}};
  for (size_t i = 0; i < kSamples; ++i) windows.samples.push_back(static_cast<double>(i) + 0.25);
  for (Form form : {Form::kFixed, Form::kDouble}) {
    auto frame = make_frame(form, windows);
    EXPECT_EQ(frame.size(), 314u);
    const auto back = parse_frame(form, frame);
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->samples, windows.samples);
    EXPECT_EQ(back->tag, 2u);
    EXPECT_EQ(back->number, 7u);
    EXPECT_EQ(back->count, 99u);
    frame[42] ^= 1;
    EXPECT_FALSE(parse_frame(form, frame).has_value());
  }
}

std::string error_of(const std::string& text, const SeriesOptions& options = {}) {
  auto series = parse_series(text, "s", options);
  return series ? "" : series.error().message();
}

TEST(ChangepointSeries, every_bad_row_is_named) {
  EXPECT_EQ(error_of("1\n2\nx\n"), "s: row 3: 'x' is not a number");
  EXPECT_EQ(error_of("1\nnan\n"), "s: row 2: the sample is NaN");
  EXPECT_EQ(error_of("1\n-1\n"), "s: row 2: -1 is out of range: samples are in [0, 65536)");
  EXPECT_EQ(error_of("65536\n"), "s: row 1: 65536 is out of range: samples are in [0, 65536)");
  EXPECT_EQ(error_of("inf\n"), "s: row 1: 'inf' is out of range: samples are in [0, 65536)");
  EXPECT_EQ(error_of("1e999\n"), "s: row 1: '1e999' is out of range: samples are in [0, 65536)");
  EXPECT_EQ(error_of("1\n\n2\n"), "s: row 2: is blank: a sample is missing (--skip-blank leaves it out)");
  EXPECT_EQ(error_of("1,2\n3\n", {.column = "2"}), "s: row 2: has no column 2");
  EXPECT_EQ(error_of("1,\n", {.column = "2"}), "s: row 1: has no column 2");
  EXPECT_EQ(error_of("a,b\n", {.column = "c"}), "s: row 1: the head has no column 'c'");
  EXPECT_EQ(error_of(""), "s: has no samples");
}

TEST(ChangepointSeries, columns_are_chosen_by_number_or_name) {
  const auto named = parse_series("day, price\r\n1, 2.5\r\n2, 3.5\r\n", "s", {.column = "price"});
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->samples, (std::vector<double>{2.5, 3.5}));
  EXPECT_EQ(named->rows, (std::vector<uint64_t>{2, 3}));
  const auto numbered = parse_series("\"x\";\"y\"\n1;\"2\"\n", "s", {.column = "2", .header = true, .separator = ';'});
  ASSERT_TRUE(numbered.has_value());
  EXPECT_EQ(numbered->samples, std::vector<double>{2});
}

}  // namespace
}  // namespace xnic::apps::changepoint
