// SPDX-License-Identifier: Apache-2.0
#include "base/result.hpp"

#include <gtest/gtest.h>

#include "base/bytes.hpp"
#include "base/check.hpp"
#include "base/rng.hpp"

namespace xnic::base {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return make_error(ErrorKind::kBadInput, "half", "{} is odd", value);
  return value / 2;
}

Result<int> quarter(int value) {
  XNIC_ASSIGN(int once, half(value));
  XNIC_TRY(half(once));
  return half(once);
}

TEST(Result, CarriesTheErrorThroughTheMacros) {
  EXPECT_EQ(*quarter(12), 3);
  auto odd = quarter(6);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().message(), "half: 3 is odd");
}

TEST(CheckDeathTest, AbortsWithTheCondition) { EXPECT_DEATH(CHECK(1 == 2), "CHECK\\(1 == 2\\) failed"); }

TEST(Bytes, LoadsBigEndianUnaligned) {
  const uint8_t bytes[] = {0xff, 0x12, 0x34, 0x56, 0x78};
  EXPECT_EQ(load_be<uint32_t>(bytes + 1), 0x12345678u);
  EXPECT_EQ(load_le<uint16_t>(bytes + 1), 0x3412u);
}

TEST(Rng, RepeatsFromItsSeed) {
  Rng a(7);
  Rng b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

}  // namespace
}  // namespace xnic::base
