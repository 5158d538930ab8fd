// SPDX-License-Identifier: Apache-2.0
// SipHash-2-4 (Aumasson, Bernstein 2012), a keyed hash for short inputs.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace xnic::exec::helpers {

// Pre: none. `key` is 128 bits as two little-endian words.
inline uint64_t siphash(base::Bytes input, uint64_t key0, uint64_t key1) {
  uint64_t v0 = key0 ^ 0x736f6d6570736575u;
  uint64_t v1 = key1 ^ 0x646f72616e646f6du;
  uint64_t v2 = key0 ^ 0x6c7967656e657261u;
  uint64_t v3 = key1 ^ 0x7465646279746573u;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  const auto absorb = [&](uint64_t word) {
    v3 ^= word;
    round(), round();
    v0 ^= word;
  };
  size_t at = 0;
  for (; at + 8 <= input.size(); at += 8) absorb(base::load_le<uint64_t>(input.data() + at));
  uint64_t last = uint64_t{input.size()} << 56;
  for (size_t i = 0; at + i < input.size(); ++i) last |= uint64_t{input[at + i]} << (8 * i);
  absorb(last);
  v2 ^= 0xff;
  round(), round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace xnic::exec::helpers
