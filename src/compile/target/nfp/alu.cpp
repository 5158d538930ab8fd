// SPDX-License-Identifier: Apache-2.0
// Arithmetic in 32-bit halves. The core multiplies in steps and does not divide: quotients by constants are products
// with a reciprocal (Granlund and Montgomery, PLDI'94).
#include <bit>

#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AluOp;
using isa::Multiply;
using isa::MultiplyStep;
using isa::MultiplyType;
using isa::None;
using isa::ShiftKind;

namespace {

constexpr uint64_t sign_extended(Imm value) { return static_cast<uint64_t>(int64_t{value}); }
constexpr uint32_t low_half(uint64_t value) { return static_cast<uint32_t>(value); }
constexpr uint32_t high_half(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

// n / d for n below 2^bits as ((n >> before) * factor >> 32) >> after; with `wide` the factor has a 33rd bit.
struct Reciprocal {
  uint32_t factor = 0;
  unsigned before = 0, after = 0;
  bool wide = false;
};

// The least shift whose rounded-up reciprocal is exact for all n below 2^bits; nothing when its factor needs 33 bits.
bool find_factor(uint32_t divisor, unsigned bits, Reciprocal& reciprocal) {
  for (unsigned after = 0; after < 32; ++after) {
    const auto power = static_cast<unsigned __int128>(1) << (32 + after);
    const auto factor = (power + divisor - 1) / divisor;
    if (factor >> 32 != 0) return false;
    if (factor * divisor - power > static_cast<unsigned __int128>(1) << (32 + after - bits)) continue;
    reciprocal.factor = static_cast<uint32_t>(factor);
    reciprocal.after = after;
    return true;
  }
  return false;
}

Reciprocal reciprocal_of(uint32_t divisor) {
  Reciprocal result;
  if (find_factor(divisor, 32, result)) return result;
  if (const auto zeros = static_cast<unsigned>(std::countr_zero(divisor)); zeros != 0) {
    result.before = zeros;
    if (find_factor(divisor >> zeros, 32 - zeros, result)) return result;
  }
  const unsigned bits = 32 - static_cast<unsigned>(std::countl_zero(divisor - 1));
  const auto power = static_cast<unsigned __int128>(1) << (32 + bits);
  result = {static_cast<uint32_t>(power / divisor + 1), 0, bits, true};
  return result;
}

}  // namespace

// upper_live speaks of the state before an instruction: what is read later is what the next one sees.
bool Lowering::upper_needed(Reg reg) const {
  const Slot next = slot_ + 1;
  return !passes_.has(Pass::kZeroExtension) || next >= facts_.insns.size() || !facts_.insns[next].reached ||
         (facts_.insns[next].upper_live >> index(reg) & 1) != 0;
}

void Lowering::clear_upper(Reg reg) {
  if (upper_needed(reg)) code_.load(gpr_both(high(reg)), 0);
}

base::Result<void> Lowering::lower(const Binary& insn) {
  switch (insn.op) {
    case BinaryOp::kMov:
      move(insn);
      return {};
    case BinaryOp::kAnd:
      bitwise(insn, AluOp::kAnd);
      return {};
    case BinaryOp::kOr:
      bitwise(insn, AluOp::kOr);
      return {};
    case BinaryOp::kXor:
      bitwise(insn, AluOp::kXor);
      return {};
    case BinaryOp::kAdd:
    case BinaryOp::kSub:
      add(insn);
      return {};
    case BinaryOp::kMul:
      multiply(insn);
      return {};
    case BinaryOp::kDiv:
      divide(insn);
      return {};
    case BinaryOp::kLsh:
    case BinaryOp::kRsh:
    case BinaryOp::kArsh:
      shift(insn);
      return {};
    case BinaryOp::kMod:
    case BinaryOp::kSdiv:
    case BinaryOp::kSmod:
      break;
  }
  return unsupported("the card has no such instruction");
}

void Lowering::move(const Binary& insn) {
  const Operand to_low = gpr_both(low(insn.dst)), to_high = gpr_both(high(insn.dst));
  const bool wide = insn.width == Width::k64;
  if (const auto* value = std::get_if<Imm>(&insn.src)) {
    code_.load(to_low, static_cast<uint32_t>(*value));
    code_.load(to_high, wide ? high_half(sign_extended(*value)) : 0);
    return;
  }
  const Reg src = std::get<Reg>(insn.src);
  if (src == kFramePointer) {
    code_.alu(to_low, kStackBase, AluOp::kAdd, code_.wide_constant(frames_[function_].depth, kScratchB));
  } else {
    code_.move(to_low, gpr_b(low(src)));
    if (wide) return code_.move(to_high, gpr_b(high(src)));
  }
  code_.load(to_high, 0);
}

// With constants that leave nothing to do, or that need no operand.
void Lowering::alu_immediate(unsigned gpr, AluOp op, uint32_t value) {
  const bool shorter = passes_.has(Pass::kImmediateForms);
  const bool none = shorter && value == 0, all = shorter && value == ~uint32_t{0};
  if ((op == AluOp::kAnd && all) || ((op == AluOp::kOr || op == AluOp::kXor) && none)) return;
  if (op == AluOp::kAnd && none) return code_.load(gpr_both(gpr), 0);
  if (op == AluOp::kOr && all) return code_.load(gpr_both(gpr), value);
  if (op == AluOp::kXor && all) return code_.alu(gpr_both(gpr), None{}, AluOp::kNot, gpr_b(gpr));
  code_.alu(gpr_both(gpr), gpr_a(gpr), op, code_.wide_constant(value, kScratchB));
}

void Lowering::bitwise(const Binary& insn, AluOp op) {
  const bool wide = insn.width == Width::k64;
  if (const auto* value = std::get_if<Imm>(&insn.src)) {
    alu_immediate(low(insn.dst), op, low_half(sign_extended(*value)));
    if (wide) return alu_immediate(high(insn.dst), op, high_half(sign_extended(*value)));
  } else {
    const Reg src = std::get<Reg>(insn.src);
    code_.alu(gpr_both(low(insn.dst)), gpr_a(low(insn.dst)), op, gpr_b(low(src)));
    if (wide) return code_.alu(gpr_both(high(insn.dst)), gpr_a(high(insn.dst)), op, gpr_b(high(src)));
  }
  clear_upper(insn.dst);
}

// A negative constant is added or subtracted as its opposite, which is shorter.
void Lowering::add(const Binary& insn) {
  const bool wide = insn.width == Width::k64;
  bool minus = insn.op == BinaryOp::kSub;
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    code_.alu(gpr_both(low(insn.dst)), gpr_a(low(insn.dst)), minus ? AluOp::kSub : AluOp::kAdd, gpr_b(low(*src)));
    if (!wide) return clear_upper(insn.dst);
    return code_.alu(gpr_both(high(insn.dst)), gpr_a(high(insn.dst)), minus ? AluOp::kSubCarry : AluOp::kAddCarry,
                     gpr_b(high(*src)));
  }
  uint64_t value = sign_extended(std::get<Imm>(insn.src));
  if (passes_.has(Pass::kImmediateForms) && std::get<Imm>(insn.src) < 0) value = -value, minus = !minus;
  alu_immediate(low(insn.dst), minus ? AluOp::kSub : AluOp::kAdd, low_half(value));
  if (!wide) return clear_upper(insn.dst);
  alu_immediate(high(insn.dst), minus ? AluOp::kSubCarry : AluOp::kAddCarry, high_half(value));
}

