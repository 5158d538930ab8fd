// SPDX-License-Identifier: Apache-2.0
// First fit, neighbours joined.
#include "nic/vi/service/pages.hpp"

#include "nic/vi/card_memory.hpp"

namespace xnic::nic::vi {
namespace {
uint64_t whole_pages(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }
}  // namespace

uint64_t Pages::take(uint64_t bytes, uint64_t phase, uint64_t modulus) {
  if (bytes == 0 || bytes > kCardBytes) return 0;
  bytes = whole_pages(bytes);
  for (auto range = free_.begin(); range != free_.end(); ++range) {
    const auto [begin, end] = *range;
    const uint64_t at = begin + ((phase - begin) & (modulus - 1));
    if (at > end || end - at < bytes) continue;
    free_.erase(range);
    if (at > begin) free_[begin] = at;
    if (end - at > bytes) free_[at + bytes] = end;
    in_use_ += bytes / kPageBytes;
    return at;
  }
  return 0;
}

void Pages::give(uint64_t begin, uint64_t bytes) {
  bytes = whole_pages(bytes);
  in_use_ -= bytes / kPageBytes;
  uint64_t end = begin + bytes;
  auto next = free_.lower_bound(begin);
  if (next != free_.end() && next->first == end) {
    end = next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin() && std::prev(next)->second == begin)
    std::prev(next)->second = end;
  else
    free_[begin] = end;
}

}  // namespace xnic::nic::vi
