// SPDX-License-Identifier: Apache-2.0
// Between the wire form of RFC 9669 and Instruction values.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"

namespace xnic::arch::ebpf {

// How a map reference is spelled in the wire form (src_reg of the 16-byte load): by file descriptor (1, 2) or by index
// (5, 6).
struct MapReference {
  int32_t value;
  bool is_index;
};
using MapResolver = std::function<base::Result<MapIndex>(MapReference)>;

// Decodes a whole program. Every reserved field must be zero and every jump must land on the first slot of an
// instruction (RFC 9669 §3.1, §4.3); otherwise the error names the slot, the opcode and the rule ("insn 7 (opcode
// 0x07): …").
base::Result<std::vector<Instruction>> decode(std::span<const RawInsn> raw, const MapResolver& resolve_map);

// The exact inverse for every value that decode yields; map references are written by index (src_reg 5 and 6).
std::vector<RawInsn> encode(std::span<const Instruction> insns);

}  // namespace xnic::arch::ebpf
