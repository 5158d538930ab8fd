// SPDX-License-Identifier: Apache-2.0
// The decision on two windows, in double precision and in fixed point, as docs/changepoint.md defines it.
#pragma once

#include <cstdint>
#include <span>

namespace xnic::apps::changepoint {

inline constexpr size_t kWindow = 8;
inline constexpr size_t kSamples = 2 * kWindow;  // of a packet
inline constexpr double kEpsilon = 0.1;
inline constexpr double kSampleLimit = 65536;  // samples are in [0, kSampleLimit)

enum class Tag : uint64_t { kOpen = 0, kSplit = 1, kNoSplit = 2 };

// far / n > variance / epsilon^2 of `tested` against the mean and population variance of `learned`.
// Pre: both have the same length, at least 1.
bool splits(std::span<const double> learned, std::span<const double> tested, double epsilon);

// Fixed point with `scale` units to 1.
struct Scale {
  uint64_t scale;
  uint64_t epsilon;
  uint64_t epsilon_squared;
};
// What the programs of the card use; epsilon_squared is not the square of epsilon (docs/changepoint.md).
inline constexpr Scale kDeployed = {16384, 1638, 2684191};
// Epsilon rounded down or to the nearest unit, and its square.
Scale scale_down(uint64_t scale, double epsilon);
Scale scale_nearest(uint64_t scale, double epsilon);

// trunc(sample * scale). Pre: the sample is in range.
uint64_t to_fixed(double sample, uint64_t scale);
// As splits(), in integers of any size: equal to the card's 64 bits wherever those do not overflow.
bool splits_fixed(std::span<const uint64_t> learned, std::span<const uint64_t> tested, const Scale& scale);

}  // namespace xnic::apps::changepoint