base::Result<void> Lowering::lower(const Neg& insn) {
  code_.alu(gpr_both(low(insn.dst)), imm(0), AluOp::kSub, gpr_b(low(insn.dst)));
  if (insn.width == Width::k64) {
    code_.alu(gpr_both(high(insn.dst)), imm(0), AluOp::kSubCarry, gpr_b(high(insn.dst)));
  } else {
    clear_upper(insn.dst);
  }
  return {};
}

// high:low = left * right, 32 bits each; either result may be None.
void Lowering::multiply_words(Operand high, Operand low, Operand left, Operand right) {
  constexpr MultiplyType kType = MultiplyType::k32x32;
  code_.emit(Multiply{MultiplyType::kStart, MultiplyStep::k1, None{}, left, right});
  for (const MultiplyStep step : {MultiplyStep::k1, MultiplyStep::k2, MultiplyStep::k3, MultiplyStep::k4})
    code_.emit(Multiply{kType, step, None{}, left, right});
  code_.emit(Multiply{kType, MultiplyStep::kLast, low, None{}, None{}});
  if (!std::holds_alternative<None>(high)) code_.emit(Multiply{kType, MultiplyStep::kLast2, high, None{}, None{}});
}

// Operands are within 32 bits, so the upper half of a short product is zero already.
void Lowering::multiply(const Binary& insn) {
  const Operand to_low = gpr_both(low(insn.dst)), to_high = gpr_both(high(insn.dst));
  const Operand left = gpr_a(low(insn.dst));
  Operand right;
  uint64_t most = 0;
  if (const auto* value = std::get_if<Imm>(&insn.src)) {
    right = code_.wide_constant(static_cast<uint32_t>(*value), kScratchB);
    most = static_cast<uint32_t>(*value);
  } else {
    right = gpr_b(low(std::get<Reg>(insn.src)));
    most = fact(std::get<Reg>(insn.src)).range.umax;
  }
  if (passes_.has(Pass::kMultiplyRange) && fact(insn.dst).range.umax <= 0xffff && most <= 0xffff) {
    constexpr MultiplyType kType = MultiplyType::k16x16;
    code_.emit(Multiply{MultiplyType::kStart, MultiplyStep::k1, None{}, left, right});
    code_.emit(Multiply{kType, MultiplyStep::k1, None{}, left, right});
    code_.emit(Multiply{kType, MultiplyStep::k2, None{}, left, right});
    code_.emit(Multiply{kType, MultiplyStep::kLast, to_low, None{}, None{}});
    return;
  }
  if (insn.width == Width::k64) return multiply_words(to_high, to_low, left, right);
  multiply_words(None{}, to_low, left, right);
  code_.load(to_high, 0);
}

