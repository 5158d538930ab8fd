// SPDX-License-Identifier: Apache-2.0
// Arithmetic: ranges of scalars by the numeric domain, offsets of pointers with the kernel's rules (adjust_reg_min_max_
// vals, adjust_ptr_min_max_vals). Copies of a scalar share a link id, so that a later comparison of one narrows all.
#include <fmt/core.h>

#include <cerrno>

#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

constexpr std::string_view op_sign(BinaryOp op) {
  constexpr std::string_view kSigns[] = {
      "+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "%=", "^=", "=", "s>>=", "s/=", "s%="};
  return kSigns[static_cast<size_t>(op)];
}

bool is_bitwise(BinaryOp op) { return op == BinaryOp::kAnd || op == BinaryOp::kOr || op == BinaryOp::kXor; }

Range low_half(const Range& range) { return zero_extend_bytes(range, 4); }

}  // namespace

// Gives the source of a copy a link id. A constant needs none: its value says it all.
void Walk::link_before_copy(Register& source) {
  if (!source.is_scalar()) return;
  if (source.has_addend) {
    source.id = 0;
    source.offset = 0;
    source.has_addend = false;
  }
  if (source.id == 0 && !source.var.is_constant()) source.id = fresh_id();
}

bool Walk::execute(const MovSx& insn) {
  int d = index(insn.dst), s = index(insn.src);
  if (!read_ok(s) || !write_ok(d)) return false;
  Register& source = reg(s);
  Register result = Register::scalar(sign_extend(insn.width, insn.bits, widen_unknown()));
  if (source.is_scalar()) {
    bool unchanged = insn.width == Width::k64 && source.var.umax < (uint64_t{1} << (insn.bits - 1));
    if (unchanged) link_before_copy(source);
    result = source;
    result.precise = false;
    if (!unchanged) {
      result.id = 0;
      result.offset = 0;
      result.has_addend = false;
    }
    result.var = sign_extend(insn.width, insn.bits, source.var);
  }
  reg(d) = result;
  depend(here(d), here(s));
  return true;
}

bool Walk::execute(const Neg& insn) {
  int d = index(insn.dst);
  if (!read_ok(d) || !write_ok(d)) return false;
  Range range = reg(d).is_scalar() ? reg(d).var : widen_unknown();
  reg(d) = Register::scalar(negate(insn.width, range));
  depend(here(d), here(d));
  return true;
}

bool Walk::execute(const Swap& insn) {
  int d = index(insn.dst);
  if (!read_ok(d) || !write_ok(d)) return false;
  Range range = reg(d).is_scalar() ? reg(d).var : widen_unknown();
  reg(d) = Register::scalar(swap(insn.kind, insn.bits, range));
  depend(here(d), here(d));
  return true;
}

bool Walk::execute(const Binary& insn) {
  const int d = index(insn.dst);
  const Reg* src_reg = std::get_if<Reg>(&insn.src);
  const int s = src_reg ? index(*src_reg) : -1;
  if (src_reg && !read_ok(s)) return false;
  if (insn.op != BinaryOp::kMov && !read_ok(d)) return false;
  if (!write_ok(d)) return false;
  const Imm imm = src_reg ? 0 : std::get<Imm>(insn.src);
  const uint64_t immediate =
      insn.width == Width::k64 ? static_cast<uint64_t>(int64_t{imm}) : static_cast<uint32_t>(imm);

  if (insn.op == BinaryOp::kMov) {
    if (!src_reg) {
      reg(d) = Register::constant(immediate);
      depend(here(d));
      return true;
    }
    Register& source = reg(s);
    bool whole = insn.width == Width::k64 || (source.is_scalar() && source.var.umax <= UINT32_MAX);
    if (whole) link_before_copy(source);
    Register result = source;
    result.precise = false;
    if (insn.width == Width::k32) {
      result = source.is_scalar() ? source : Register::scalar();
      result.precise = false;
      if (!whole) {
        result.id = 0;
        result.offset = 0;
        result.has_addend = false;
      }
      result.var = low_half(result.var);
    }
    reg(d) = result;
    depend(here(d), here(s));
    return true;
  }

  const bool division = insn.op == BinaryOp::kDiv || insn.op == BinaryOp::kMod || insn.op == BinaryOp::kSdiv ||
                        insn.op == BinaryOp::kSmod;
  const bool shift = insn.op == BinaryOp::kLsh || insn.op == BinaryOp::kRsh || insn.op == BinaryOp::kArsh;
  if (!src_reg && division && imm == 0) return reject(kStructure, EINVAL, "div by zero", "divide by something else");
  if (!src_reg && shift && (imm < 0 || imm >= static_cast<int>(insn.width)))
    return reject(kStructure, EINVAL, fmt::format("invalid shift {}", imm), "shift by less than the width");

  const Register right = src_reg ? reg(s) : Register::constant(immediate);
  Register& left = reg(d);
  if (left.is_scalar() && right.is_scalar()) {
    scalar_arithmetic(insn, left, right);
    depend(here(d), here(d), src_reg ? here(s) : Location{});
    return true;
  }
  if (left.is_pointer() && right.is_pointer()) {
    if (insn.op != BinaryOp::kSub)
      return reject(kType, EACCES, fmt::format("R{} pointer {} pointer prohibited", d, op_sign(insn.op)),
                    "only the difference of two pointers means something");
    left = Register::scalar();
    if (insn.width == Width::k32) left.var = low_half(left.var);
    depend(here(d));
    return true;
  }
  const bool scalar_was_dst = left.is_scalar();
  if (scalar_was_dst)
    mark_precise(d);
  else if (src_reg)
    mark_precise(s);
  Register pointer = scalar_was_dst ? right : left;
  Register offset = scalar_was_dst ? left : right;
  if (!pointer_arithmetic(insn.op, insn.width, d, pointer, offset, scalar_was_dst)) return false;
  depend(here(d));
  return true;
}

