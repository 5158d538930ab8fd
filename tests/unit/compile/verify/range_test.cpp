// SPDX-License-Identifier: Apache-2.0
// Soundness of the numeric domain: exhaustively for tnums of 4 bits, at random for ranges.
#include "compile/verify/range.hpp"

#include <gtest/gtest.h>

#include "range_oracle.hpp"

namespace xnic::compile::verify {
namespace {

using namespace testing;  // NOLINT: the oracle of this folder

constexpr unsigned kSmallBits = 4;

std::vector<Tnum> small_tnums() {
  std::vector<Tnum> all;
  for (uint64_t mask = 0; mask < (1u << kSmallBits); ++mask)
    for (uint64_t value = 0; value < (1u << kSmallBits); ++value)
      if ((value & mask) == 0) all.push_back({value, mask});
  return all;
}

std::vector<uint64_t> members(Tnum t) {
  std::vector<uint64_t> all;
  for (uint64_t v = 0; v < (1u << kSmallBits); ++v)
    if (t.contains(v)) all.push_back(v);
  return all;
}

// The smallest tnum of a set: the best that any operation can give.
Tnum best(const std::vector<uint64_t>& values) {
  Tnum t = Tnum::constant(values.front());
  for (uint64_t v : values) t = tnum_union(t, Tnum::constant(v));
  return t;
}

TEST(Tnum, BinaryOperationsContainEveryResultOfFourBits) {
  struct Case {
    const char* name;
    Tnum (*abstract)(Tnum, Tnum);
    uint64_t (*concrete)(uint64_t, uint64_t);
    bool exact;
  };
  const Case cases[] = {
      {"add", tnum_add, [](uint64_t a, uint64_t b) { return a + b; }, true},
      {"sub", tnum_sub, [](uint64_t a, uint64_t b) { return a - b; }, true},
      {"mul", tnum_mul, [](uint64_t a, uint64_t b) { return a * b; }, false},
      {"and", tnum_and, [](uint64_t a, uint64_t b) { return a & b; }, true},
      {"or", tnum_or, [](uint64_t a, uint64_t b) { return a | b; }, true},
      {"xor", tnum_xor, [](uint64_t a, uint64_t b) { return a ^ b; }, true},
  };
  for (const Case& c : cases) {
    for (Tnum a : small_tnums()) {
      for (Tnum b : small_tnums()) {
        std::vector<uint64_t> results;
        for (uint64_t x : members(a))
          for (uint64_t y : members(b)) results.push_back(c.concrete(x, y));
        const Tnum result = c.abstract(a, b);
        ASSERT_EQ(result.value & result.mask, 0u) << c.name;
        ASSERT_TRUE(tnum_subsumes(result, best(results)))
            << c.name << " " << a.value << "/" << a.mask << " " << b.value << "/" << b.mask;
        ASSERT_TRUE(!c.exact || result == best(results)) << c.name;
      }
    }
  }
}

TEST(Tnum, IntersectionUnionAndNearestMembersAreExactForFourBits) {
  for (Tnum a : small_tnums()) {
    for (Tnum b : small_tnums()) {
      std::vector<uint64_t> both;
      for (uint64_t v : members(a))
        if (b.contains(v)) both.push_back(v);
      ASSERT_EQ(tnum_disjoint(a, b), both.empty());
      ASSERT_TRUE(both.empty() || tnum_intersect(a, b) == best(both));
      ASSERT_TRUE(tnum_subsumes(tnum_union(a, b), a) && tnum_subsumes(tnum_union(a, b), b));
    }
    for (uint64_t x = 0; x < 2u << kSmallBits; ++x) {
      std::optional<uint64_t> above, below;
      for (uint64_t v : members(a)) {
        if (v >= x && !above) above = v;
        if (v <= x) below = v;
      }
      ASSERT_EQ(tnum_at_least(a, x), above);
      ASSERT_EQ(tnum_at_most(a, x), below);
    }
  }
}

TEST(Tnum, ShiftsAndExtensionsFollowEachMember) {
  for (Tnum a : small_tnums()) {
    const Tnum high = {a.value << 60, a.mask << 60};
    for (unsigned k = 0; k < 64; ++k) {
      for (uint64_t v : members(a)) {
        ASSERT_TRUE(tnum_shl(a, k).contains(v << k));
        ASSERT_TRUE(tnum_shr(high, k).contains((v << 60) >> k));
        ASSERT_TRUE(tnum_sar(high, k).contains(uint64_t(int64_t(v << 60) >> k)));
      }
    }
    for (uint64_t v : members(a)) {
      ASSERT_TRUE(tnum_sign_extend(a, 4).contains(uint64_t(int64_t(v << 60) >> 60)));
      ASSERT_TRUE(tnum_low(a, 3).contains(v & 7));
    }
  }
}

TEST(Tnum, RangeIsTheSmallestThatContainsTheInterval) {
  for (uint64_t low = 0; low < 40; ++low) {
    std::vector<uint64_t> values;
    for (uint64_t high = low; high < 40; ++high) {
      values.push_back(high);
      for (uint64_t v : values) ASSERT_TRUE(tnum_range(low, high).contains(v));
    }
  }
  EXPECT_EQ(tnum_range(8, 11), (Tnum{8, 3}));
  EXPECT_EQ(tnum_range(0, ~uint64_t{0}), Tnum::unknown());
}

TEST(Range, SyncKeepsEveryMemberAndNeverWidens) {
  base::Rng rng(1);
  for (int i = 0; i < 300'000; ++i) {
    const Sample sample = random_sample(rng);
    Range range = sample.range;
    ASSERT_TRUE(sync(range));
    for (uint64_t v : sample.members) ASSERT_TRUE(range.contains(v)) << std::hex << v;
    ASSERT_TRUE(subsumes(sample.range, range));
  }
}

TEST(Range, SyncFindsContradictions) {
  Range range = unsigned_range(8, 11);
  range.bits = {4, 3};  // 4..7
  EXPECT_FALSE(sync(range));
  range = {};
  range.umin = 5;
  range.umax = 4;
  EXPECT_FALSE(sync(range));
  range = unsigned_range(0x100000000, 0x100000010);
  range.u32_min = 0x20;
  EXPECT_FALSE(sync(range));
}

TEST(Range, SyncDeducesEachPartFromTheOthers) {
  Range range = unsigned_range(3, 10);
  EXPECT_EQ(range.smax, 10);
  EXPECT_EQ(range.u32_min, 3u);
  EXPECT_EQ(range.s32_max, 10);
  EXPECT_EQ(range.bits, (Tnum{0, 15}));

  range = signed_range(-8, -1);
  EXPECT_EQ(range.umin, uint64_t(-8));
  EXPECT_EQ(range.s32_max, -1);
  EXPECT_EQ(range.bits, (Tnum{uint64_t(-8), 7}));

  range = {};  // crosses zero as a signed number, and is not among the positives
  range.smin = -5;
  range.smax = 5;
  range.umin = 100;
  ASSERT_TRUE(sync(range));
  EXPECT_EQ(range.umin, uint64_t(-5));
  EXPECT_EQ(range.smax, -1);

  range = unsigned_range(0xfffffff0, 0x100000010);  // the low half crosses zero: known as a signed number
  EXPECT_EQ(range.s32_min, -16);
  EXPECT_EQ(range.s32_max, 16);

  range = {};
  range.bits = {1, ~uint64_t{3}};  // ≡ 1 (mod 4)
  range.umin = 6;
  range.umax = 24;
  ASSERT_TRUE(sync(range));
  EXPECT_EQ(range.umin, 9u);
  EXPECT_EQ(range.umax, 21u);
}

TEST(Range, JoinContainsBothAndSubsumesIsReflexive) {
  base::Rng rng(2);
  for (int i = 0; i < 100'000; ++i) {
    const Sample a = random_sample(rng);
    const Sample b = random_sample(rng);
    const Range both = join(a.range, b.range);
    ASSERT_TRUE(subsumes(both, a.range) && subsumes(both, b.range));
    for (uint64_t v : a.members) ASSERT_TRUE(both.contains(v));
    for (uint64_t v : b.members) ASSERT_TRUE(a.range.contains(v) || !subsumes(a.range, b.range));
  }
  EXPECT_FALSE(subsumes(Range::constant(4), Range::constant(5)));
  EXPECT_FALSE(subsumes(unsigned_range(0, 4), unsigned_range(0, 5)));
}

}  // namespace
}  // namespace xnic::compile::verify
