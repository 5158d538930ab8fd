// SPDX-License-Identifier: Apache-2.0
// Straight from the definition, with no thought of speed: this is what the card is compared with.
#include "changepoint/decision.hpp"

#include <cmath>

namespace xnic::apps::changepoint {

bool splits(std::span<const double> learned, std::span<const double> tested, double epsilon) {
  const auto n = static_cast<double>(learned.size());
  double sum = 0;
  double squares = 0;
  for (double sample : learned) sum += sample, squares += sample * sample;
  const double mean = sum / n;
  const double variance = squares / n - mean * mean;
  double far = 0;
  for (double sample : tested) far += std::fabs(sample - mean) >= epsilon;
  return far / n > variance / (epsilon * epsilon);
}

Scale scale_down(uint64_t scale, double epsilon) {
  const auto units = static_cast<uint64_t>(static_cast<double>(scale) * epsilon);
  return {scale, units, units * units};
}

Scale scale_nearest(uint64_t scale, double epsilon) {
  const auto units = static_cast<uint64_t>(std::llround(static_cast<double>(scale) * epsilon));
  return {scale, units, units * units};
}

uint64_t to_fixed(double sample, uint64_t scale) { return static_cast<uint64_t>(sample * static_cast<double>(scale)); }

bool splits_fixed(std::span<const uint64_t> learned, std::span<const uint64_t> tested, const Scale& scale) {
  using Wide = unsigned __int128;
  const Wide n = learned.size();
  Wide sum = 0;
  Wide squares = 0;
  for (uint64_t sample : learned) sum += sample, squares += Wide(sample) * sample;
  const Wide mean = sum / n;
  const Wide variance = squares / n - mean * mean;
  Wide far = 0;
  for (uint64_t sample : tested) far += (sample > mean ? sample - mean : mean - sample) >= scale.epsilon;
  return far * scale.epsilon_squared > variance * n;
}

}  // namespace xnic::apps::changepoint
