// SPDX-License-Identifier: Apache-2.0
// Constant evaluation, one expression an operation (RFC 9669 §4.1, §4.2, §4.3).
#include "compile/opt/alu.hpp"

#include "base/bytes.hpp"

namespace xnic::compile::opt {

namespace {

template <class U, class S>
U evaluate_in(AluOp op, U a, U b) {
  constexpr U kMask = sizeof(U) * 8 - 1;
  switch (op) {
    case AluOp::kAdd:
      return a + b;
    case AluOp::kSub:
      return a - b;
    case AluOp::kMul:
      return a * b;
    case AluOp::kDiv:
      return b == 0 ? 0 : a / b;
    case AluOp::kOr:
      return a | b;
    case AluOp::kAnd:
      return a & b;
    case AluOp::kLsh:
      return a << (b & kMask);
    case AluOp::kRsh:
      return a >> (b & kMask);
    case AluOp::kMod:
      return b == 0 ? a : a % b;
    case AluOp::kXor:
      return a ^ b;
    case AluOp::kArsh:
      return U(S(a) >> (b & kMask));
    case AluOp::kSdiv:
      // The one overflow, smallest / -1, wraps to itself.
      return b == 0 ? 0 : b == U(-1) ? U(0) - a : U(S(a) / S(b));
    case AluOp::kSmod:
      return b == 0 ? a : b == U(-1) ? 0 : U(S(a) % S(b));
    case AluOp::kReverseSub:
      return b - a;
  }
  return 0;
}

template <class U, class S>
bool compare(JumpOp op, U a, U b) {
  switch (op) {
    case JumpOp::kEq:
      return a == b;
    case JumpOp::kGt:
      return a > b;
    case JumpOp::kGe:
      return a >= b;
    case JumpOp::kSet:
      return (a & b) != 0;
    case JumpOp::kNe:
      return a != b;
    case JumpOp::kSgt:
      return S(a) > S(b);
    case JumpOp::kSge:
      return S(a) >= S(b);
    case JumpOp::kLt:
      return a < b;
    case JumpOp::kLe:
      return a <= b;
    case JumpOp::kSlt:
      return S(a) < S(b);
    case JumpOp::kSle:
      return S(a) <= S(b);
  }
  return false;
}

}  // namespace

uint64_t evaluate(AluOp op, Width width, uint64_t a, uint64_t b) {
  if (width == Width::k64) return evaluate_in<uint64_t, int64_t>(op, a, b);
  return evaluate_in<uint32_t, int32_t>(op, uint32_t(a), uint32_t(b));
}

uint64_t evaluate_fold(bool invert, uint64_t a, uint64_t b) {
  uint32_t s = uint32_t(a + b);
  s = (s & 0xffff) + (s >> 16);
  s = (s & 0xffff) + (s >> 16);
  return (s & 0xffff) ^ (invert ? 0xffff : 0);
}

uint64_t evaluate_swap(uint8_t bits, uint64_t a) {
  return bits == 16 ? base::byte_swap(uint16_t(a)) : bits == 32 ? base::byte_swap(uint32_t(a)) : base::byte_swap(a);
}

uint64_t evaluate_sext(Width width, uint8_t bits, uint64_t a) {
  const unsigned shift = 64 - bits;
  const auto wide = uint64_t(int64_t(a << shift) >> shift);
  return width == Width::k64 ? wide : uint32_t(wide);
}

bool evaluate(JumpOp op, Width width, uint64_t a, uint64_t b) {
  if (width == Width::k64) return compare<uint64_t, int64_t>(op, a, b);
  return compare<uint32_t, int32_t>(op, uint32_t(a), uint32_t(b));
}

}  // namespace xnic::compile::opt
