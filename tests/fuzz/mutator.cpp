// SPDX-License-Identifier: Apache-2.0
// One to three changes: of a field of one instruction, of its bytes, of the header, or an instruction copied, removed
// or swapped. When instructions move, jumps and local calls across the place are corrected.
#include "mutator.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/rng.hpp"
#include "program_input.hpp"

namespace xnic::tests::fuzz {
namespace {

using arch::ebpf::RawInsn;

constexpr uint8_t kCall = 0x85;
constexpr uint8_t kExit = 0x95;
constexpr uint8_t kLongJump = 0x06;
constexpr uint8_t kLoadWide = 0x18;

bool is_jump(const RawInsn& insn) {
  return ((insn.opcode & 7) == 5 || (insn.opcode & 7) == 6) && insn.opcode != kCall && insn.opcode != kExit;
}
bool is_local_reference(const RawInsn& insn) {
  return (insn.opcode == kCall && insn.src_reg == 1) || (insn.opcode == kLoadWide && insn.src_reg == 4);
}

// Corrects everything that points across slot `at` after `by` slots came (or went) there. Pre: raw is as before.
void correct_jumps(std::vector<RawInsn>& raw, int64_t at, int64_t by) {
  for (int64_t i = 0; i < int64_t(raw.size()); ++i) {
    RawInsn& insn = raw[size_t(i)];
    const bool wide = insn.opcode == kLongJump || is_local_reference(insn);
    if (!wide && !is_jump(insn)) continue;
    const int64_t target = i + 1 + (wide ? insn.imm : insn.offset);
    const int64_t change = (target > at ? by : 0) - (i >= at ? by : 0);
    if (wide)
      insn.imm = int32_t(insn.imm + change);
    else
      insn.offset = int16_t(insn.offset + change);
  }
}

void insert(std::vector<RawInsn>& raw, size_t at, const RawInsn& insn) {
  correct_jumps(raw, int64_t(at), 1);
  raw.insert(raw.begin() + std::ptrdiff_t(at), insn);
}

void erase(std::vector<RawInsn>& raw, size_t at) {
  correct_jumps(raw, int64_t(at), -1);
  raw.erase(raw.begin() + std::ptrdiff_t(at));
}

int32_t interesting(base::Rng& rng) {
  constexpr int32_t kNumbers[] = {0,  1,   -1,  2,   4,   8,    14,   16,   31,        32,        63,
                                  64, 255, 256, 511, 512, 4096, 3520, -512, INT32_MAX, INT32_MIN, 0xffff};
  return rng.chance(1, 2) ? kNumbers[rng.below(std::size(kNumbers))] : int32_t(rng.below(256));
}

void change_field(base::Rng& rng, RawInsn& insn) {
  switch (rng.below(6)) {
    case 0:
      insn.dst_reg = rng.below(11) & 15;
      break;
    case 1:
      insn.src_reg = rng.below(11) & 15;
      break;
    case 2:
      insn.offset = int16_t(rng.chance(1, 2) ? insn.offset + int64_t(rng.below(17)) - 8 : interesting(rng));
      break;
    case 3:
      insn.imm = rng.chance(1, 2) ? int32_t(uint32_t(insn.imm) + uint32_t(rng.below(17)) - 8) : interesting(rng);
      break;
    case 4:  // another operation of the same class
      insn.opcode = uint8_t((insn.opcode & 0x0f) | rng.below(16) << 4);
      break;
    default:
      insn.opcode = uint8_t(insn.opcode ^ (1u << rng.below(8)));
  }
}

void change(base::Rng& rng, std::vector<RawInsn>& raw, ByteMutator bytes) {
  const size_t at = rng.below(raw.size());
  switch (rng.below(8)) {
    case 0: {
      uint8_t one[sizeof(RawInsn)];
      std::memcpy(one, &raw[at], sizeof one);
      bytes(one, sizeof one, sizeof one);
      std::memcpy(&raw[at], one, sizeof one);
      break;
    }
    case 1:
    case 2: {
      RawInsn copy = raw[rng.below(raw.size())];
      if (rng.chance(1, 2)) change_field(rng, copy);
      insert(raw, at, copy);
      break;
    }
    case 3:
      if (raw.size() > 1) erase(raw, at);
      break;
    case 4:
      std::swap(raw[at], raw[rng.below(raw.size())]);
      break;
    default:
      change_field(rng, raw[at]);
  }
}

}  // namespace

size_t mutate_program(uint8_t* data, size_t size, size_t max_size, unsigned seed, ByteMutator bytes) {
  base::Rng rng(seed);
  const size_t offset = program_offset({data, size});
  if (size < offset + sizeof(RawInsn) || rng.chance(1, 16)) return bytes(data, size, max_size);
  if (rng.chance(1, 16)) {
    bytes(data + 1, offset - 1, offset - 1);  // not the number of maps, on which all else hangs
    return size;
  }
  std::vector<RawInsn> raw((size - offset) / sizeof(RawInsn));
  std::memcpy(raw.data(), data + offset, raw.size() * sizeof(RawInsn));
  for (uint64_t changes = rng.range(1, 3); changes > 0; --changes) change(rng, raw, bytes);
  raw.resize(std::min(raw.size(), (std::max(max_size, offset) - offset) / sizeof(RawInsn)));
  std::memcpy(data + offset, raw.data(), raw.size() * sizeof(RawInsn));
  return offset + raw.size() * sizeof(RawInsn);
}

}  // namespace xnic::tests::fuzz
