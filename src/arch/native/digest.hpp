// SPDX-License-Identifier: Apache-2.0
// Digest: 128 bits that stand for contents, for names of stored images and for their checksums. Not for secrets: who
// can write the store can also make a right checksum.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/bytes.hpp"

namespace xnic::arch::native {

using Digest = std::array<uint64_t, 2>;

// Two lanes, each a chain of 64 x 64 -> 128 bit multiplications with folding; a word enters both with different keys.
class Digester {
 public:
  void word(uint64_t value) {
    a_ = fold(a_ ^ value, 0x9e3779b97f4a7c15u);
    b_ = fold(b_ + value, 0xbb67ae8584caa73bu) ^ value;
    ++words_;
  }
  template <class... T>
  void words(T... values) {
    (word(static_cast<uint64_t>(values)), ...);
  }
  // Length first, so that neighbouring strings cannot trade bytes.
  void bytes(base::Bytes bytes) {
    word(bytes.size());
    size_t i = 0;
    for (; i + 8 <= bytes.size(); i += 8) word(base::load<uint64_t>(bytes.data() + i));
    uint64_t rest = 0;
    if (i != bytes.size()) std::memcpy(&rest, bytes.data() + i, bytes.size() - i);
    word(rest);
  }
  void text(std::string_view text) { bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }
  Digest finish() const {
    return {fold(a_ ^ words_, 0x6a09e667f3bcc909u), fold(b_ ^ (words_ << 1), 0x3c6ef372fe94f82bu) ^ fold(a_, b_ | 1)};
  }

 private:
  static uint64_t fold(uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  uint64_t a_ = 0x243f6a8885a308d3u;
  uint64_t b_ = 0x13198a2e03707344u;
  uint64_t words_ = 0;
};

inline Digest digest_of(base::Bytes bytes) {
  Digester digester;
  digester.bytes(bytes);
  return digester.finish();
}

}  // namespace xnic::arch::native
