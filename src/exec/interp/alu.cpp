// SPDX-License-Identifier: Apache-2.0
// Arithmetic of RFC 9669 §4.1 and §4.2. Each operation is a pure function of two values at one width; a template turns
// it into the handlers for its register and immediate forms. A 32-bit operation zeroes the upper half of dst.
#include <type_traits>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {
namespace {

using arch::ebpf::BinaryOp;
using arch::ebpf::Width;

// `T` is the unsigned type of the width; wrap-around is defined.
template <class T>
using Signed = std::make_signed_t<T>;
template <class T>
inline constexpr T kShiftMask = sizeof(T) * 8 - 1;

template <class T>
T divide(T a, T b) {
  return b == 0 ? 0 : a / b;
}
template <class T>
T modulo(T a, T b) {
  return b == 0 ? a : a % b;
}
// Division by -1 is written as a negation: the smallest number stays itself instead of trapping.
template <class T>
T signed_divide(T a, T b) {
  if (b == 0) return 0;
  if (b == T(-1)) return T(0) - a;
  return static_cast<T>(static_cast<Signed<T>>(a) / static_cast<Signed<T>>(b));
}
template <class T>
T signed_modulo(T a, T b) {
  if (b == 0) return a;
  if (b == T(-1)) return 0;
  return static_cast<T>(static_cast<Signed<T>>(a) % static_cast<Signed<T>>(b));
}

template <BinaryOp op, class T>
T apply(T a, T b) {
  if constexpr (op == BinaryOp::kAdd) return a + b;
  if constexpr (op == BinaryOp::kSub) return a - b;
  if constexpr (op == BinaryOp::kMul) return a * b;
  if constexpr (op == BinaryOp::kDiv) return divide(a, b);
  if constexpr (op == BinaryOp::kOr) return a | b;
  if constexpr (op == BinaryOp::kAnd) return a & b;
  if constexpr (op == BinaryOp::kLsh) return a << (b & kShiftMask<T>);
  if constexpr (op == BinaryOp::kRsh) return a >> (b & kShiftMask<T>);
  if constexpr (op == BinaryOp::kMod) return modulo(a, b);
  if constexpr (op == BinaryOp::kXor) return a ^ b;
  if constexpr (op == BinaryOp::kMov) return b;
  if constexpr (op == BinaryOp::kArsh) return static_cast<T>(static_cast<Signed<T>>(a) >> (b & kShiftMask<T>));
  if constexpr (op == BinaryOp::kSdiv) return signed_divide(a, b);
  if constexpr (op == BinaryOp::kSmod) return signed_modulo(a, b);
}

template <BinaryOp operation, class T, bool immediate>
const Op* binary(Machine& m, const Op* op) {
  const T right = static_cast<T>(immediate ? op->imm : m.r[op->src]);
  m.r[op->dst] = apply<operation, T>(static_cast<T>(m.r[op->dst]), right);
  return op + 1;
}

template <BinaryOp operation>
Handler pick(const arch::ebpf::Binary& insn) {
  const bool immediate = std::holds_alternative<arch::ebpf::Imm>(insn.src);
  if (insn.width == Width::k64)
    return immediate ? binary<operation, uint64_t, true> : binary<operation, uint64_t, false>;
  return immediate ? binary<operation, uint32_t, true> : binary<operation, uint32_t, false>;
}

template <class From, class Width>
const Op* move_extended(Machine& m, const Op* op) {
  m.r[op->dst] = static_cast<Width>(static_cast<Signed<Width>>(static_cast<From>(m.r[op->src])));
  return op + 1;
}

template <class T>
const Op* negate(Machine& m, const Op* op) {
  m.r[op->dst] = static_cast<T>(T(0) - static_cast<T>(m.r[op->dst]));
  return op + 1;
}

// Little-endian hosts: to_le only truncates; to_be and bswap swap.
template <class T>
const Op* truncate(Machine& m, const Op* op) {
  m.r[op->dst] = static_cast<T>(m.r[op->dst]);
  return op + 1;
}
template <class T>
const Op* swap(Machine& m, const Op* op) {
  m.r[op->dst] = base::byte_swap(static_cast<T>(m.r[op->dst]));
  return op + 1;
}

}  // namespace

Handler handler_of(const arch::ebpf::Binary& insn) {
  switch (insn.op) {
    case BinaryOp::kAdd:
      return pick<BinaryOp::kAdd>(insn);
    case BinaryOp::kSub:
      return pick<BinaryOp::kSub>(insn);
    case BinaryOp::kMul:
      return pick<BinaryOp::kMul>(insn);
    case BinaryOp::kDiv:
      return pick<BinaryOp::kDiv>(insn);
    case BinaryOp::kOr:
      return pick<BinaryOp::kOr>(insn);
    case BinaryOp::kAnd:
      return pick<BinaryOp::kAnd>(insn);
    case BinaryOp::kLsh:
      return pick<BinaryOp::kLsh>(insn);
    case BinaryOp::kRsh:
      return pick<BinaryOp::kRsh>(insn);
    case BinaryOp::kMod:
      return pick<BinaryOp::kMod>(insn);
    case BinaryOp::kXor:
      return pick<BinaryOp::kXor>(insn);
    case BinaryOp::kMov:
      return pick<BinaryOp::kMov>(insn);
    case BinaryOp::kArsh:
      return pick<BinaryOp::kArsh>(insn);
    case BinaryOp::kSdiv:
      return pick<BinaryOp::kSdiv>(insn);
    case BinaryOp::kSmod:
      return pick<BinaryOp::kSmod>(insn);
  }
  return nullptr;
}

Handler handler_of(const arch::ebpf::MovSx& insn) {
  const bool wide = insn.width == Width::k64;
  switch (insn.bits) {
    case 8:
      return wide ? move_extended<int8_t, uint64_t> : move_extended<int8_t, uint32_t>;
    case 16:
      return wide ? move_extended<int16_t, uint64_t> : move_extended<int16_t, uint32_t>;
    case 32:
      return wide ? move_extended<int32_t, uint64_t> : nullptr;
    default:
      return nullptr;
  }
}

Handler handler_of(const arch::ebpf::Neg& insn) {
  return insn.width == Width::k64 ? negate<uint64_t> : negate<uint32_t>;
}

Handler handler_of(const arch::ebpf::Swap& insn) {
  static_assert(std::endian::native == std::endian::little);
  const bool keep = insn.kind == arch::ebpf::SwapKind::kToLe;
  switch (insn.bits) {
    case 16:
      return keep ? truncate<uint16_t> : swap<uint16_t>;
    case 32:
      return keep ? truncate<uint32_t> : swap<uint32_t>;
    case 64:
      return keep ? truncate<uint64_t> : swap<uint64_t>;
    default:
      return nullptr;
  }
}

}  // namespace xnic::exec::interp
