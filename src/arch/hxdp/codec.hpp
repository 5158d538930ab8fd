// SPDX-License-Identifier: Apache-2.0
// Binary forms: the 64-bit word of a lane, and the image file.
//
// Word, as in the paper: imm[63:32] off[31:16] src[15:12] dst[11:8] opcode[7:0].
// File, little-endian: "XNICHXDP", u32 version, u32 bytes after this header, u32 CRC-32 (IEEE) of them, then the fields
// of Image in order, with u32 counts and u32-length strings.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/hxdp/image.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::arch::hxdp {

// Pre: check() has nothing to say about the operation's fields.
uint64_t encode(const Op& op);
// Errors: unknown opcode, or a field that the form does not use is not zero.
base::Result<Op> decode(uint64_t word);

std::vector<uint8_t> to_bytes(const Image& image);
// Refuses files that are no image, of another version, cut short or corrupt (checksum), and images that break a rule.
base::Result<Image> from_bytes(base::Bytes file);

}  // namespace xnic::arch::hxdp
