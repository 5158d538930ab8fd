// SPDX-License-Identifier: Apache-2.0
// Seeded random numbers: splitmix64 (Steele, Lea, Flood 2014). Same seed, same sequence, on every machine.
#pragma once

#include <cstdint>

namespace xnic::base {

class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}

  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); pre: bound > 0. The modulo bias is below 2^-32 for bounds below 2^32.
  uint64_t below(uint64_t bound) { return next() % bound; }
  // Uniform in [low, high], both included.
  uint64_t range(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True with probability numerator/denominator.
  bool chance(uint32_t numerator, uint32_t denominator) { return below(denominator) < numerator; }

 private:
  uint64_t state_;
};

}  // namespace xnic::base
