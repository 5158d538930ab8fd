// SPDX-License-Identifier: Apache-2.0
// The hXDP machine in figures: every parameter of the card in one place, shared by compiler, model and RTL.
//
// The base is hXDP (OSDI'20): 4 lanes, 156.25 MHz, 32-byte frames, 256 rows of instruction memory, four stages
// IF / ID / IE / commit. What is ours is said where it stands.
#pragma once

#include <cstdint>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"
#include "base/result.hpp"

namespace xnic::arch::hxdp {

inline constexpr uint32_t kMaxLanes = 8;
inline constexpr uint32_t kMaxRows = 65536;     // a branch target has 16 bits
inline constexpr uint32_t kRegisters = 16;      // 4-bit fields
inline constexpr uint32_t kStackBytes = 512;    // zero at start, as are the registers
inline constexpr uint32_t kMaxCallSites = 256;  // rows of the call table
inline constexpr uint32_t kMaxMaps = 4096;      // 12-bit map field

// How a result reaches the next row. kFull: every lane sees every result in the next row (lanes x lanes bypass, what
// the paper's throughput needs). kLane: only the lane that made it; the others one row later (the paper's RTL).
enum class Forwarding : uint8_t { kFull, kLane };

struct Parameters {
  uint32_t lanes = 4;         // 1..8
  uint32_t rows = 256;        // instruction memory, 1..65536
  uint32_t frame_bytes = 32;  // data bus, a power of two from 8 to 256
  uint64_t clock_hz = 156'250'000;
  uint32_t cores = 1;  // 1..64
  Forwarding forwarding = Forwarding::kFull;
  bool operator==(const Parameters&) const = default;
};

// The limits above; the error names the parameter.
base::Result<void> validate(const Parameters& parameters);

// Rows from an operation to the first row that may use its result: 1 for all of them. Loads too: ID fetches their bytes
// before IE. A call whose helper needs more than one cycle holds its row that much longer, so it is 1 row as well.
inline constexpr uint32_t kResultLatencyRows = 1;

// Rows until a result of lane `from` may be read in lane `to`.
constexpr uint32_t result_latency(Forwarding forwarding, uint32_t from, uint32_t to) {
  return forwarding == Forwarding::kFull || from == to ? kResultLatencyRows : kResultLatencyRows + 1;
}

}  // namespace xnic::arch::hxdp
