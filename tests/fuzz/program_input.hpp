// SPDX-License-Identifier: Apache-2.0
// Programs as fuzz inputs: a few bytes for maps and packets, then instructions in their wire form, so that any bytes
// are a program and small changes of the bytes are small changes of the program.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "base/bytes.hpp"

namespace xnic::tests::fuzz {

// Bytes 0 to 3: number of maps (mod 8), flags (bit 0: BPF_F_XDP_HAS_FRAGS), packets (mod 4, plus 1), seed of packets
// and map contents. Then 8 bytes a map: type, key bytes, value bytes (2), entries, flags (bit 0 no preallocation,
// 1 read-only and 2 write-only for the program, 3 per-CPU LRU lists), special field (1: spin lock, 2: timer, at byte 0
// of the value), 0. Then 8 bytes an instruction.
inline constexpr size_t kHeaderBytes = 4;
inline constexpr size_t kMapBytes = 8;
inline constexpr size_t kMaxFuzzInsns = 512;

struct ProgramInput {
  std::shared_ptr<const arch::ebpf::Program> program;  // insns is empty when they don't decode
  uint32_t packets = 1;
  uint8_t seed = 0;
};

// Null program when the input is too short or names a map that cannot be made.
ProgramInput read_program(base::Bytes input);

// The inverse, for seeds. Empty when the program does not fit: map references other than by index, too many maps or
// instructions, sizes that don't fit their bytes.
std::vector<uint8_t> write_program(const arch::ebpf::Program& program, uint8_t seed);

// Bytes before the first instruction of an input; size() or more when there is none.
size_t program_offset(base::Bytes input);

}  // namespace xnic::tests::fuzz
