// SPDX-License-Identifier: Apache-2.0
// Random valid instructions for property tests: every type and field value that the decoder can yield.
#pragma once

#include <vector>

#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/instruction.hpp"
#include "base/rng.hpp"

namespace xnic::arch::ebpf {

// A program of `slots` slots made of random instructions that decode accepts; its last slot is an exit. References to
// maps are by index.
inline std::vector<Instruction> random_program(base::Rng& rng, size_t slots) {
  auto any_map = [](MapReference reference) -> base::Result<MapIndex> {
    return static_cast<MapIndex>(reference.value) & 0xffff;
  };
  const RawInsn exit{0x95, 0, 0, 0, 0};
  const int16_t offsets[] = {0, 0, 0, 1, 8, 16, 32, -8, 100, -32768, 32767};
  const int32_t imms[] = {0,    0,    0,    1,    -1,   16,   32,    64,    0x40,      0x41,      0x50,
                          0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x01, 0x100, 0x110, INT32_MIN, 0x7fffffff};
  std::vector<RawInsn> raw;
  while (raw.size() + 1 < slots) {
    RawInsn insn{static_cast<uint8_t>(rng.below(256)), static_cast<uint8_t>(rng.below(11)), 0, 0, 0};
    if (rng.chance(1, 3)) insn.dst_reg = 0;
    if (rng.chance(2, 3)) insn.src_reg = static_cast<uint8_t>(rng.below(11)) & 0xf;
    insn.offset = offsets[rng.below(std::size(offsets))];
    insn.imm = rng.chance(1, 4) ? static_cast<int32_t>(rng.next()) : imms[rng.below(std::size(imms))];
    const uint8_t cls = insn.opcode & 7;
    const bool jumps = cls == 5 || cls == 6;
    // Displacements must stay inside; the target may still be a tail, which the second look below refuses.
    const auto to = static_cast<int64_t>(rng.below(slots)) - static_cast<int64_t>(raw.size()) - 1;
    const bool by_imm =
        insn.opcode == 0x06 || (insn.opcode == 0x85 && insn.src_reg == 1) || (insn.opcode == 0x18 && insn.src_reg == 4);
    if (by_imm) {
      insn.imm = static_cast<int32_t>(to);
    } else if (jumps && insn.opcode != 0x85 && insn.opcode != 0x8d && insn.opcode != 0x95) {
      insn.offset = static_cast<int16_t>(to);
    }
    std::vector<RawInsn> trial(slots, exit);
    trial[raw.size()] = insn;
    const bool wide = insn.opcode == 0x18;
    if (wide && raw.size() + 2 >= slots) continue;
    RawInsn tail{0, 0, 0, 0, rng.chance(1, 2) ? 0 : static_cast<int32_t>(rng.next())};
    if (wide) trial[raw.size() + 1] = tail;
    if (!decode(trial, any_map)) continue;
    raw.push_back(insn);
    if (wide) raw.push_back(tail);
  }
  raw.push_back(exit);
  // Jumps into tails that were placed later become moves.
  while (true) {
    auto decoded = decode(raw, any_map);
    if (decoded) return *decoded;
    const std::string& where = decoded.error().where;  // "insn 7 (opcode 0x07)"
    const auto slot = std::stoul(where.substr(5));
    const RawInsn move{0xb7, 0, 0, 0, 0};
    if (raw[slot].opcode == 0x18) raw[slot + 1] = move;
    raw[slot] = move;
  }
}

}  // namespace xnic::arch::ebpf
