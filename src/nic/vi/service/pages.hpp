// SPDX-License-Identifier: Apache-2.0
// Which pages of the card's memory are free.
#pragma once

#include <cstdint>
#include <map>

namespace xnic::nic::vi {

class Pages {
 public:
  Pages(uint64_t begin, uint64_t end) { free_[begin] = end; }
  // Offset of `bytes` (rounded up to pages), which leaves the remainder `phase` (a whole page) when divided by
  // `modulus` (pages, a power of two); 0: none are free.
  uint64_t take(uint64_t bytes, uint64_t phase = 0, uint64_t modulus = 1);
  // Pre: taken with the same number of bytes.
  void give(uint64_t begin, uint64_t bytes);
  uint64_t in_use() const { return in_use_; }  // pages

 private:
  std::map<uint64_t, uint64_t> free_;  // begin to end; no two touch
  uint64_t in_use_ = 0;
};

}  // namespace xnic::nic::vi
