// SPDX-License-Identifier: Apache-2.0
// The rules of single instructions: opcodes of the driver's table, ranges of operands, types and offsets of pointers.
// The core is 32 bits wide and has neither division nor 64-bit products, which is where the range rules come from.
#include <fmt/core.h>

#include <cerrno>
#include <limits>

#include "arch/ebpf/context.hpp"
#include "compile/target/nfp/checker.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

constexpr uint64_t kU32Max = std::numeric_limits<uint32_t>::max();

std::string_view type_advice(RegType type) {
  switch (type) {
    case RegType::kPacketMeta:
      return "The card has no packet metadata: keep what you pass on in the packet or in a map.";
    case RegType::kMemory:
      return "Memory from helpers (ring buffers, dynptrs) does not exist on this card.";
    default:
      return "The card reaches the context, the stack, map values and the packet only.";
  }
}

}  // namespace

int kernel_number(RegType type) {
  switch (type) {
    case RegType::kScalar:
      return 1;
    case RegType::kContext:
      return 2;
    case RegType::kMap:
      return 3;
    case RegType::kMapValue:
      return 4;
    case RegType::kStack:
      return 6;
    case RegType::kPacketMeta:
      return 7;
    case RegType::kPacket:
      return 8;
    case RegType::kPacketEnd:
      return 9;
    case RegType::kMemory:
      return 17;
    case RegType::kFunction:
      return 20;
    default:
      return 0;
  }
}

void Checker::refuse_opcode(std::string advice) {
  refuse(Rule::kOpcode, Stage::kVerification, EINVAL,
         fmt::format("instruction 0x{:02x} not supported", program_.raw.at(slot_).opcode), std::move(advice));
}

void Checker::refuse_reused(std::string_view form) {
  refuse(Rule::kReusedOpcode, Stage::kVerification, EINVAL,
         fmt::format(
             "{} of cpu v4 shares opcode 0x{:02x} with another instruction; the driver would translate it as that one",
             form, program_.raw.at(slot_).opcode),
         "Compile with -mcpu=v3.");
}

void Checker::check(const Binary& insn) {
  switch (insn.op) {
    case BinaryOp::kMod:
    case BinaryOp::kSmod:
      return refuse_opcode("The card has no remainder: use a power of two and a mask, or a comparison.");
    case BinaryOp::kSdiv:
      return refuse_reused("signed division");
    case BinaryOp::kMul:
      return check_multiply(insn);
    case BinaryOp::kDiv:
      return check_divide(insn);
    default:
      return;
  }
}

void Checker::check_multiply(const Binary& insn) {
  constexpr auto kAdvice = "Mask or bound the operand to 32 bits before the multiplication.";
  if (fact(insn.dst).range.umax > kU32Max)
    refuse(Rule::kMultiplier, Stage::kVerification, EINVAL, "multiplier is not within u32 value range", kAdvice);
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    if (fact(*src).range.umax > kU32Max)
      refuse(Rule::kMultiplicand, Stage::kVerification, EINVAL, "multiplicand is not within u32 value range", kAdvice);
  } else if (insn.width == Width::k64 && std::get<Imm>(insn.src) < 0) {
    refuse(Rule::kNegativeMultiplicand, Stage::kVerification, EINVAL,
           "sign extended multiplicand won't be within u32 value range",
           "Multiply by the positive number and negate, or multiply 32 bits wide.");
  }
}

void Checker::check_divide(const Binary& insn) {
  if (fact(insn.dst).range.umax > kU32Max)
    refuse(Rule::kDividend, Stage::kVerification, EINVAL, "dividend is not within u32 value range",
           "Mask or bound the dividend to 32 bits.");
  if (const auto* src = std::get_if<Reg>(&insn.src)) {
    const Range& divisor = fact(*src).range;
    if (divisor.umin != divisor.umax)
      refuse(Rule::kDivisorNotConstant, Stage::kVerification, EINVAL, "divisor is not constant",
             "The card divides by constants only, as products with a reciprocal: use a table or a power of two.");
    if (divisor.umax > kU32Max)
      refuse(Rule::kDivisor, Stage::kVerification, EINVAL, "divisor is not within u32 value range",
             "Divide by a constant of 32 bits.");
  } else if (std::get<Imm>(insn.src) < 0) {
    refuse(Rule::kNegativeDivisor, Stage::kVerification, EINVAL, "divide by negative constant is not supported",
           "Divide by the positive number and negate.");
  }
}

void Checker::check(const Swap& insn) {
  if (insn.kind == SwapKind::kToLe)
    refuse_opcode("The card's data path is little-endian: leave the conversion out.");
  else if (insn.kind == SwapKind::kBswap)
    refuse_opcode("Compile with -mcpu=v3, which swaps by conversion to big-endian.");
}

void Checker::check(const Goto& insn) {
  if (insn.wide) refuse_opcode("Compile with -mcpu=v3: the card has no 32-bit jump distance.");
}

