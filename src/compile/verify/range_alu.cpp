// SPDX-License-Identifier: Apache-2.0
// Arithmetic over ranges.
//
// Each operation is computed on words of 64 and of 32 bits by the same templates. A result interval is computed with
// unlimited precision (128 bits) and kept if it is shorter than 2^n: modulo 2^n it is then a set of consecutive
// numbers, from which both the unsigned and the signed bounds follow, overflow or not. The low half of a 64-bit sum,
// product or bitwise result depends on the low halves alone, so these are computed twice and both results are kept.
#include <algorithm>
#include <bit>
#include <limits>
#include <type_traits>
#include <utility>

#include "compile/verify/range.hpp"

namespace xnic::compile::verify {
namespace {

using Int128 = __int128;

// What is known of a word of type U: 64 bits, or the low half.
template <class U>
struct Word {
  using S = std::make_signed_t<U>;
  static constexpr unsigned kBits = sizeof(U) * 8;
  Tnum bits = tnum_low(Tnum::unknown(), kBits);
  U umin = 0;
  U umax = std::numeric_limits<U>::max();
  S smin = std::numeric_limits<S>::min();
  S smax = std::numeric_limits<S>::max();

  bool is_constant() const { return umin == umax; }

  // The result is one of low..high, taken modulo 2^n.
  void limit(Int128 low, Int128 high) {
    if (high - low > Int128(std::numeric_limits<U>::max())) return;
    const U a = U(low);
    const U b = U(high);
    if (a <= b) {
      umin = std::max(umin, a);
      umax = std::min(umax, b);
    }
    if (S(a) <= S(b)) {
      smin = std::max(smin, S(a));
      smax = std::min(smax, S(b));
    }
  }
};

template <class U>
Word<U> word_of(const Range& r) {
  if constexpr (sizeof(U) == 8) return {r.bits, r.umin, r.umax, r.smin, r.smax};
  if constexpr (sizeof(U) == 4) return {tnum_low(r.bits, 32), r.u32_min, r.u32_max, r.s32_min, r.s32_max};
}

// A register whose low half is the word; its upper half is unknown, or zero.
Range range_of(const Word<uint64_t>& w) { return {w.bits, w.smin, w.smax, w.umin, w.umax}; }
Range low_half(const Word<uint32_t>& w) {
  Range r;
  r.bits = {w.bits.value, w.bits.mask | ~uint64_t{0xffffffff}};
  r.u32_min = w.umin;
  r.u32_max = w.umax;
  r.s32_min = w.smin;
  r.s32_max = w.smax;
  return r;
}
Range zero_extended(const Word<uint32_t>& w) {
  Range r = low_half(w);
  r.bits = w.bits;
  r.umax = 0xffffffff;
  sync(r);
  return r;
}

template <class U>
Word<U> add(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_low(tnum_add(a.bits, b.bits), r.kBits);
  r.limit(Int128(a.umin) + b.umin, Int128(a.umax) + b.umax);
  r.limit(Int128(a.smin) + b.smin, Int128(a.smax) + b.smax);
  return r;
}

template <class U>
Word<U> subtract(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_low(tnum_sub(a.bits, b.bits), r.kBits);
  r.limit(Int128(a.umin) - b.umax, Int128(a.umax) - b.umin);
  r.limit(Int128(a.smin) - b.smax, Int128(a.smax) - b.smin);
  return r;
}

template <class U>
Word<U> multiply(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_low(tnum_mul(a.bits, b.bits), r.kBits);
  // Unsigned 64-bit products need 128 bits without a sign; beyond 127 bits there is nothing to learn.
  if (std::bit_width(uint64_t(a.umax)) + std::bit_width(uint64_t(b.umax)) < 127)
    r.limit(Int128(a.umin) * b.umin, Int128(a.umax) * b.umax);
  const auto [low, high] =
      std::minmax({Int128(a.smin) * b.smin, Int128(a.smin) * b.smax, Int128(a.smax) * b.smin, Int128(a.smax) * b.smax});
  r.limit(low, high);
  return r;
}

// Smallest x | y for x in [a, b], y in [c, d]: the first bit, from the top, that only one minimum has and that the
// other can take with zeroes below it makes both smallest from there on (Warren, Hacker's Delight §4-3).
template <class U>
U min_or(U a, U b, U c, U d) {
  for (U bit = U(1) << (sizeof(U) * 8 - 1); bit != 0; bit >>= 1) {
    if (~a & c & bit) {
      const U raised = (a | bit) & -bit;
      if (raised <= b) return raised | c;
    } else if (a & ~c & bit) {
      const U raised = (c | bit) & -bit;
      if (raised <= d) return a | raised;
    }
  }
  return a | c;
}

// Largest x | y: the first bit that both maxima have can be given up by one of them for ones below.
template <class U>
U max_or(U a, U b, U c, U d) {
  for (U bit = U(1) << (sizeof(U) * 8 - 1); bit != 0; bit >>= 1) {
    if (!(b & d & bit)) continue;
    const U lowered_b = (b - bit) | (bit - 1);
    if (lowered_b >= a) return lowered_b | d;
    const U lowered_d = (d - bit) | (bit - 1);
    if (lowered_d >= c) return b | lowered_d;
  }
  return b | d;
}

template <class U>
Word<U> bitwise_and(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_and(a.bits, b.bits);
  // De Morgan: x & y = ~(~x | ~y).
  r.umin = U(~max_or<U>(U(~a.umax), U(~a.umin), U(~b.umax), U(~b.umin)));
  r.umax = U(~min_or<U>(U(~a.umax), U(~a.umin), U(~b.umax), U(~b.umin)));
  return r;
}

template <class U>
Word<U> bitwise_or(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_or(a.bits, b.bits);
  r.umin = min_or(a.umin, a.umax, b.umin, b.umax);
  r.umax = max_or(a.umin, a.umax, b.umin, b.umax);
  return r;
}

template <class U>
Word<U> bitwise_xor(const Word<U>& a, const Word<U>& b) {
  Word<U> r;
  r.bits = tnum_xor(a.bits, b.bits);
  r.umax = max_or(a.umin, a.umax, b.umin, b.umax);  // x ^ y <= x | y
  return r;
}

template <class U>
Word<U> shift_by(BinaryOp op, const Word<U>& a, unsigned amount) {
  Word<U> r;
  if (op == BinaryOp::kLsh) {
    r.bits = tnum_low(tnum_shl(a.bits, amount), r.kBits);
    r.limit(Int128(a.umin) << amount, Int128(a.umax) << amount);
    r.limit(Int128(a.smin) << amount, Int128(a.smax) << amount);
  } else if (op == BinaryOp::kRsh) {
    r.bits = tnum_shr(a.bits, amount);
    r.umin = a.umin >> amount;
    r.umax = a.umax >> amount;
  } else {
    r.bits = tnum_low(tnum_sar(tnum_sign_extend(a.bits, r.kBits), amount), r.kBits);
    r.smin = a.smin >> amount;
    r.smax = a.smax >> amount;
  }
  return r;
}

template <class U>
Word<U> unite(const Word<U>& a, const Word<U>& b) {
  return {tnum_union(a.bits, b.bits), std::min(a.umin, b.umin), std::max(a.umax, b.umax), std::min(a.smin, b.smin),
          std::max(a.smax, b.smax)};
}

// All amounts that are possible after masking; for a constant that is one.
template <class U>
Word<U> shift(BinaryOp op, const Word<U>& a, const Word<U>& amount) {
  const unsigned bits = a.kBits;
  const bool bounded = amount.umax < bits;
  const Tnum possible = {amount.bits.value & (bits - 1), amount.bits.mask & (bits - 1)};
  std::optional<Word<U>> all;
  for (unsigned k = bounded ? unsigned(amount.umin) : 0; k <= (bounded ? unsigned(amount.umax) : bits - 1); ++k) {
    if (!possible.contains(k)) continue;
    const Word<U> one = shift_by(op, a, k);
    all = all ? unite(*all, one) : one;
  }
  return all.value_or(Word<U>{});
}

template <class U>
Word<U> divide(const Word<U>& a, const Word<U>& b) {
  if (b.umax == 0) return word_of<U>(Range::constant(0));
  if (b.is_constant() && std::has_single_bit(b.umin)) return shift_by(BinaryOp::kRsh, a, std::countr_zero(b.umin));
  Word<U> r;
  r.umin = b.umin == 0 ? 0 : a.umin / b.umax;
  r.umax = a.umax / std::max<U>(b.umin, 1);
  return r;
}

template <class U>
Word<U> modulo(const Word<U>& a, const Word<U>& b) {
  if (b.umax == 0 || a.umax < b.umin) return a;  // a % 0 = a
  Word<U> r;
  if (a.is_constant() && b.is_constant()) {
    r.umin = r.umax = a.umin % b.umin;
    return r;
  }
  if (b.is_constant() && std::has_single_bit(b.umin)) r.bits = tnum_and(a.bits, Tnum::constant(b.umin - 1));
  r.umax = b.umin == 0 ? a.umax : std::min<U>(a.umax, b.umax - 1);
  return r;
}

template <class U>
Word<U> divide_signed(const Word<U>& a, const Word<U>& b) {
  Int128 low = 0;
  Int128 high = 0;
  bool any = b.smin <= 0 && b.smax >= 0;  // a / 0 = 0
  // On each side of zero the quotient is monotone in both operands, so its extremes are at the corners.
  const auto corners = [&](Int128 first, Int128 last) {
    if (first > last) return;
    for (const Int128 x : {Int128(a.smin), Int128(a.smax)}) {
      for (const Int128 y : {first, last}) {
        const Int128 quotient = x / y;
        low = any ? std::min(low, quotient) : quotient;
        high = any ? std::max(high, quotient) : quotient;
        any = true;
      }
    }
  };
  corners(b.smin, std::min<Int128>(b.smax, -1));
  corners(std::max<Int128>(b.smin, 1), b.smax);
  Word<U> r;
  r.limit(low, high);  // the least number divided by -1 wraps, as in the machine
  return r;
}

template <class U>
Word<U> modulo_signed(const Word<U>& a, const Word<U>& b) {
  if (b.umax == 0 || (b.smin == 0 && b.smax == 0)) return a;
  using S = typename Word<U>::S;
  Word<U> r;
  if (a.is_constant() && b.is_constant()) {
    const Int128 remainder = Int128(S(a.umin)) % S(b.umin);
    r.limit(remainder, remainder);
    return r;
  }
  Int128 low = std::min<Int128>(a.smin, 0);  // the sign is the dividend's
  Int128 high = std::max<Int128>(a.smax, 0);
  if (b.smin > 0 || b.smax < 0) {
    const auto [least, most] = b.smin > 0 ? std::pair(Int128(b.smin), Int128(b.smax))
                                          : std::pair(-Int128(b.smax), -Int128(b.smin));  // of the divisor, unsigned
    if (-least < low && high < least) return a;
    low = std::max(low, 1 - most);
    high = std::min(high, most - 1);
  }
  r.limit(low, high);
  return r;
}

template <class U>
Word<U> compute(BinaryOp op, const Word<U>& a, const Word<U>& b) {
  switch (op) {
    case BinaryOp::kAdd:
      return add(a, b);
    case BinaryOp::kSub:
      return subtract(a, b);
    case BinaryOp::kMul:
      return multiply(a, b);
    case BinaryOp::kDiv:
      return divide(a, b);
    case BinaryOp::kMod:
      return modulo(a, b);
    case BinaryOp::kSdiv:
      return divide_signed(a, b);
    case BinaryOp::kSmod:
      return modulo_signed(a, b);
    case BinaryOp::kOr:
      return bitwise_or(a, b);
    case BinaryOp::kAnd:
      return bitwise_and(a, b);
    case BinaryOp::kXor:
      return bitwise_xor(a, b);
    case BinaryOp::kLsh:
    case BinaryOp::kRsh:
    case BinaryOp::kArsh:
      return shift(op, a, b);
    case BinaryOp::kMov:
      return b;
  }
  return {};
}

// The low half of the result is a function of the low halves of the operands.
bool is_low_half_closed(BinaryOp op) {
  return op == BinaryOp::kAdd || op == BinaryOp::kSub || op == BinaryOp::kMul || op == BinaryOp::kOr ||
         op == BinaryOp::kAnd || op == BinaryOp::kXor;
}

// The low n bits of consecutive numbers a..b are consecutive again when there are fewer than 2^n of them and they do
// not wrap. Bounds are those of unsigned n-bit numbers.
struct LowBits {
  uint64_t first;
  uint64_t last;
};
std::optional<LowBits> low_bits_of(const Range& range, unsigned bits) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  if (range.umax - range.umin <= mask) return LowBits{range.umin & mask, range.umax & mask};
  if (uint64_t(range.smax) - uint64_t(range.smin) <= mask)
    return LowBits{uint64_t(range.smin) & mask, uint64_t(range.smax) & mask};
  if (uint64_t(range.u32_max - range.u32_min) <= mask) return LowBits{range.u32_min & mask, range.u32_max & mask};
  return std::nullopt;
}

int64_t sign_extend_number(uint64_t value, unsigned bits) { return int64_t(value << (64 - bits)) >> (64 - bits); }

}  // namespace

