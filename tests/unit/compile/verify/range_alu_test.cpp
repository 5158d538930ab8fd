// SPDX-License-Identifier: Apache-2.0
// Arithmetic over ranges: every concrete result lies inside, and the known cases are as narrow as they should be.
#include <gtest/gtest.h>

#include "compile/verify/range.hpp"
#include "range_oracle.hpp"

namespace xnic::compile::verify {
namespace {

using namespace testing;  // NOLINT: the oracle of this folder

TEST(RangeAlu, ContainsEveryConcreteResult) {
  base::Rng rng(3);
  for (int i = 0; i < 30'000; ++i) {
    const Sample a = random_sample(rng);
    const Sample b = random_sample(rng);
    for (BinaryOp op : kAllOps) {
      for (Width width : kWidths) {
        const Range result = apply(op, width, a.range, b.range);
        for (uint64_t x : a.members)
          for (uint64_t y : b.members)
            ASSERT_TRUE(result.contains(concrete(op, width, x, y)))
                << "op " << int(op) << " width " << int(width) << std::hex << " x " << x << " y " << y;
      }
    }
  }
}

TEST(RangeAlu, IsExactForConstants) {
  base::Rng rng(4);
  for (int i = 0; i < 50'000; ++i) {
    const uint64_t x = random_number(rng);
    const uint64_t y = random_number(rng);
    for (BinaryOp op : kAllOps)
      for (Width width : kWidths)
        ASSERT_EQ(apply(op, width, Range::constant(x), Range::constant(y)), Range::constant(concrete(op, width, x, y)))
            << "op " << int(op) << " width " << int(width) << std::hex << " x " << x << " y " << y;
  }
}

// All pairs of intervals within 0..12: bounds of the bitwise operations are the true ones.
TEST(RangeAlu, BitwiseBoundsAreTheTrueOnesForSmallIntervals) {
  constexpr uint64_t kEnd = 13;
  for (uint64_t a = 0; a < kEnd; ++a)
    for (uint64_t b = a; b < kEnd; ++b)
      for (uint64_t c = 0; c < kEnd; ++c)
        for (uint64_t d = c; d < kEnd; ++d) {
          uint64_t and_low = ~uint64_t{0}, and_high = 0, or_low = ~uint64_t{0}, or_high = 0;
          for (uint64_t x = a; x <= b; ++x)
            for (uint64_t y = c; y <= d; ++y) {
              and_low = std::min(and_low, x & y);
              and_high = std::max(and_high, x & y);
              or_low = std::min(or_low, x | y);
              or_high = std::max(or_high, x | y);
            }
          const Range both = apply(BinaryOp::kAnd, Width::k64, unsigned_range(a, b), unsigned_range(c, d));
          const Range either = apply(BinaryOp::kOr, Width::k64, unsigned_range(a, b), unsigned_range(c, d));
          ASSERT_EQ(both.umin, and_low);
          ASSERT_EQ(both.umax, and_high);
          ASSERT_EQ(either.umin, or_low);
          ASSERT_EQ(either.umax, or_high);
        }
}

TEST(RangeAlu, KnowsTheBoundsThatProgramsRelyOn) {
  const Range any;
  Range r = apply(BinaryOp::kAnd, Width::k64, any, Range::constant(0x0f));  // ihl
  EXPECT_EQ(r.umax, 15u);
  r = apply(BinaryOp::kLsh, Width::k64, r, Range::constant(2));
  EXPECT_EQ(r.umax, 60u);
  EXPECT_EQ(r.bits, (Tnum{0, 0x3c}));
  EXPECT_EQ(r.smax, 60);

  r = apply(BinaryOp::kRsh, Width::k32, loaded(4, false), Range::constant(28));
  EXPECT_EQ(r.umax, 15u);
  r = apply(BinaryOp::kMod, Width::k64, any, Range::constant(10));
  EXPECT_EQ(r.umax, 9u);
  r = apply(BinaryOp::kDiv, Width::k64, loaded(2, false), Range::constant(10));
  EXPECT_EQ(r.umax, 6553u);
  r = apply(BinaryOp::kSmod, Width::k64, any, Range::constant(7));
  EXPECT_EQ(r.smin, -6);
  EXPECT_EQ(r.smax, 6);
  r = apply(BinaryOp::kMul, Width::k64, unsigned_range(2, 3), unsigned_range(10, 20));
  EXPECT_EQ(r.umin, 20u);
  EXPECT_EQ(r.umax, 60u);
  r = apply(BinaryOp::kMul, Width::k64, signed_range(-3, 2), signed_range(4, 5));
  EXPECT_EQ(r.smin, -15);
  EXPECT_EQ(r.smax, 10);
  r = apply(BinaryOp::kLsh, Width::k64, Range::constant(1), unsigned_range(0, 3));
  EXPECT_EQ(r.umin, 1u);
  EXPECT_EQ(r.umax, 8u);
}

TEST(RangeAlu, SumsThatOverflowAtBothEndsStayBounded) {
  const uint64_t big = ~uint64_t{0} - 10;
  const Range r = apply(BinaryOp::kAdd, Width::k64, unsigned_range(big, big + 2), Range::constant(100));
  EXPECT_EQ(r.umin, 89u);
  EXPECT_EQ(r.umax, 91u);
  const Range s = apply(BinaryOp::kAdd, Width::k32, unsigned_range(0xfffffff0, 0xfffffff8), Range::constant(0x20));
  EXPECT_EQ(s.umin, 0x10u);
  EXPECT_EQ(s.umax, 0x18u);
  const Range d = apply(BinaryOp::kSub, Width::k64, unsigned_range(0, 5), unsigned_range(10, 20));
  EXPECT_EQ(d.smin, -20);
  EXPECT_EQ(d.smax, -5);
  EXPECT_EQ(d.umin, uint64_t(-20));
}

TEST(RangeAlu, NegationSwapsAndExtensionsFollowEachMember) {
  base::Rng rng(5);
  for (int i = 0; i < 40'000; ++i) {
    const Sample a = random_sample(rng);
    for (uint64_t v : a.members) {
      ASSERT_TRUE(negate(Width::k64, a.range).contains(0 - v));
      ASSERT_TRUE(negate(Width::k32, a.range).contains(uint32_t(0 - v)));
      for (SwapKind kind : {SwapKind::kToBe, SwapKind::kBswap}) {
        ASSERT_TRUE(swap(kind, 16, a.range).contains(__builtin_bswap16(uint16_t(v))));
        ASSERT_TRUE(swap(kind, 32, a.range).contains(__builtin_bswap32(uint32_t(v))));
        ASSERT_TRUE(swap(kind, 64, a.range).contains(__builtin_bswap64(v)));
      }
      ASSERT_TRUE(swap(SwapKind::kToLe, 16, a.range).contains(uint16_t(v)));
      ASSERT_TRUE(swap(SwapKind::kToLe, 64, a.range).contains(v));
      ASSERT_TRUE(sign_extend(Width::k64, 8, a.range).contains(uint64_t(int64_t(int8_t(v)))));
      ASSERT_TRUE(sign_extend(Width::k64, 16, a.range).contains(uint64_t(int64_t(int16_t(v)))));
      ASSERT_TRUE(sign_extend(Width::k64, 32, a.range).contains(uint64_t(int64_t(int32_t(v)))));
      ASSERT_TRUE(sign_extend(Width::k32, 8, a.range).contains(uint32_t(int32_t(int8_t(v)))));
      ASSERT_TRUE(sign_extend(Width::k32, 16, a.range).contains(uint32_t(int32_t(int16_t(v)))));
      ASSERT_TRUE(zero_extend_bytes(a.range, 1).contains(uint8_t(v)));
      ASSERT_TRUE(zero_extend_bytes(a.range, 2).contains(uint16_t(v)));
      ASSERT_TRUE(zero_extend_bytes(a.range, 4).contains(uint32_t(v)));
      ASSERT_TRUE(zero_extend_bytes(a.range, 8).contains(v));
    }
  }
}

TEST(RangeAlu, ExtensionsKeepBoundsThatFit) {
  Range r = zero_extend_bytes(unsigned_range(0x100000003, 0x100000007), 2);
  EXPECT_EQ(r.umin, 3u);
  EXPECT_EQ(r.umax, 7u);
  r = sign_extend(Width::k64, 8, unsigned_range(0xf0, 0xff));
  EXPECT_EQ(r.smin, -16);
  EXPECT_EQ(r.smax, -1);
  r = sign_extend(Width::k32, 16, signed_range(-3, 9));
  EXPECT_EQ(r.s32_min, -3);
  EXPECT_EQ(r.s32_max, 9);
  EXPECT_EQ(r.umax, 0xffffffffu);
  EXPECT_EQ(loaded(1, true).smin, -128);
  EXPECT_EQ(loaded(2, false).umax, 0xffffu);
  EXPECT_EQ(loaded(8, true), widen_unknown());
}

}  // namespace
}  // namespace xnic::compile::verify