bool Checker::check_pointer(Reg reg) {
  const RegFact& base = fact(reg);
  switch (base.type) {
    case RegType::kContext:
    case RegType::kPacket:
      return true;
    case RegType::kStack:
      return check_stack_pointer(base);
    case RegType::kMapValue:
      if (base.range.is_constant()) return true;
      refuse(Rule::kMapOffset, Stage::kVerification, EOPNOTSUPP, "map value offset is variable",
             "Use a constant offset in the value: make the value one element and index by the key.");
      return false;
    case RegType::kMixed:
      refuse(
          Rule::kPointerTypeChanged, Stage::kVerification, EINVAL, "ptr type changed for instruction",
          "The instruction is reached with pointers of different kinds: access each kind in a statement of its own.");
      return false;
    default:
      refuse(Rule::kPointerType, Stage::kVerification, EINVAL,
             fmt::format("unsupported ptr type: {}", kernel_number(base.type)), std::string(type_advice(base.type)));
      return false;
  }
}

// The driver takes different constant offsets on different paths when they are equal modulo 4. Facts hold the join of
// the paths, which cannot tell them from one variable offset: such an access is refused too.
bool Checker::check_stack_pointer(const RegFact& base) {
  if (base.range.is_constant()) return true;
  refuse(Rule::kStackOffset, Stage::kVerification, EINVAL, "variable ptr stack access",
         "Index the stack with constants, or keep the array in a map.");
  return false;
}

void Checker::check(const Load& insn) {
  if (insn.sign_extend) return refuse_opcode("Compile with -mcpu=v3: the card has no sign-extending loads.");
  if (!check_pointer(insn.src)) return;
  const RegFact& base = fact(insn.src);
  const int64_t offset = static_cast<int64_t>(base.range.umin) + insn.offset;
  if (base.type == RegType::kMapValue) mark_word(base.map, offset, bytes(insn.size), kRead);
  if (base.type != RegType::kContext) return;
  if (insn.size != Size::k4 || (offset != kCtxData && offset != kCtxDataEnd))
    refuse(Rule::kContextRead, Stage::kTranslation, EOPNOTSUPP, "context field is not on the card",
           "Of the context the card has data and data_end only.");
}

void Checker::check(const Store& insn) {
  if (std::holds_alternative<Imm>(insn.src)) {
    refuse(Rule::kStoreImmediate, Stage::kTranslation, EOPNOTSUPP, "the driver does not translate stores of immediates",
           "Compile with -mcpu=v1, v2 or v3 of a compiler that stores registers (LLVM stores immediates only from v4 "
           "on).");
    return;
  }
  const RegFact& base = fact(insn.dst);
  if (base.type == RegType::kMapValue) {
    refuse(Rule::kMapWrite, Stage::kVerification, EOPNOTSUPP, "map writes not supported",
           "Count with an atomic addition, or write the value with bpf_map_update_elem where the firmware has it.");
    return;
  }
  check_pointer(insn.dst);
}

void Checker::check(const Atomic& insn) {
  if (insn.op != AtomicOp::kAdd || insn.fetch)
    return refuse(
        Rule::kAtomicOp, Stage::kVerification, EOPNOTSUPP,
        fmt::format("atomic op not implemented: {}", program_.raw.at(slot_).imm),
        "The card's memory adds, and does not return the old value: use __sync_fetch_and_add without its result.");
  const RegFact& base = fact(insn.dst);
  if (base.type != RegType::kMapValue)
    return refuse(Rule::kAtomicTarget, Stage::kVerification, EOPNOTSUPP,
                  fmt::format("atomic add not to a map value pointer: {}", kernel_number(base.type)),
                  "Add without atomicity: only map values are shared between cores.");
  if (fact(insn.src).type != RegType::kScalar)
    return refuse(Rule::kAtomicSource, Stage::kVerification, EOPNOTSUPP,
                  fmt::format("atomic add not of a scalar value: {}", kernel_number(fact(insn.src).type)),
                  "Add a number, not a pointer.");
  if (check_pointer(insn.dst))
    mark_word(base.map, static_cast<int64_t>(base.range.umin) + insn.offset, bytes(insn.size), kAtomic);
}

void Checker::check(const LoadMapValue& insn) {
  refuse(Rule::kDirectValue, Stage::kVerification, EINVAL, "no direct value access support for this map type",
         fmt::format("Global data ({}) is not on the card: use constants, or look the value up.",
                     program_.maps.at(insn.map).name));
}

void Checker::check(const CallKernel&) {
  refuse(Rule::kKernelFunction, Stage::kVerification, EINVAL, "calling kernel functions is not possible on the card",
         "Use helpers of the card: map look-up, adjust_head, adjust_tail, random numbers.");
}

}  // namespace xnic::compile::target::nfp
