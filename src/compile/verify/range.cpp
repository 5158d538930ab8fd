// SPDX-License-Identifier: Apache-2.0
// Tristate numbers and the deduction of a range's parts from each other.
//
// sync() knows one rule for intervals: a set of consecutive numbers modulo 2^n, "from a upwards to b", cuts an interval
// in whichever view (unsigned, or signed: the same numbers with the top bit flipped). A signed interval is such a set
// for the unsigned view and the other way round; the low halves of fewer than 2^32 consecutive numbers are one for the
// 32-bit views. Bits and bounds meet in "the smallest member of the tnum that is at least x". Each step only removes
// values that contradict another part, so stopping early is sound.
#include "compile/verify/range.hpp"

#include <algorithm>
#include <bit>

namespace xnic::compile::verify {
namespace {

constexpr uint64_t kTop64 = uint64_t{1} << 63;
constexpr uint32_t kTop32 = uint32_t{1} << 31;
constexpr uint64_t kLowHalf = 0xffffffffu;
constexpr int kMaxRounds = 8;  // a fixpoint is usually reached after two

constexpr uint64_t low_mask(unsigned bits) { return bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1; }

// An interval in one view; `low > high` means empty.
template <class U>
struct Interval {
  U low;
  U high;

  // Keeps the members of the circular set a, a+1, …, b (mod 2^n), as far as the result is one interval.
  void cut(U a, U b) {
    if (a <= b) {
      low = std::max(low, a);
      high = std::min(high, b);
    } else {
      if (low > b) low = std::max(low, a);
      if (high < a) high = std::min(high, b);
    }
  }
  bool empty() const { return low > high; }
};

// The parts of a Range in unsigned form; the signed ones with their top bit flipped, which keeps their order.
struct Parts {
  Tnum bits;
  Interval<uint64_t> u64, s64;
  Interval<uint32_t> u32, s32;

  explicit Parts(const Range& r)
      : bits(r.bits),
        u64{r.umin, r.umax},
        s64{uint64_t(r.smin) ^ kTop64, uint64_t(r.smax) ^ kTop64},
        u32{r.u32_min, r.u32_max},
        s32{uint32_t(r.s32_min) ^ kTop32, uint32_t(r.s32_max) ^ kTop32} {}

