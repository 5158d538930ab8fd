// SPDX-License-Identifier: Apache-2.0
#include "compile/target/nfp/code.hpp"

#include <optional>

#include "base/check.hpp"

namespace xnic::compile::target::nfp {

using isa::Condition;
using isa::Relocation;
using isa::ShiftKind;

namespace {

// The 16 bits and the bytes that they are shifted by, when the value has no others.
struct Packed {
  uint16_t value;
  uint8_t shift;
};
std::optional<Packed> pack(uint32_t value) {
  for (uint8_t shift = 0; shift <= 2; ++shift) {
    if ((value & ~(uint32_t{0xffff} << 8 * shift)) == 0)
      return Packed{static_cast<uint16_t>(value >> 8 * shift), shift};
  }
  return std::nullopt;
}

}  // namespace

void Code::bytes(Operand dst, unsigned to, Operand src, unsigned from, unsigned count, bool clear) {
  const unsigned mask = ((1u << count) - 1) << to;
  const ShiftKind kind = from > to ? ShiftKind::kRight : from < to ? ShiftKind::kLeft : ShiftKind::kRotate;
  const unsigned amount = 8 * (from > to ? from - to : to - from);
  emit(isa::LoadField{dst, static_cast<uint8_t>(mask), src, kind, static_cast<uint8_t>(amount), clear});
}

void Code::load(Operand dst, uint32_t value) {
  if (const auto packed = pack(value))
    return emit(isa::LoadImmediate{dst, packed->value, isa::ImmediateWidth::kAll, false, packed->shift});
  if (const auto packed = pack(~value))
    return emit(isa::LoadImmediate{dst, packed->value, isa::ImmediateWidth::kAll, true, packed->shift});
  emit(isa::LoadImmediate{dst, static_cast<uint16_t>(value)});
  emit(isa::LoadImmediate{dst, static_cast<uint16_t>(value >> 16), isa::ImmediateWidth::kWord, false, 2});
}

Operand Code::wide_constant(uint32_t value, Operand spare) {
  if (value <= 0xff) return imm(value);
  load(spare, value);
  return spare;
}

Operand Code::narrow_constant(uint32_t value, Operand spare) {
  if (value <= 0x7f) return imm(value);
  load(spare, value);
  return spare;
}

void Code::branch_to(Condition condition, uint32_t target_slot, unsigned defer) {
  open_.push_back({here(), target_slot});
  emit(isa::Branch{condition, 0, static_cast<uint8_t>(defer)}, Relocation::kBranch);
}

void Code::branch_out(Condition condition, Relocation relocation, unsigned defer, unsigned number) {
  emit(isa::Branch{condition, static_cast<uint16_t>(isa::kPlaceholder + number), static_cast<uint8_t>(defer)},
       relocation);
}

uint32_t Code::branch(Condition condition, unsigned defer) {
  emit(isa::Branch{condition, 0, static_cast<uint8_t>(defer)}, Relocation::kBranch);
  return here() - 1;
}

uint32_t Code::branch_if_bit(Operand src, unsigned bit) {
  emit(isa::BranchBit{src, static_cast<uint8_t>(bit), true, 0, 0}, Relocation::kBranch);
  return here() - 1;
}

void Code::bind(uint32_t word) { set_target(word, here()); }

void Code::load_address(Operand dst, uint32_t target_slot) {
  open_.push_back({here(), target_slot});
  load_address(dst);
}

uint32_t Code::load_address(Operand dst) {
  emit(isa::LoadImmediate{dst, 0}, Relocation::kImmediate);
  return here() - 1;
}

void Code::resolve(const std::vector<uint32_t>& first_word) {
  for (const Open& open : open_) set_target(open.word, first_word.at(open.slot));
  open_.clear();
}

void Code::set_target(uint32_t word, uint32_t target) {
  isa::Instruction& insn = items_.at(word).insn;
  const auto address = static_cast<uint16_t>(target);
  if (auto* branch = std::get_if<isa::Branch>(&insn)) {
    branch->target = address;
  } else if (auto* bit = std::get_if<isa::BranchBit>(&insn)) {
    bit->target = address;
  } else {
    auto* value = std::get_if<isa::LoadImmediate>(&insn);
    CHECK(value != nullptr);
    value->value = address;
  }
}

}  // namespace xnic::compile::target::nfp