void Lowering::divide(const Binary& insn) {
  if (const auto* value = std::get_if<Imm>(&insn.src)) return divide_by(low(insn.dst), static_cast<uint32_t>(*value));
  divide_by(low(insn.dst), static_cast<uint32_t>(fact(std::get<Reg>(insn.src)).range.umin));
}

// The dividend is within 32 bits, so the quotient's upper half is zero already.
void Lowering::divide_by(unsigned gpr, uint32_t divisor) {
  const Operand to = gpr_both(gpr), a = gpr_a(gpr), b = gpr_b(gpr);
  if (divisor == 0) return code_.load(to, 0);  // RFC 9669: the quotient by zero is zero
  if (divisor == 1) return;
  if (std::has_single_bit(divisor))
    return code_.shift(to, b, ShiftKind::kRight, static_cast<unsigned>(std::countr_zero(divisor)));
  if (divisor > uint32_t{1} << 31) {  // the quotient is the carry of the comparison
    code_.alu(None{}, a, AluOp::kSub, code_.wide_constant(divisor, kScratchB));
    code_.load(kScratchA, 0);
    return code_.alu(to, kScratchA, AluOp::kAddCarry, imm(0));
  }
  const Reciprocal reciprocal = reciprocal_of(divisor);
  const Operand factor = code_.wide_constant(reciprocal.factor, kScratchB);
  if (reciprocal.wide) {  // ((n - t) / 2 + t) >> after - 1 with t the high word: n * (2^32 + factor) without overflow
    multiply_words(kScratchBoth, None{}, a, factor);
    code_.alu(to, a, AluOp::kSub, kScratchB);
    code_.shift(to, b, ShiftKind::kRight, 1);
    code_.alu(to, a, AluOp::kAdd, kScratchB);
    return code_.shift(to, b, ShiftKind::kRight, reciprocal.after - 1);
  }
  if (reciprocal.before != 0) code_.shift(to, b, ShiftKind::kRight, reciprocal.before);
  multiply_words(to, None{}, a, factor);
  if (reciprocal.after != 0) code_.shift(to, b, ShiftKind::kRight, reciprocal.after);
}

// Bytes 3 2 1 0 of `from` become 0 1 2 3 of `to`.
void Lowering::reverse_bytes(unsigned to, Operand from) {
  code_.rotate_field(gpr_both(to), 0b1111, from, 8);
  code_.rotate_field(gpr_both(to), 0b0101, gpr_a(to), 16);
}

base::Result<void> Lowering::lower(const Swap& insn) {
  if (insn.kind != SwapKind::kToBe) return unsupported("the card swaps bytes by conversion to big-endian only");
  const unsigned to = low(insn.dst);
  if (insn.bits == 64) {
    code_.move(kScratchA, gpr_b(high(insn.dst)));
    reverse_bytes(high(insn.dst), gpr_a(to));
    reverse_bytes(to, kScratchA);
    return {};
  }
  if (insn.bits == 32) {
    reverse_bytes(to, gpr_a(to));
  } else {
    code_.rotate_field(gpr_both(to), 0b1001, gpr_b(to), 8);
    code_.emit(isa::LoadField{gpr_both(to), 0b1110, gpr_a(to), ShiftKind::kRight, 16, false});
  }
  code_.load(gpr_both(high(insn.dst)), 0);
  return {};
}

base::Result<void> Lowering::lower(const LoadImm64& insn) {
  code_.load(gpr_both(low(insn.dst)), low_half(insn.value));
  if (low_half(insn.value) == high_half(insn.value)) {
    code_.move(gpr_both(high(insn.dst)), gpr_a(low(insn.dst)));
  } else {
    code_.load(gpr_both(high(insn.dst)), high_half(insn.value));
  }
  return {};
}

base::Result<void> Lowering::lower(const LoadMap& insn) {
  code_.load(gpr_both(low(insn.dst)), isa::table_id(insn.map));
  code_.load(gpr_both(high(insn.dst)), 0);
  return {};
}

}  // namespace xnic::compile::target::nfp
