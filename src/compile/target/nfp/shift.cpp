// SPDX-License-Identifier: Apache-2.0
// Shifts of 64 bits as double shifts of two words. A shift by a register takes its amount from the left operand of the
// ALU instruction before it, five bits of it; so amounts below 32 and from 32 on go different ways, chosen at run time
// where the verifier does not know.
//
// Three cases that the driver translates wrongly are right here, at the cost of a few instructions: a left shift by a
// register that is 0 (its high word would become the low one), a shift of a register by itself, and amounts above 63.
#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AluOp;
using isa::Condition;
using isa::None;
using isa::ShiftKind;

namespace {

constexpr unsigned kIndirect = 0;

}  // namespace

// What is known of an amount, as far as it may be used.
Range Lowering::amount_range(Reg reg) const { return passes_.has(Pass::kShiftRange) ? fact(reg).range : Range{}; }

void Lowering::shift(const Binary& insn) {
  const bool wide = insn.width == Width::k64;
  std::optional<unsigned> amount;
  if (const auto* value = std::get_if<Imm>(&insn.src)) {
    amount = static_cast<unsigned>(*value);
  } else if (const Range range = amount_range(std::get<Reg>(insn.src)); range.is_constant()) {
    amount = static_cast<unsigned>(range.umin);
  }
  if (amount) *amount &= wide ? 63 : 31;
  if (!wide) return shift_word(insn, amount);
  if (amount) {
    if (insn.op == BinaryOp::kLsh) return shift_left(insn.dst, *amount);
    if (insn.op == BinaryOp::kRsh) return shift_right(insn.dst, *amount);
    return shift_arithmetic(insn.dst, *amount);
  }
  const Amount by = amount_of(insn);
  if (insn.op == BinaryOp::kLsh) return shift_left_by(insn.dst, by);
  shift_right_by(insn.dst, by, insn.op == BinaryOp::kArsh);
}

// --- By a constant ---

void Lowering::shift_left(Reg dst, unsigned amount) {
  const unsigned l = low(dst), h = high(dst);
  if (amount == 0) return;
  if (amount < 32) {
    code_.double_shift(gpr_both(h), gpr_a(h), gpr_b(l), 32 - amount);
    return code_.shift(gpr_both(l), gpr_b(l), ShiftKind::kLeft, amount);
  }
  if (amount == 32) {
    code_.move(gpr_both(h), gpr_b(l));
  } else {
    code_.shift(gpr_both(h), gpr_b(l), ShiftKind::kLeft, amount - 32);
  }
  code_.load(gpr_both(l), 0);
}

void Lowering::shift_right(Reg dst, unsigned amount) {
  const unsigned l = low(dst), h = high(dst);
  if (amount == 0) return;
  if (amount < 32) {
    code_.double_shift(gpr_both(l), gpr_a(h), gpr_b(l), amount);
    return code_.shift(gpr_both(h), gpr_b(h), ShiftKind::kRight, amount);
  }
  if (amount == 32) {
    code_.move(gpr_both(l), gpr_b(h));
  } else {
    code_.shift(gpr_both(l), gpr_b(h), ShiftKind::kRight, amount - 32);
  }
  code_.load(gpr_both(h), 0);
}

// The sign comes from the last result, so an instruction that only looks at the high word goes before.
void Lowering::shift_arithmetic(Reg dst, unsigned amount) {
  const unsigned l = low(dst), h = high(dst);
  const auto look = [&] { code_.alu(None{}, gpr_a(h), AluOp::kOr, imm(0)); };
  if (amount == 0) return;
  if (amount < 32) {
    code_.double_shift(gpr_both(l), gpr_a(h), gpr_b(l), amount);
    look();
    return code_.arithmetic_shift(gpr_both(h), gpr_b(h), amount);
  }
  if (amount == 32) {
    code_.move(gpr_both(l), gpr_b(h));
  } else {
    look();
    code_.arithmetic_shift(gpr_both(l), gpr_b(h), amount - 32);
  }
  code_.arithmetic_shift(gpr_both(h), gpr_b(h), 31);
}

void Lowering::shift_word(const Binary& insn, std::optional<unsigned> amount) {
  const unsigned l = low(insn.dst);
  const bool arithmetic = insn.op == BinaryOp::kArsh;
  const ShiftKind kind = insn.op == BinaryOp::kLsh ? ShiftKind::kLeft : ShiftKind::kRight;
  if (!amount) {
    Operand by = gpr_a(low(std::get<Reg>(insn.src)));
    if (arithmetic) {  // the result's sign must be the value's alone
      if (amount_range(std::get<Reg>(insn.src)).umax >= uint64_t{1} << 31) {
        code_.alu(kScratchA, by, AluOp::kAnd, imm(31));
        by = kScratchA;
      }
      code_.alu(None{}, by, AluOp::kOr, gpr_b(l));
      code_.arithmetic_shift(gpr_both(l), gpr_b(l), kIndirect);
    } else {
      code_.alu(None{}, by, AluOp::kOr, imm(0));
      code_.shift(gpr_both(l), gpr_b(l), kind, kIndirect);
    }
  } else if (*amount != 0) {
    if (arithmetic) {
      code_.alu(None{}, gpr_a(l), AluOp::kOr, imm(0));
      code_.arithmetic_shift(gpr_both(l), gpr_b(l), *amount);
    } else {
      code_.shift(gpr_both(l), gpr_b(l), kind, *amount);
    }
  }
  clear_upper(insn.dst);
}

