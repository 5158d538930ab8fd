// SPDX-License-Identifier: Apache-2.0
// The Internet checksum, RFC 1071.
#pragma once

#include "base/bytes.hpp"

namespace xnic::wire {

// Sum of the big-endian 16-bit words of `bytes` (an odd last byte is padded with zero) on top of `sum`; not folded.
uint32_t checksum_add(uint32_t sum, base::Bytes bytes);
// Folds the carries and complements: the value for the header field, in host byte order.
uint16_t checksum_finish(uint32_t sum);
inline uint16_t checksum(base::Bytes bytes) { return checksum_finish(checksum_add(0, bytes)); }

}  // namespace xnic::wire
