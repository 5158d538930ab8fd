// SPDX-License-Identifier: Apache-2.0
// Series with known change points, from a seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.hpp"

namespace xnic::apps::changepoint {

enum class Change : uint8_t { kNone, kMean, kVariance, kDrift };
inline constexpr Change kChanges[] = {Change::kNone, Change::kMean, Change::kVariance, Change::kDrift};
const char* change_name(Change change);

struct SeriesPlan {
  Change change = Change::kMean;
  size_t samples = 2000;
  size_t changes = 2;       // evenly spread, each moved by up to a tenth of a state's length
  double level = 100;       // mean of the first state
  double deviation = 0.05;  // of the normal noise
  double size = 0.3;   // kMean, kDrift: by how much the mean moves, up and down in turn; kVariance: deviation after
  size_t drift = 512;  // kDrift: over so many samples
};
struct MarkedSeries {
  std::vector<double> samples;
  std::vector<size_t> changes;  // first sample of each new state (kDrift: where the drift begins)
};
MarkedSeries generate(const SeriesPlan& plan, base::Rng& rng);

}  // namespace xnic::apps::changepoint
