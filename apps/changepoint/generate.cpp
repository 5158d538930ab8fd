// SPDX-License-Identifier: Apache-2.0
#include "changepoint/generate.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace xnic::apps::changepoint {
namespace {

double uniform(base::Rng& rng) { return (static_cast<double>(rng.next() >> 11) + 0.5) * 0x1p-53; }

// Box and Muller, one of the two.
double normal(base::Rng& rng) {
  const double radius = std::sqrt(-2 * std::log(uniform(rng)));
  return radius * std::cos(2 * std::numbers::pi * uniform(rng));
}

}  // namespace

const char* change_name(Change change) {
  switch (change) {
    case Change::kNone:
      return "none";
    case Change::kMean:
      return "mean";
    case Change::kVariance:
      return "variance";
    case Change::kDrift:
      return "drift";
  }
  return "";
}

MarkedSeries generate(const SeriesPlan& plan, base::Rng& rng) {
  MarkedSeries series;
  const size_t states = plan.change == Change::kNone ? 1 : plan.changes + 1;
  const size_t length = plan.samples / states;
  for (size_t i = 1; i < states; ++i) series.changes.push_back(i * length + rng.below(length / 5 + 1) - length / 10);
  size_t state = 0;
  double mean = plan.level;
  double target = mean;
  double deviation = plan.deviation;
  for (size_t i = 0; i < plan.samples; ++i) {
    if (state < series.changes.size() && i == series.changes[state]) {
      const bool up = state++ % 2 == 0;
      if (plan.change == Change::kVariance) deviation = up ? plan.size : plan.deviation;
      if (plan.change != Change::kVariance) target = plan.level + (up ? plan.size : 0);
      if (plan.change == Change::kMean) mean = target;
    }
    const double pace = plan.size / static_cast<double>(plan.drift);
    mean += std::clamp(target - mean, -pace, pace);
    series.samples.push_back(std::max(0.0, mean + deviation * normal(rng)));
  }
  return series;
}

}  // namespace xnic::apps::changepoint
