// SPDX-License-Identifier: Apache-2.0
// Small damage to programs in their wire form.
#include <cstring>

#include "case_file.hpp"
#include "random_program.hpp"

namespace xnic::tests {
namespace {

using arch::ebpf::RawInsn;

constexpr RawInsn kNothing = {0x05, 0, 0, 0, 0};  // goto the next instruction

bool is_jump(const RawInsn& insn) { return (insn.opcode & 7) == 5 || (insn.opcode & 7) == 6; }

void change(base::Rng& rng, std::vector<RawInsn>& raw) {
  RawInsn& insn = raw[rng.below(raw.size())];
  switch (rng.below(12)) {
    case 0:
      insn.dst_reg = rng.below(11) & 15;
      break;
    case 1:
      insn.src_reg = rng.below(11) & 15;
      break;
    case 2:
      insn.offset = int16_t(insn.offset + int16_t(rng.range(1, 8)) * (rng.chance(1, 2) ? 1 : -1));
      break;
    case 3:
      insn.imm = rng.chance(1, 2) ? int32_t(uint32_t(insn.imm) + uint32_t(rng.range(1, 16))) : int32_t(rng.next());
      break;
    case 4:
      insn.imm = int32_t(uint32_t(insn.imm) - uint32_t(rng.range(1, 16)));
      break;
    case 5:
      insn.opcode = uint8_t(insn.opcode ^ (1u << rng.below(8)));
      break;
    case 6:
      std::swap(insn, raw[rng.below(raw.size())]);
      break;
    case 7: {  // a lost check
      for (int attempt = 0; attempt < 32; ++attempt) {
        RawInsn& jump = raw[rng.below(raw.size())];
        if (!is_jump(jump) || jump.opcode == 0x85 || jump.opcode == 0x95) continue;
        jump = kNothing;
        break;
      }
      break;
    }
    case 8:
      insn = kNothing;
      break;
    case 9:
      raw.insert(raw.begin() + std::ptrdiff_t(rng.below(raw.size())), raw[rng.below(raw.size())]);
      break;
    case 10:
      if (is_jump(insn)) insn.opcode = uint8_t((insn.opcode & 0x0f) | rng.below(14) << 4);
      break;
    default: {
      uint8_t bytes[sizeof insn];
      std::memcpy(bytes, &insn, sizeof insn);
      bytes[rng.below(sizeof insn)] ^= uint8_t(1u << rng.below(8));
      std::memcpy(&insn, bytes, sizeof insn);
    }
  }
}

}  // namespace

std::shared_ptr<const arch::ebpf::Program> mutate(base::Rng& rng, const arch::ebpf::Program& program) {
  std::vector<RawInsn> raw = program.raw;
  for (uint64_t changes = rng.range(1, 3); changes > 0; --changes) change(rng, raw);
  return from_raw(program, std::move(raw));
}

}  // namespace xnic::tests