Range apply(BinaryOp op, Width width, const Range& dst, const Range& src) {
  const auto low = [&] { return compute(op, word_of<uint32_t>(dst), word_of<uint32_t>(src)); };
  if (width == Width::k32) return zero_extended(low());
  if (op == BinaryOp::kMov) return src;
  Range result = range_of(compute(op, word_of<uint64_t>(dst), word_of<uint64_t>(src)));
  if (is_low_half_closed(op)) {
    const Range half = low_half(low());
    result.bits = tnum_intersect(result.bits, half.bits);
    result.u32_min = half.u32_min;
    result.u32_max = half.u32_max;
    result.s32_min = half.s32_min;
    result.s32_max = half.s32_max;
  }
  sync(result);
  return result;
}

Range negate(Width width, const Range& range) { return apply(BinaryOp::kSub, width, Range::constant(0), range); }

Range swap(SwapKind kind, unsigned bits, const Range& range) {
  if (kind == SwapKind::kToLe) return zero_extend_bytes(range, bits / 8);
  const auto reverse = [bits](uint64_t value) { return __builtin_bswap64(value) >> (64 - bits); };
  Range result;
  result.bits = {reverse(range.bits.value), reverse(range.bits.mask)};
  sync(result);
  return result;
}

Range sign_extend(Width width, unsigned bits, const Range& range) {
  Range result;
  result.bits = tnum_sign_extend(range.bits, bits);
  const uint64_t half = uint64_t{1} << (bits - 1);
  result.smin = -int64_t(half);
  result.smax = int64_t(half - 1);
  if (const auto low = low_bits_of(range, bits)) {
    const int64_t first = sign_extend_number(low->first, bits);
    const int64_t last = sign_extend_number(low->last, bits);
    if (first <= last) {
      result.smin = first;
      result.smax = last;
    }
  }
  if (bits == 32) {
    result.smin = std::max<int64_t>(result.smin, range.s32_min);
    result.smax = std::min<int64_t>(result.smax, range.s32_max);
  }
  sync(result);
  return width == Width::k32 ? zero_extend_bytes(result, 4) : result;
}

Range zero_extend_bytes(const Range& range, unsigned bytes) {
  if (bytes == 8) return range;
  if (bytes == 4) return zero_extended(word_of<uint32_t>(range));
  Range result;
  result.bits = tnum_low(range.bits, bytes * 8);
  if (const auto low = low_bits_of(range, bytes * 8); low && low->first <= low->last) {
    result.umin = low->first;
    result.umax = low->last;
  }
  sync(result);
  return result;
}

Range loaded(unsigned bytes, bool sign) {
  return sign && bytes < 8 ? sign_extend(Width::k64, bytes * 8, {}) : zero_extend_bytes({}, bytes);
}

}  // namespace xnic::compile::verify
