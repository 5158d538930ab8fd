// SPDX-License-Identifier: Apache-2.0
// Word by word: the generator and the tests need it right, not fast. The 32-bit sum cannot overflow below 128 KiB.
#include "wire/checksum.hpp"

#include "base/check.hpp"

namespace xnic::wire {

uint32_t checksum_add(uint32_t sum, base::Bytes bytes) {
  CHECK(bytes.size() < 65536);
  size_t at = 0;
  for (; at + 1 < bytes.size(); at += 2) sum += base::load_be<uint16_t>(&bytes[at]);
  if (at < bytes.size()) sum += uint32_t{bytes[at]} << 8;
  return sum;
}

uint16_t checksum_finish(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

}  // namespace xnic::wire