  Range range() const {
    return {bits,     int64_t(s64.low ^ kTop64), int64_t(s64.high ^ kTop64), u64.low,
            u64.high, int32_t(s32.low ^ kTop32), int32_t(s32.high ^ kTop32), u32.low,
            u32.high};
  }
  bool empty() const { return u64.empty() || s64.empty() || u32.empty() || s32.empty(); }
};

// Low halves of the consecutive numbers a..b, if there are too few of them to take every value.
void cut_low_halves(Parts& p, uint64_t a, uint64_t b) {
  if (b - a > kLowHalf) return;
  p.u32.cut(uint32_t(a), uint32_t(b));
  p.s32.cut(uint32_t(a) ^ kTop32, uint32_t(b) ^ kTop32);
}

// Moves the ends of a 64-bit interval (either view: the flip does not touch the low half) to the nearest numbers whose
// low half lies in the circular set a..b. Returns false when there are none.
bool move_to_low_half(Interval<uint64_t>& interval, uint32_t a, uint32_t b) {
  const uint32_t span = b - a;
  if (uint32_t(interval.low) - a > span) {
    const uint64_t moved = interval.low + uint32_t(a - uint32_t(interval.low));
    if (moved < interval.low) return false;
    interval.low = moved;
  }
  if (uint32_t(interval.high) - a > span) {
    const uint64_t moved = interval.high - uint32_t(uint32_t(interval.high) - b);
    if (moved > interval.high) return false;
    interval.high = moved;
  }
  return !interval.empty();
}

// Moves the ends of an interval to members of the tnum; `top` is the bit that the view flips, or 0.
template <class U>
bool move_to_bits(Interval<U>& interval, Tnum bits, uint64_t top) {
  if (!(bits.mask & top)) bits.value ^= top;
  const auto low = tnum_at_least(bits, interval.low);
  const auto high = tnum_at_most(bits, interval.high);
  if (!low || !high || *low > *high) return false;
  interval = {U(*low), U(*high)};
  return true;
}

bool add_known_bits(Parts& p, Tnum known) {
  if (tnum_disjoint(p.bits, known)) return false;
  p.bits = tnum_intersect(p.bits, known);
  return true;
}

// One round of all deductions. Returns false when the range is empty.
bool deduce(Parts& p) {
  p.u64.cut(p.s64.low ^ kTop64, p.s64.high ^ kTop64);
  p.s64.cut(p.u64.low ^ kTop64, p.u64.high ^ kTop64);
  if (p.empty()) return false;
  cut_low_halves(p, p.u64.low, p.u64.high);
  cut_low_halves(p, p.s64.low, p.s64.high);
  p.u32.cut(p.s32.low ^ kTop32, p.s32.high ^ kTop32);
  p.s32.cut(p.u32.low ^ kTop32, p.u32.high ^ kTop32);
  if (p.empty()) return false;
  for (Interval<uint64_t>* interval : {&p.u64, &p.s64}) {
    if (!move_to_low_half(*interval, p.u32.low, p.u32.high)) return false;
    if (!move_to_low_half(*interval, p.s32.low ^ kTop32, p.s32.high ^ kTop32)) return false;
  }
  if (!add_known_bits(p, tnum_range(p.u64.low, p.u64.high))) return false;
  Tnum low = tnum_range(p.u32.low, p.u32.high);
  if (!add_known_bits(p, {low.value, low.mask | ~kLowHalf})) return false;
  low = tnum_low(p.bits, 32);
  return move_to_bits(p.u64, p.bits, 0) && move_to_bits(p.s64, p.bits, kTop64) && move_to_bits(p.u32, low, 0) &&
         move_to_bits(p.s32, low, kTop32);
}

}  // namespace

Tnum tnum_add(Tnum a, Tnum b) {
  // Bits differ between the smallest and the largest sum exactly where a carry is uncertain.
  const uint64_t smallest = a.value + b.value;
  const uint64_t largest = smallest + a.mask + b.mask;
  const uint64_t unknown = (smallest ^ largest) | a.mask | b.mask;
  return {smallest & ~unknown, unknown};
}

Tnum tnum_sub(Tnum a, Tnum b) {
  const uint64_t base = a.value - b.value;
  const uint64_t unknown = ((base + a.mask) ^ (base - b.mask)) | a.mask | b.mask;
  return {base & ~unknown, unknown};
}

Tnum tnum_mul(Tnum a, Tnum b) {
  // Long multiplication over the bits of a; an unknown bit gives both alternatives.
  Tnum sum = Tnum::constant(0);
  for (; (a.value | a.mask) != 0; a = tnum_shr(a, 1), b = tnum_shl(b, 1)) {
    if (a.value & 1)
      sum = tnum_add(sum, b);
    else if (a.mask & 1)
      sum = tnum_union(sum, tnum_add(sum, b));
  }
  return sum;
}

Tnum tnum_and(Tnum a, Tnum b) {
  const uint64_t ones = a.value & b.value;
  return {ones, (a.value | a.mask) & (b.value | b.mask) & ~ones};
}

Tnum tnum_or(Tnum a, Tnum b) {
  const uint64_t ones = a.value | b.value;
  return {ones, (a.mask | b.mask) & ~ones};
}

Tnum tnum_xor(Tnum a, Tnum b) {
  const uint64_t unknown = a.mask | b.mask;
  return {(a.value ^ b.value) & ~unknown, unknown};
}

Tnum tnum_shl(Tnum a, unsigned amount) { return {a.value << amount, a.mask << amount}; }
Tnum tnum_shr(Tnum a, unsigned amount) { return {a.value >> amount, a.mask >> amount}; }
Tnum tnum_sar(Tnum a, unsigned amount) {
  // An unknown sign bit spreads as unknown, a known one as itself.
  return {uint64_t(int64_t(a.value) >> amount), uint64_t(int64_t(a.mask) >> amount)};
}

Tnum tnum_intersect(Tnum a, Tnum b) {
  const uint64_t unknown = a.mask & b.mask;
  return {(a.value | b.value) & ~unknown, unknown};
}

bool tnum_disjoint(Tnum a, Tnum b) { return ((a.value ^ b.value) & ~a.mask & ~b.mask) != 0; }

Tnum tnum_union(Tnum a, Tnum b) {
  const uint64_t unknown = (a.value ^ b.value) | a.mask | b.mask;
  return {a.value & ~unknown, unknown};
}

Tnum tnum_low(Tnum a, unsigned bits) { return {a.value & low_mask(bits), a.mask & low_mask(bits)}; }

Tnum tnum_sign_extend(Tnum a, unsigned bits) { return tnum_sar(tnum_shl(a, 64 - bits), 64 - bits); }

Tnum tnum_range(uint64_t low, uint64_t high) {
  const uint64_t unknown = low_mask(unsigned(std::bit_width(low ^ high)));
  return {low & ~unknown, unknown};
}

bool tnum_subsumes(Tnum big, Tnum small) {
  return (small.mask & ~big.mask) == 0 && (small.value & ~big.mask) == big.value;
}

std::optional<uint64_t> tnum_at_least(Tnum a, uint64_t x) {
  const uint64_t wrong = (x ^ a.value) & ~a.mask;
  if (wrong == 0) return x;
  // Above the highest wrong bit x can stay. If x has a 0 there, setting it is enough; if it has a 1, the next larger
  // number has a 1 in a higher unknown bit where x has a 0.
  uint64_t step = std::bit_floor(wrong);
  if (!(a.value & step)) {
    const uint64_t higher = a.mask & ~x & ~(step | (step - 1));
    if (higher == 0) return std::nullopt;
    step = higher & -higher;
  }
  return (x & ~(step | (step - 1))) | step | (a.value & (step - 1));
}

std::optional<uint64_t> tnum_at_most(Tnum a, uint64_t x) {
  const auto mirrored = tnum_at_least({~a.value & ~a.mask, a.mask}, ~x);
  if (!mirrored) return std::nullopt;
  return ~*mirrored;
}

bool sync(Range& range) {
  Parts parts(range);
  if (parts.empty()) return false;
  for (int round = 0; round < kMaxRounds; ++round) {
    if (!deduce(parts)) return false;
    const Range next = parts.range();
    if (next == range) break;
    range = next;
  }
  return true;
}

Range widen_unknown() { return {}; }

Range unsigned_range(uint64_t low, uint64_t high) {
  Range range;
  range.umin = low;
  range.umax = high;
  sync(range);
  return range;
}

Range signed_range(int64_t low, int64_t high) {
  Range range;
  range.smin = low;
  range.smax = high;
  sync(range);
  return range;
}

Range join(const Range& a, const Range& b) {
  return {tnum_union(a.bits, b.bits),     std::min(a.smin, b.smin),       std::max(a.smax, b.smax),
          std::min(a.umin, b.umin),       std::max(a.umax, b.umax),       std::min(a.s32_min, b.s32_min),
          std::max(a.s32_max, b.s32_max), std::min(a.u32_min, b.u32_min), std::max(a.u32_max, b.u32_max)};
}

bool subsumes(const Range& big, const Range& small) {
  return tnum_subsumes(big.bits, small.bits) && big.smin <= small.smin && big.smax >= small.smax &&
         big.umin <= small.umin && big.umax >= small.umax && big.s32_min <= small.s32_min &&
         big.s32_max >= small.s32_max && big.u32_min <= small.u32_min && big.u32_max >= small.u32_max;
}

}  // namespace xnic::compile::verify
