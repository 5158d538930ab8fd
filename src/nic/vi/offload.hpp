// SPDX-License-Identifier: Apache-2.0
// Checksums of frames in pieces: filled in where the card sends, checked where it receives.
#pragma once

#include "nic/datapath/headers.hpp"
#include "nic/vi/delivery.hpp"

namespace xnic::nic::vi {

// The ones' complement sum of `bytes` on top of `sum`, in the byte order of memory. `odd`: an odd number of bytes came
// before. Not folded.
uint64_t add_bytes(uint64_t sum, const uint8_t* bytes, size_t size, bool odd);
// What the checksum field holds for this sum, in the byte order of memory.
uint16_t fold(uint64_t sum);

// Room for the headers of a frame whose checksums are filled in.
struct PatchedHead {
  static constexpr uint32_t kBytes = 128;
  alignas(16) std::array<uint8_t, kBytes> bytes;
};
// Puts the checksums of IPv4 (`ip`) and of TCP and UDP (`transport`) into a copy of the frame's first bytes, which
// replaces them in `frame`. Fragments and frames that are none of these stay as they are.
void fill_checksums(Frame& frame, const datapath::Headers& headers, bool ip, bool transport, PatchedHead& head);
// Sets kFaultL3 and kFaultL4. A frame without these checksums has no fault.
void check_checksums(Frame& frame, const datapath::Headers& headers);

}  // namespace xnic::nic::vi
