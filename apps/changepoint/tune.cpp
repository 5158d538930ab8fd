// SPDX-License-Identifier: Apache-2.0
// `xnic-changepoint tune`: what epsilon and window do to a series, and what fixed point costs.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "changepoint/command.hpp"

namespace xnic::apps::changepoint {
namespace {

using nlohmann::ordered_json;

struct Try {
  uint32_t window;
  double epsilon;
  size_t decisions = 0, splits_double = 0, splits_fixed = 0, equal = 0;
  bool fits = false;  // no sum of the card's 64 bits overflows
};

Try try_out(const Series& series, const std::vector<uint64_t>& units, uint32_t window, double epsilon, uint64_t scale) {
  Try result{window, epsilon};
  const Scale s = scale_nearest(scale, epsilon);
  const std::span<const double> samples(series.samples);
  const std::span<const uint64_t> fixed(units);
  for (size_t i = 0; i + 2 * window <= samples.size(); ++i) {
    const bool exact = splits(samples.subspan(i, window), samples.subspan(i + window, window), epsilon);
    const bool card = splits_fixed(fixed.subspan(i, window), fixed.subspan(i + window, window), s);
    ++result.decisions;
    result.splits_double += exact;
    result.splits_fixed += card;
    result.equal += exact == card;
  }
  using Wide = unsigned __int128;
  const Wide most = *std::max_element(units.begin(), units.end());
  constexpr Wide kTop = ~uint64_t{0};
  result.fits = most * most * window <= kTop && Wide(window) * s.epsilon_squared <= kTop;
  return result;
}

void print(const std::vector<Try>& tries, const TuneOptions& options) {
  const auto percent = [](const Try& t) {
    return t.decisions == 0 ? 0 : 100 * static_cast<double>(t.equal) / static_cast<double>(t.decisions);
  };
  if (options.json) {
    ordered_json list = ordered_json::array();
    for (const Try& t : tries)
      list.push_back({{"window", t.window},
                      {"epsilon", t.epsilon},
                      {"decisions", t.decisions},
                      {"splits_double", t.splits_double},
                      {"splits_fixed", t.splits_fixed},
                      {"agreement_percent", percent(t)},
                      {"fits_64_bits", t.fits}});
    fmt::print("{}\n", list.dump(2));
    return;
  }
  if (options.csv) {
    fmt::print("window,epsilon,decisions,splits_double,splits_fixed,agreement_percent,fits_64_bits\n");
    for (const Try& t : tries)
      fmt::print("{},{},{},{},{},{:.3f},{}\n", t.window, t.epsilon, t.decisions, t.splits_double, t.splits_fixed,
                 percent(t), t.fits ? 1 : 0);
    return;
  }
  fmt::print("{:>6} {:>8} {:>10} {:>14} {:>13} {:>11}  {}\n", "window", "epsilon", "decisions", "splits double",
             "splits fixed", "agreement", "64 bits");
  for (const Try& t : tries)
    fmt::print("{:>6} {:>8} {:>10} {:>14} {:>13} {:>9.3f} %  {}\n", t.window, t.epsilon, t.decisions, t.splits_double,
               t.splits_fixed, percent(t), t.fits ? "enough" : "overflow");
}

base::Result<void> tune_series(const TuneOptions& options) {
  XNIC_ASSIGN(const Series series, read_series(options.input, options.series));
  std::vector<uint64_t> units;
  for (double sample : series.samples) units.push_back(to_fixed(sample, options.scale));
  std::vector<Try> tries;
  for (uint32_t window : options.windows) {
    if (window == 0 || series.samples.size() < 2 * size_t(window))
      return base::make_error(base::ErrorKind::kBadInput, series.name,
                              "has {} samples; a window of {} needs twice that", series.samples.size(), window);
    for (double epsilon : options.epsilons) {
      if (!(epsilon * static_cast<double>(options.scale) >= 1 && epsilon < kSampleLimit))
        return base::make_error(base::ErrorKind::kBadInput, "--epsilon",
                                "{} is not between one unit of the scale and 65536", epsilon);
      tries.push_back(try_out(series, units, window, epsilon, options.scale));
    }
  }
  print(tries, options);
  return {};
}

}  // namespace

int tune(const TuneOptions& options) {
  auto done = tune_series(options);
  return done ? int{kExitOk} : report(done.error());
}

}  // namespace xnic::apps::changepoint
