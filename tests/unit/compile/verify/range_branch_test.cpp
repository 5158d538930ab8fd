// SPDX-License-Identifier: Apache-2.0
// Comparisons over ranges: no member is lost on the side it takes, and known outcomes are found.
#include <gtest/gtest.h>

#include "compile/verify/range.hpp"
#include "range_oracle.hpp"

namespace xnic::compile::verify {
namespace {

using namespace testing;  // NOLINT: the oracle of this folder

TEST(RangeBranch, KeepsEveryMemberOnTheSideItTakes) {
  base::Rng rng(6);
  for (int i = 0; i < 40'000; ++i) {
    const Sample a = random_sample(rng);
    Sample b = random_sample(rng);
    if (rng.chance(1, 3)) b = a;
    for (JumpOp op : kAllJumps) {
      for (Width width : kWidths) {
        Range taken_a = a.range, taken_b = b.range, other_a = a.range, other_b = b.range;
        const bool can_be_taken = refine(op, width, taken_a, taken_b, true);
        const bool can_fall_through = refine(op, width, other_a, other_b, false);
        const auto known = outcome(op, width, a.range, b.range);
        for (uint64_t x : a.members) {
          for (uint64_t y : b.members) {
            const bool taken = concrete_jump(op, width, x, y);
            ASSERT_EQ(known.value_or(taken), taken) << int(op) << std::hex << " " << x << " " << y;
            ASSERT_TRUE(taken ? can_be_taken : can_fall_through) << int(op) << std::hex << " " << x << " " << y;
            ASSERT_TRUE((taken ? taken_a : other_a).contains(x)) << int(op) << std::hex << " " << x << " " << y;
            ASSERT_TRUE((taken ? taken_b : other_b).contains(y)) << int(op) << std::hex << " " << x << " " << y;
          }
        }
      }
    }
  }
}

// All pairs of intervals within -4..4: the outcome is known exactly when all pairs of numbers agree.
TEST(RangeBranch, OutcomeOfSmallIntervalsIsKnownExactlyWhenAllMembersAgree) {
  for (int64_t a = -4; a <= 4; ++a)
    for (int64_t b = a; b <= 4; ++b)
      for (int64_t c = -4; c <= 4; ++c)
        for (int64_t d = c; d <= 4; ++d)
          for (JumpOp op : {JumpOp::kEq, JumpOp::kNe, JumpOp::kSgt, JumpOp::kSge, JumpOp::kSlt, JumpOp::kSle})
            for (Width width : kWidths) {
              bool any_true = false, any_false = false;
              for (int64_t x = a; x <= b; ++x)
                for (int64_t y = c; y <= d; ++y)
                  (concrete_jump(op, width, uint64_t(x), uint64_t(y)) ? any_true : any_false) = true;
              const auto known = outcome(op, width, signed_range(a, b), signed_range(c, d));
              ASSERT_EQ(known.has_value(), any_true != any_false)
                  << int(op) << " " << a << ".." << b << " " << c << ".." << d;
              ASSERT_EQ(known.value_or(any_true), any_true);
            }
}

TEST(RangeBranch, NarrowsBothSides) {
  Range a;
  Range b = unsigned_range(10, 20);
  ASSERT_TRUE(refine(JumpOp::kLt, Width::k64, a, b, true));
  EXPECT_EQ(a.umax, 19u);
  a = unsigned_range(15, 40);
  b = unsigned_range(10, 20);
  ASSERT_TRUE(refine(JumpOp::kGt, Width::k64, a, b, false));  // a <= b
  EXPECT_EQ(a.umax, 20u);
  EXPECT_EQ(b.umin, 15u);
  a = unsigned_range(0, 8);
  b = Range::constant(0);
  ASSERT_TRUE(refine(JumpOp::kNe, Width::k64, a, b, true));
  EXPECT_EQ(a.umin, 1u);
  a = {};
  b = Range::constant(7);
  ASSERT_TRUE(refine(JumpOp::kSet, Width::k64, a, b, false));
  EXPECT_EQ(a.bits, (Tnum{0, ~uint64_t{7}}));
  b = Range::constant(8);
  ASSERT_TRUE(refine(JumpOp::kSet, Width::k64, a, b, true));
  EXPECT_EQ(a.bits.value, 8u);
  a = {};
  b = Range::constant(5);
  ASSERT_TRUE(refine(JumpOp::kEq, Width::k32, a, b, true));
  EXPECT_EQ(a.u32_min, 5u);
  EXPECT_EQ(a.u32_max, 5u);
  EXPECT_EQ(a.umax, 0xffffffff00000005u);
  a = zero_extend_bytes(a, 4);
  EXPECT_EQ(a, Range::constant(5));
}

TEST(RangeBranch, ImpossibleSidesAreRefused) {
  Range a = unsigned_range(0, 9);
  Range b = Range::constant(10);
  EXPECT_FALSE(refine(JumpOp::kGe, Width::k64, a, b, true));
  EXPECT_EQ(outcome(JumpOp::kSet, Width::k64, unsigned_range(0, 7), Range::constant(8)), false);
  EXPECT_EQ(outcome(JumpOp::kGt, Width::k64, Range{}, Range::constant(~uint64_t{0})), false);
  EXPECT_EQ(outcome(JumpOp::kGe, Width::k32, Range{}, Range::constant(0)), true);
}

}  // namespace
}  // namespace xnic::compile::verify