void Walk::scalar_arithmetic(const Binary& insn, Register& dst, const Register& src) {
  const bool constant_addend = insn.op == BinaryOp::kAdd && insn.width == Width::k64 && dst.id != 0 &&
                               src.is_constant() && !dst.has_addend && src.var.umin <= INT32_MAX &&
                               std::holds_alternative<Imm>(insn.src);
  dst.var = apply(insn.op, insn.width, dst.var, src.var);
  dst.precise = false;
  if (constant_addend) {
    dst.has_addend = true;
    dst.offset = static_cast<int32_t>(src.var.umin);
  } else {
    dst.id = 0;
    dst.offset = 0;
    dst.has_addend = false;
  }
}

// Offsets stay in a range in which sums cannot overflow. `shown` names the kind of pointer in messages.
bool Walk::sane_offset(const Register& value, const Register& shown) {
  std::string_view name = kind_name(shown);
  const bool known = value.var.is_constant();
  const int64_t low = value.var.smin;
  constexpr std::string_view kAdvice = "bound the value on both sides before it is added to a pointer";
  if (known && (low >= kMaxVariableOffset || low <= -kMaxVariableOffset))
    return reject(kMemory, EINVAL, fmt::format("math between {} pointer and {} is not allowed", name, low), kAdvice);
  if (value.is_pointer() && (value.offset >= kMaxVariableOffset || value.offset <= -kMaxVariableOffset))
    return reject(kMemory, EINVAL, fmt::format("{} pointer offset {} is not allowed", name, value.offset), kAdvice);
  if (low == INT64_MIN)
    return reject(kMemory, EINVAL,
                  fmt::format("math between {} pointer and register with unbounded min value is not allowed", name),
                  kAdvice);
  if (low >= kMaxVariableOffset || low <= -kMaxVariableOffset)
    return reject(kMemory, EINVAL, fmt::format("value {} makes {} pointer be out of bounds", low, name), kAdvice);
  return true;
}

bool Walk::pointer_arithmetic(BinaryOp op, Width width, int d, const Register& pointer, const Register& offset,
                              bool scalar_was_dst) {
  if (width == Width::k32) {
    if (op == BinaryOp::kSub) {
      reg(d) = Register::scalar(loaded(4, false));
      return true;
    }
    return reject(kType, EACCES, fmt::format("R{} 32-bit pointer arithmetic prohibited", d),
                  "keep pointers in 64-bit registers");
  }
  if (pointer.maybe_null)
    return reject(kType, EACCES,
                  fmt::format("R{} pointer arithmetic on {} prohibited, null-check it first", d, kind_name(pointer)),
                  "compare the pointer with NULL before using it");
  const bool known = offset.var.is_constant();
  const bool null_map_offset = pointer.kind == Kind::kMap && known && offset.var.umin == 0 && op == BinaryOp::kAdd;
  if ((pointer.kind == Kind::kMap && !null_map_offset) || pointer.kind == Kind::kPacketEnd ||
      pointer.kind == Kind::kSocket)
    return reject(kType, EACCES, fmt::format("R{} pointer arithmetic on {} prohibited", d, kind_name(pointer)),
                  pointer.kind == Kind::kPacketEnd ? "compare data + n with data_end, not data with data_end - n"
                                                   : "do not compute with this pointer");
  if (op != BinaryOp::kAdd && op != BinaryOp::kSub) {
    if (is_bitwise(op))
      return reject(kType, EACCES, fmt::format("R{} bitwise operator {} on pointer prohibited", d, op_sign(op)),
                    "compute with the offset, then add it to the pointer");
    return reject(kType, EACCES, fmt::format("R{} pointer arithmetic with {} operator prohibited", d, op_sign(op)),
                  "compute with the offset, then add it to the pointer");
  }
  if (op == BinaryOp::kSub && scalar_was_dst)
    return reject(kType, EACCES, fmt::format("R{} tried to subtract pointer from scalar", d), "swap the operands");
  if (op == BinaryOp::kSub && pointer.kind == Kind::kStack)
    return reject(kType, EACCES, fmt::format("R{} subtraction from stack pointer prohibited", d),
                  "add a negative offset instead");
  if (!sane_offset(offset, pointer) || !sane_offset(pointer, pointer)) return false;

  Register result = pointer;
  const int64_t sum = op == BinaryOp::kAdd ? pointer.offset + offset.var.smin : pointer.offset - offset.var.smin;
  if (known && sum == static_cast<int32_t>(sum)) {
    result.offset = static_cast<int32_t>(sum);
  } else {
    result.var = apply(op, Width::k64, pointer.var, offset.var);
    if (pointer.kind == Kind::kPacket || pointer.kind == Kind::kPacketMeta) {
      // A new base: what was proved of the old one says nothing, unless the pointer only moved down.
      result.id = fresh_id();
      if (op == BinaryOp::kAdd || offset.var.smin < 0) {
        result.packet_range = 0;
        result.past_end = 0;
      }
    }
  }
  if (!sane_offset(result, pointer)) return false;
  reg(d) = result;
  return true;
}

}  // namespace xnic::compile::verify
