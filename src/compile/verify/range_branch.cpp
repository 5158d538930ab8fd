// SPDX-License-Identifier: Apache-2.0
// Comparisons over ranges.
//
// A comparison that is false is the opposite comparison being true, and a < b is b > a, so five relations remain:
// equal, not equal, greater and greater-or-equal (unsigned or signed), and the two forms of the bit test. A 32-bit
// comparison speaks of the low halves alone. The outcome is known when the other one leaves no values.
#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "compile/verify/range.hpp"

namespace xnic::compile::verify {
namespace {

constexpr uint64_t kLowHalf = 0xffffffffu;

enum class Relation : uint8_t { kEq, kNe, kGt, kGe, kSgt, kSge, kSomeBit, kNoBit };

struct Comparison {
  Relation relation;
  bool swapped;  // of the operands
};

Comparison normalise(JumpOp op, bool taken) {
  switch (op) {
    case JumpOp::kEq:
      return {taken ? Relation::kEq : Relation::kNe, false};
    case JumpOp::kNe:
      return {taken ? Relation::kNe : Relation::kEq, false};
    case JumpOp::kSet:
      return {taken ? Relation::kSomeBit : Relation::kNoBit, false};
    case JumpOp::kGt:
      return {taken ? Relation::kGt : Relation::kGe, !taken};
    case JumpOp::kGe:
      return {taken ? Relation::kGe : Relation::kGt, !taken};
    case JumpOp::kLt:
      return {taken ? Relation::kGt : Relation::kGe, taken};
    case JumpOp::kLe:
      return {taken ? Relation::kGe : Relation::kGt, taken};
    case JumpOp::kSgt:
      return {taken ? Relation::kSgt : Relation::kSge, !taken};
    case JumpOp::kSge:
      return {taken ? Relation::kSge : Relation::kSgt, !taken};
    case JumpOp::kSlt:
      return {taken ? Relation::kSgt : Relation::kSge, taken};
    case JumpOp::kSle:
      return {taken ? Relation::kSge : Relation::kSgt, taken};
  }
  return {Relation::kEq, false};
}

// Narrows [a_low, a_high] > or >= [b_low, b_high].
template <class T>
bool order(T& a_low, T& a_high, T& b_low, T& b_high, bool strict) {
  if (strict && (b_low == std::numeric_limits<T>::max() || a_high == std::numeric_limits<T>::min())) return false;
  a_low = std::max<T>(a_low, strict ? b_low + 1 : b_low);
  b_high = std::min<T>(b_high, strict ? a_high - 1 : a_high);
  return a_low <= a_high && b_low <= b_high;
}

template <class T>
void meet(T& a_low, T& a_high, T& b_low, T& b_high) {
  a_low = b_low = std::max(a_low, b_low);
  a_high = b_high = std::min(a_high, b_high);
}

bool make_equal(Width width, Range& a, Range& b) {
  const uint64_t ignored = width == Width::k64 ? 0 : ~kLowHalf;
  const Tnum seen_a = {a.bits.value & ~ignored, a.bits.mask | ignored};
  const Tnum seen_b = {b.bits.value & ~ignored, b.bits.mask | ignored};
  if (tnum_disjoint(seen_a, seen_b)) return false;
  a.bits = tnum_intersect(a.bits, seen_b);
  b.bits = tnum_intersect(b.bits, seen_a);
  meet(a.u32_min, a.u32_max, b.u32_min, b.u32_max);
  meet(a.s32_min, a.s32_max, b.s32_min, b.s32_max);
  if (width == Width::k64) {
    meet(a.umin, a.umax, b.umin, b.umax);
    meet(a.smin, a.smax, b.smin, b.smax);
  }
  return true;
}

// Removes `value` from an end of the interval. Returns false when nothing remains.
template <class T>
bool exclude(T& low, T& high, T value) {
  if (low == value && high == value) return false;
  if (low == value) ++low;
  if (high == value) --high;
  return true;
}

bool exclude_constant(Width width, Range& a, const Range& constant) {
  if (width == Width::k32) {
    if (constant.u32_min != constant.u32_max) return true;
    return exclude(a.u32_min, a.u32_max, constant.u32_min) && exclude(a.s32_min, a.s32_max, int32_t(constant.u32_min));
  }
  if (!constant.is_constant()) return true;
  return exclude(a.umin, a.umax, constant.umin) && exclude(a.smin, a.smax, int64_t(constant.umin));
}

bool share_a_bit(uint64_t seen, Range& a, Range& b) {
  const uint64_t possible = (a.bits.value | a.bits.mask) & (b.bits.value | b.bits.mask) & seen;
  if (possible == 0) return false;
  if (std::has_single_bit(possible)) {
    for (Range* range : {&a, &b}) {
      range->bits.value |= possible;
      range->bits.mask &= ~possible;
    }
  }
  return true;
}

bool share_no_bit(uint64_t seen, Range& a, Range& b) {
  const uint64_t ones_a = a.bits.value & seen;
  const uint64_t ones_b = b.bits.value & seen;
  if (ones_a & ones_b) return false;
  a.bits.mask &= ~ones_b;
  b.bits.mask &= ~ones_a;
  return true;
}

bool narrow(Relation relation, Width width, Range& a, Range& b) {
  const uint64_t seen = width == Width::k64 ? ~uint64_t{0} : kLowHalf;
  const bool strict = relation == Relation::kGt || relation == Relation::kSgt;
  switch (relation) {
    case Relation::kEq:
      return make_equal(width, a, b);
    case Relation::kNe: {
      const Range old_a = a;
      return exclude_constant(width, a, b) && exclude_constant(width, b, old_a);
    }
    case Relation::kGt:
    case Relation::kGe:
      return width == Width::k64 ? order(a.umin, a.umax, b.umin, b.umax, strict)
                                 : order(a.u32_min, a.u32_max, b.u32_min, b.u32_max, strict);
    case Relation::kSgt:
    case Relation::kSge:
      return width == Width::k64 ? order(a.smin, a.smax, b.smin, b.smax, strict)
                                 : order(a.s32_min, a.s32_max, b.s32_min, b.s32_max, strict);
    case Relation::kSomeBit:
      return share_a_bit(seen, a, b);
    case Relation::kNoBit:
      return share_no_bit(seen, a, b);
  }
  return true;
}

}  // namespace

bool refine(JumpOp op, Width width, Range& dst, Range& src, bool taken) {
  const Comparison comparison = normalise(op, taken);
  Range& a = comparison.swapped ? src : dst;
  Range& b = comparison.swapped ? dst : src;
  return narrow(comparison.relation, width, a, b) && sync(a) && sync(b);
}

std::optional<bool> outcome(JumpOp op, Width width, const Range& dst, const Range& src) {
  Range a = dst;
  Range b = src;
  if (!refine(op, width, a, b, true)) return false;
  a = dst;
  b = src;
  if (!refine(op, width, a, b, false)) return true;
  return std::nullopt;
}

}  // namespace xnic::compile::verify
