// SPDX-License-Identifier: Apache-2.0
// Handwritten-like digits: strokes of several glyph shapes, distorted, drawn with a pen of some width into 8x8 grey
// pixels. Made from a seed, so that the data set is a few lines and the same everywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/rng.hpp"

namespace xnic::apps::digits {

inline constexpr size_t kSide = 8;
using Image = std::array<uint8_t, kSide * kSide>;  // row by row, 0 is paper

struct Sample {
  Image image;
  uint32_t digit;
};

// Which shapes of a digit are drawn: the training set never sees those that only the test set has.
enum class Shapes : uint8_t { kTraining, kAll };

Sample draw_digit(uint32_t digit, Shapes shapes, base::Rng& rng);
// `count` samples, the digits in turn.
std::vector<Sample> draw_set(size_t count, Shapes shapes, uint64_t seed);

}  // namespace xnic::apps::digits