// --- By a register ---

// A copy where the shift would change its own amount, or where bits above the amount would disturb the sign.
Lowering::Amount Lowering::amount_of(const Binary& insn) {
  const Reg src = std::get<Reg>(insn.src);
  const Range range = amount_range(src);
  Amount amount{gpr_a(low(src)), range.umax < 32, range.umin >= 32 && range.umax < 64,
                range.umin == 0 || range.umax >= 64};
  if (src == insn.dst || range.umax >= 64) {
    code_.alu(gpr_a(kAddress), gpr_a(low(src)), AluOp::kAnd, imm(63));
    amount.a = gpr_a(kAddress);
  }
  return amount;
}

void Lowering::left_high(Reg dst, const Amount& amount) {
  const unsigned h = high(dst);
  code_.alu(kScratchA, imm(32), AluOp::kSub, amount.a);
  code_.alu(None{}, kScratchA, AluOp::kOr, imm(0));
  code_.double_shift(gpr_both(h), gpr_a(h), gpr_b(low(dst)), kIndirect);
}

void Lowering::left_low(Reg dst, const Amount& amount) {
  code_.alu(None{}, amount.a, AluOp::kOr, imm(0));
  code_.shift(gpr_both(low(dst)), gpr_b(low(dst)), ShiftKind::kLeft, kIndirect);
}

// 32 - 0 is 0 in five bits, which would bring the low word up: nothing is to be done then.
void Lowering::shift_left_by(Reg dst, const Amount& amount) {
  const auto all_above = [&] {
    code_.alu(None{}, amount.a, AluOp::kOr, imm(0));
    code_.shift(gpr_both(high(dst)), gpr_b(low(dst)), ShiftKind::kLeft, kIndirect);
    code_.load(gpr_both(low(dst)), 0);
  };
  if (amount.above_31) return all_above();
  std::optional<uint32_t> above, none;
  if (!amount.below_32) above = code_.branch_if_bit(amount.a, 5);
  if (amount.may_be_zero) {
    code_.alu(None{}, amount.a, AluOp::kAnd, imm(31));
    none = code_.branch(Condition::kEqual);
  }
  left_high(dst, amount);
  std::optional<uint32_t> end;
  if (above) end = code_.branch(Condition::kAlways, 2);  // the two instructions of the low word run yet
  left_low(dst, amount);
  if (above) {
    code_.bind(*above);
    all_above();
    code_.bind(*end);
  }
  if (none) code_.bind(*none);
}

void Lowering::right_low(Reg dst, const Amount& amount) {
  code_.alu(None{}, amount.a, AluOp::kOr, imm(0));
  code_.double_shift(gpr_both(low(dst)), gpr_a(high(dst)), gpr_b(low(dst)), kIndirect);
}

void Lowering::right_high(Reg dst, const Amount& amount, bool arithmetic) {
  const unsigned h = high(dst);
  if (arithmetic) {
    code_.alu(None{}, amount.a, AluOp::kOr, gpr_b(h));
    return code_.arithmetic_shift(gpr_both(h), gpr_b(h), kIndirect);
  }
  code_.alu(None{}, amount.a, AluOp::kOr, imm(0));
  code_.shift(gpr_both(h), gpr_b(h), ShiftKind::kRight, kIndirect);
}

void Lowering::shift_right_by(Reg dst, const Amount& amount, bool arithmetic) {
  const unsigned l = low(dst), h = high(dst);
  const auto all_below = [&] {
    if (arithmetic) {
      code_.alu(None{}, amount.a, AluOp::kOr, gpr_b(h));
      code_.arithmetic_shift(gpr_both(l), gpr_b(h), kIndirect);
      return code_.arithmetic_shift(gpr_both(h), gpr_b(h), 31);
    }
    code_.alu(None{}, amount.a, AluOp::kOr, imm(0));
    code_.shift(gpr_both(l), gpr_b(h), ShiftKind::kRight, kIndirect);
    code_.load(gpr_both(h), 0);
  };
  if (amount.above_31) return all_below();
  std::optional<uint32_t> above, end;
  if (!amount.below_32) above = code_.branch_if_bit(amount.a, 5);
  right_low(dst, amount);
  if (above) end = code_.branch(Condition::kAlways, 2);
  right_high(dst, amount, arithmetic);
  if (!above) return;
  code_.bind(*above);
  all_below();
  code_.bind(*end);
}

}  // namespace xnic::compile::target::nfp
