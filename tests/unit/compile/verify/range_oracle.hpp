// SPDX-License-Identifier: Apache-2.0
// What the instructions do to single numbers (RFC 9669 §4), and random ranges with a known member: the two halves of a
// soundness test. Written apart from the domain that it tests.
#pragma once

#include <vector>

#include "base/rng.hpp"
#include "compile/verify/range.hpp"

namespace xnic::compile::verify::testing {

inline constexpr BinaryOp kAllOps[] = {BinaryOp::kAdd, BinaryOp::kSub,  BinaryOp::kMul,  BinaryOp::kDiv, BinaryOp::kOr,
                                       BinaryOp::kAnd, BinaryOp::kLsh,  BinaryOp::kRsh,  BinaryOp::kMod, BinaryOp::kXor,
                                       BinaryOp::kMov, BinaryOp::kArsh, BinaryOp::kSdiv, BinaryOp::kSmod};
inline constexpr JumpOp kAllJumps[] = {JumpOp::kEq,  JumpOp::kGt, JumpOp::kGe, JumpOp::kSet, JumpOp::kNe, JumpOp::kSgt,
                                       JumpOp::kSge, JumpOp::kLt, JumpOp::kLe, JumpOp::kSlt, JumpOp::kSle};
inline constexpr Width kWidths[] = {Width::k32, Width::k64};

template <class U>
U concrete_word(BinaryOp op, U a, U b) {
  using S = std::make_signed_t<U>;
  constexpr U kShiftMask = sizeof(U) * 8 - 1;
  switch (op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSub:
      return a - b;
    case BinaryOp::kMul:
      return a * b;
    case BinaryOp::kDiv:
      return b == 0 ? 0 : a / b;
    case BinaryOp::kMod:
      return b == 0 ? a : a % b;
    case BinaryOp::kSdiv:
      return b == 0 ? 0 : b == U(-1) ? U(0 - a) : U(S(a) / S(b));
    case BinaryOp::kSmod:
      return b == 0 ? a : b == U(-1) ? 0 : U(S(a) % S(b));
    case BinaryOp::kOr:
      return a | b;
    case BinaryOp::kAnd:
      return a & b;
    case BinaryOp::kXor:
      return a ^ b;
    case BinaryOp::kLsh:
      return a << (b & kShiftMask);
    case BinaryOp::kRsh:
      return a >> (b & kShiftMask);
    case BinaryOp::kArsh:
      return U(S(a) >> (b & kShiftMask));
    case BinaryOp::kMov:
      return b;
  }
  return 0;
}

inline uint64_t concrete(BinaryOp op, Width width, uint64_t a, uint64_t b) {
  return width == Width::k64 ? concrete_word<uint64_t>(op, a, b)
                             : concrete_word<uint32_t>(op, uint32_t(a), uint32_t(b));
}

template <class U>
bool concrete_compare(JumpOp op, U a, U b) {
  using S = std::make_signed_t<U>;
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

inline bool concrete_jump(JumpOp op, Width width, uint64_t a, uint64_t b) {
  return width == Width::k64 ? concrete_compare<uint64_t>(op, a, b)
                             : concrete_compare<uint32_t>(op, uint32_t(a), uint32_t(b));
}

// Numbers near the places where bounds break: zero, the powers of two, the ends of the halves; and any others.
inline uint64_t random_number(base::Rng& rng) {
  switch (rng.below(6)) {
    case 0:
      return rng.below(8);
    case 1:
      return (uint64_t{1} << rng.below(64)) + rng.below(5) - 2;
    case 2:
      return 0 - ((uint64_t{1} << rng.below(64)) + rng.below(5) - 2);
    case 3:
      return rng.next() & 0xffffffff;
    case 4:
      return rng.next() >> rng.below(64);
    default:
      return rng.next();
  }
}

// A range that is known to contain `members`, from exact to very loose.
struct Sample {
  Range range;
  std::vector<uint64_t> members;
};

inline Sample random_sample(base::Rng& rng) {
  Sample sample;
  const uint64_t first = random_number(rng);
  sample.members.push_back(first);
  sample.range = Range::constant(first);
  for (uint64_t more = rng.below(4); more > 0; --more) {
    const uint64_t next = rng.chance(2, 3) ? first + rng.below(uint64_t{1} << rng.range(1, 34)) : random_number(rng);
    sample.members.push_back(next);
    sample.range = join(sample.range, Range::constant(next));
  }
  Range& r = sample.range;
  if (rng.chance(1, 4)) r.bits = Tnum::unknown();
  if (rng.chance(1, 4)) r.bits = {r.bits.value & ~(r.bits.mask | 0xff), r.bits.mask | 0xff};
  if (rng.chance(1, 4)) r.umin = 0, r.umax = ~uint64_t{0};
  if (rng.chance(1, 4)) r.smin = INT64_MIN, r.smax = INT64_MAX;
  if (rng.chance(1, 4)) r.u32_min = 0, r.u32_max = ~uint32_t{0};
  if (rng.chance(1, 4)) r.s32_min = INT32_MIN, r.s32_max = INT32_MAX;
  return sample;
}

}  // namespace xnic::compile::verify::testing
