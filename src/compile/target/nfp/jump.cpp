// SPDX-License-Identifier: Apache-2.0
// Comparisons of two words and the branches behind them. A branch that the verifier saw go one way only is not
// compared: the kernel replaces it before the driver translates.
#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AluOp;
using isa::Condition;
using isa::None;

namespace {

constexpr uint64_t sign_extended(Imm value) { return static_cast<uint64_t>(int64_t{value}); }

// How an ordered comparison is made of a subtraction: which operand is subtracted, and what holds then.
struct Order {
  Condition condition;
  bool exchanged;
};
Order order_of(JumpOp op) {
  switch (op) {
    case JumpOp::kGt:
      return {Condition::kNoCarry, true};
    case JumpOp::kGe:
      return {Condition::kCarry, false};
    case JumpOp::kLt:
      return {Condition::kNoCarry, false};
    case JumpOp::kLe:
      return {Condition::kCarry, true};
    case JumpOp::kSgt:
      return {Condition::kLess, true};
    case JumpOp::kSge:
      return {Condition::kGreaterEqual, false};
    case JumpOp::kSlt:
      return {Condition::kLess, false};
    default:
      return {Condition::kGreaterEqual, true};
  }
}

}  // namespace

base::Result<void> Lowering::lower(const Goto& insn) {
  code_.branch_to(Condition::kAlways, insn.target);
  return {};
}

base::Result<void> Lowering::lower(const Jump& insn) {
  const Slot next = slot_ + 1;
  const bool one_way = passes_.has(Pass::kDeadBranches);
  if (one_way && !facts_.insns[insn.target].reached) return {};
  if (one_way && (next >= facts_.insns.size() || !facts_.insns[next].reached)) {
    code_.branch_to(Condition::kAlways, insn.target);
    return {};
  }
  switch (insn.op) {
    case JumpOp::kEq:
      jump_equal(insn);
      break;
    case JumpOp::kNe:
      jump_not_equal(insn);
      break;
    case JumpOp::kSet:
      jump_bits(insn);
      break;
    default:
      jump_ordered(insn);
  }
  return {};
}

// The halves' differences are gathered, so that one branch does.
void Lowering::jump_equal(const Jump& insn) {
  const unsigned l = low(insn.dst), h = high(insn.dst);
  const bool wide = insn.width == Width::k64;
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    code_.alu(kScratchA, gpr_a(l), AluOp::kXor, gpr_b(low(*src)));
    if (wide) {
      code_.alu(kScratchB, gpr_a(h), AluOp::kXor, gpr_b(high(*src)));
      code_.alu(None{}, kScratchA, AluOp::kOr, kScratchB);
    }
    return code_.branch_to(Condition::kEqual, insn.target);
  }
  const uint64_t value = sign_extended(std::get<Imm>(insn.src));
  const auto low_value = static_cast<uint32_t>(value), high_value = static_cast<uint32_t>(value >> 32);
  if (!wide) {
    code_.alu(None{}, gpr_a(l), AluOp::kXor, code_.wide_constant(low_value, kScratchB));
    return code_.branch_to(Condition::kEqual, insn.target);
  }
  Operand low_difference = gpr_a(l), high_difference = gpr_b(h);
  if (low_value != 0) {
    code_.alu(kScratchA, gpr_a(l), AluOp::kXor, code_.wide_constant(low_value, kScratchB));
    low_difference = kScratchA;
  }
  if (high_value != 0) {
    code_.alu(kScratchB, gpr_a(h), AluOp::kXor, code_.wide_constant(high_value, kScratchB));
    high_difference = kScratchB;
  }
  code_.alu(None{}, low_difference, AluOp::kOr, high_difference);
  code_.branch_to(Condition::kEqual, insn.target);
}

void Lowering::jump_not_equal(const Jump& insn) {
  const unsigned l = low(insn.dst), h = high(insn.dst);
  const bool wide = insn.width == Width::k64;
  const auto differs = [&](unsigned gpr, Operand other) {
    code_.alu(None{}, gpr_a(gpr), AluOp::kXor, other);
    code_.branch_to(Condition::kNotEqual, insn.target);
  };
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    differs(l, gpr_b(low(*src)));
    if (wide) differs(h, gpr_b(high(*src)));
    return;
  }
  const uint64_t value = sign_extended(std::get<Imm>(insn.src));
  if (value == 0) {
    if (wide) {
      code_.alu(None{}, gpr_a(l), AluOp::kOr, gpr_b(h));
    } else {
      code_.move(None{}, gpr_b(l));
    }
    return code_.branch_to(Condition::kNotEqual, insn.target);
  }
  differs(l, code_.wide_constant(static_cast<uint32_t>(value), kScratchB));
  if (wide) differs(h, code_.wide_constant(static_cast<uint32_t>(value >> 32), kScratchB));
}

void Lowering::jump_bits(const Jump& insn) {
  const unsigned l = low(insn.dst), h = high(insn.dst);
  const bool wide = insn.width == Width::k64;
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    code_.alu(None{}, gpr_a(l), AluOp::kAnd, gpr_b(low(*src)));
    code_.branch_to(Condition::kNotEqual, insn.target);
    if (!wide) return;
    code_.alu(None{}, gpr_a(h), AluOp::kAnd, gpr_b(high(*src)));
    return code_.branch_to(Condition::kNotEqual, insn.target);
  }
  const Imm value = std::get<Imm>(insn.src);
  code_.alu(kScratchB, gpr_a(l), AluOp::kAnd, code_.wide_constant(static_cast<uint32_t>(value), kScratchB));
  // The mask's upper half is the sign: nothing, or everything.
  if (wide && value < 0) code_.alu(None{}, gpr_a(h), AluOp::kOr, kScratchB);
  code_.branch_to(Condition::kNotEqual, insn.target);
}

// By the flags of the difference. A negative constant that would be subtracted is added as its opposite, which is
// shorter and gives the same flags (not for the least 32-bit number, which has no opposite).
void Lowering::jump_ordered(const Jump& insn) {
  const unsigned l = low(insn.dst), h = high(insn.dst);
  const bool wide = insn.width == Width::k64;
  const Order order = order_of(insn.op);
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    const Reg left = order.exchanged ? *src : insn.dst, right = order.exchanged ? insn.dst : *src;
    code_.alu(None{}, gpr_a(low(left)), AluOp::kSub, gpr_b(low(right)));
    if (wide) code_.alu(None{}, gpr_a(high(left)), AluOp::kSubCarry, gpr_b(high(right)));
    return code_.branch_to(order.condition, insn.target);
  }
  const Imm constant = std::get<Imm>(insn.src);
  const bool opposite = passes_.has(Pass::kImmediateForms) && constant < 0 && !order.exchanged && constant != INT32_MIN;
  const uint64_t value = opposite ? -sign_extended(constant) : sign_extended(constant);
  const auto compare = [&](unsigned gpr, AluOp op, uint32_t part) {
    const Operand other = code_.wide_constant(part, kScratchB);
    if (order.exchanged) return code_.alu(None{}, other, op, gpr_a(gpr));
    code_.alu(None{}, gpr_a(gpr), op, other);
  };
  compare(l, opposite ? AluOp::kAdd : AluOp::kSub, static_cast<uint32_t>(value));
  if (wide) compare(h, opposite ? AluOp::kAddCarry : AluOp::kSubCarry, static_cast<uint32_t>(value >> 32));
  code_.branch_to(order.condition, insn.target);
}

}  // namespace xnic::compile::target::nfp
