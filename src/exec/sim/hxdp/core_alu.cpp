// SPDX-License-Identifier: Apache-2.0
// Operations on registers: RFC 9669 §4 and the forms of arch/hxdp/instruction.hpp.
#include <limits>
#include <type_traits>

#include "base/bytes.hpp"
#include "exec/sim/hxdp/core.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using isa::AluOp;
using isa::JumpOp;
using isa::Width;

template <AluOp op, class T>
T compute(T a, T b) {
  using S = std::make_signed_t<T>;
  constexpr T kBits = sizeof(T) * 8;
  if constexpr (op == AluOp::kAdd) return a + b;
  if constexpr (op == AluOp::kSub) return a - b;
  if constexpr (op == AluOp::kReverseSub) return b - a;
  if constexpr (op == AluOp::kMul) return a * b;
  if constexpr (op == AluOp::kDiv) return b == 0 ? 0 : a / b;
  if constexpr (op == AluOp::kMod) return b == 0 ? a : a % b;
  if constexpr (op == AluOp::kOr) return a | b;
  if constexpr (op == AluOp::kAnd) return a & b;
  if constexpr (op == AluOp::kXor) return a ^ b;
  if constexpr (op == AluOp::kLsh) return a << (b & (kBits - 1));
  if constexpr (op == AluOp::kRsh) return a >> (b & (kBits - 1));
  if constexpr (op == AluOp::kArsh) return static_cast<T>(static_cast<S>(a) >> (b & (kBits - 1)));
  if constexpr (op == AluOp::kSdiv) {
    if (b == 0) return 0;
    if (b == static_cast<T>(-1)) return T{0} - a;  // the most negative number stays what it is
    return static_cast<T>(static_cast<S>(a) / static_cast<S>(b));
  }
  if constexpr (op == AluOp::kSmod) {
    if (b == 0) return a;
    if (b == static_cast<T>(-1)) return 0;
    return static_cast<T>(static_cast<S>(a) % static_cast<S>(b));
  }
}

template <AluOp op, class T, bool immediate>
Flow alu(Core& core, const Micro& m) {
  const T a = static_cast<T>(core.regs[m.a]);
  const T b = static_cast<T>(immediate ? m.imm : core.regs[m.b]);
  core.regs[m.out] = compute<op, T>(a, b);
  return Flow::kOn;
}

template <AluOp op>
Handler pick(const isa::Alu& alu_op) {
  const bool immediate = std::holds_alternative<isa::Imm>(alu_op.b);
  if (alu_op.width == Width::k64) return immediate ? alu<op, uint64_t, true> : alu<op, uint64_t, false>;
  return immediate ? alu<op, uint32_t, true> : alu<op, uint32_t, false>;
}

template <class T, bool immediate>
Flow move(Core& core, const Micro& m) {
  core.regs[m.out] = static_cast<T>(immediate ? m.imm : core.regs[m.b]);
  return Flow::kOn;
}

Flow move_high(Core& core, const Micro& m) {
  core.regs[m.out] = static_cast<uint32_t>(core.regs[m.a]) | m.imm << 32;
  return Flow::kOn;
}

template <class From, class To>
Flow sign_extend(Core& core, const Micro& m) {
  core.regs[m.out] = static_cast<To>(int64_t{static_cast<From>(core.regs[m.a])});
  return Flow::kOn;
}

template <class T>
Flow swap(Core& core, const Micro& m) {
  core.regs[m.out] = base::byte_swap(static_cast<T>(core.regs[m.a]));
  return Flow::kOn;
}

template <bool invert, bool immediate>
Flow fold_sum(Core& core, const Micro& m) {
  uint32_t sum = static_cast<uint32_t>(core.regs[m.a] + (immediate ? m.imm : core.regs[m.b]));
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  core.regs[m.out] = static_cast<uint16_t>(invert ? ~sum : sum);
  return Flow::kOn;
}

}  // namespace

Handler handler_of(const isa::Alu& op) {
  switch (op.op) {
    case AluOp::kAdd:
      return pick<AluOp::kAdd>(op);
    case AluOp::kSub:
      return pick<AluOp::kSub>(op);
    case AluOp::kMul:
      return pick<AluOp::kMul>(op);
    case AluOp::kDiv:
      return pick<AluOp::kDiv>(op);
    case AluOp::kOr:
      return pick<AluOp::kOr>(op);
    case AluOp::kAnd:
      return pick<AluOp::kAnd>(op);
    case AluOp::kLsh:
      return pick<AluOp::kLsh>(op);
    case AluOp::kRsh:
      return pick<AluOp::kRsh>(op);
    case AluOp::kMod:
      return pick<AluOp::kMod>(op);
    case AluOp::kXor:
      return pick<AluOp::kXor>(op);
    case AluOp::kArsh:
      return pick<AluOp::kArsh>(op);
    case AluOp::kSdiv:
      return pick<AluOp::kSdiv>(op);
    case AluOp::kSmod:
      return pick<AluOp::kSmod>(op);
    case AluOp::kReverseSub:
      return pick<AluOp::kReverseSub>(op);
  }
  return nullptr;
}

Handler handler_of(const isa::Move& op) {
  const bool immediate = std::holds_alternative<isa::Imm>(op.src);
  if (op.width == Width::k64) return immediate ? move<uint64_t, true> : move<uint64_t, false>;
  return immediate ? move<uint32_t, true> : move<uint32_t, false>;
}

Handler handler_of(const isa::MoveHigh&) { return move_high; }

Handler handler_of(const isa::SignExtend& op) {
  const bool wide = op.width == Width::k64;
  switch (op.bits) {
    case 8:
      return wide ? sign_extend<int8_t, uint64_t> : sign_extend<int8_t, uint32_t>;
    case 16:
      return wide ? sign_extend<int16_t, uint64_t> : sign_extend<int16_t, uint32_t>;
    default:
      return sign_extend<int32_t, uint64_t>;
  }
}

Handler handler_of(const isa::Swap& op) {
  return op.bits == 16 ? swap<uint16_t> : op.bits == 32 ? swap<uint32_t> : swap<uint64_t>;
}

Handler handler_of(const isa::FoldSum& op) {
  const bool immediate = std::holds_alternative<isa::Imm>(op.b);
  if (op.invert) return immediate ? fold_sum<true, true> : fold_sum<true, false>;
  return immediate ? fold_sum<false, true> : fold_sum<false, false>;
}

}  // namespace xnic::exec::sim::hxdp
