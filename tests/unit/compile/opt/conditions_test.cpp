// SPDX-License-Identifier: Apache-2.0
// Conditions in the form that needs the fewest operations before them.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

// r4: the packet's length. `length` stands where it is compared.
std::string compare_length(const std::string& length) {
  return after("r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r4 = r3\n r4 -= r2\n" + length +
               "r0 = 2\n exit\n out: r0 = 1\n exit");
}

TEST(Conditions, TheLengthComparedWithAConstantIsAConditionOnThePacket) {
  EXPECT_EQ(compare_length("if r4 s< 99 goto out\n").substr(0, 22), "b0\n  if packet < 99 go");
  EXPECT_EQ(compare_length("if r4 <= 99 goto out\n").substr(0, 23), "b0\n  if packet < 100 go");
  EXPECT_NE(compare_length("if r4 >= 99 goto out\n").find("if packet >= 99 "), std::string::npos);
  EXPECT_NE(compare_length("if r4 s> 99 goto out\n").find("if packet >= 100 "), std::string::npos);
}

// Its sign extension from 32 bits is itself: a length has 16 bits.
TEST(Conditions, TheLengthNeedsNoSignExtension) {
  EXPECT_EQ(compare_length("r4 <<= 32\n r4 s>>= 32\n if r4 s< 99 goto out\n").substr(0, 22), "b0\n  if packet < 99 go");
}

TEST(Conditions, TheLengthComparedWithANegativeNumberOrForEqualityIsANumber) {
  EXPECT_EQ(compare_length("if r4 s< -1 goto out\n").find("if packet <"), std::string::npos);
  EXPECT_EQ(compare_length("if r4 == 99 goto out\n").find("if packet <"), std::string::npos);
  // Less a constant it may be negative.
  EXPECT_EQ(compare_length("r4 -= 20\n if r4 < 99 goto out\n").find("if packet <"), std::string::npos);
}

constexpr const char* kExtended = R"(
    r2 = *(u32 *)(r1 +12)
    r3 = *(u32 *)(r1 +16)
    r2 <<= 32
    r2 s>>= 32
    r3 <<= 32
    r3 s>>= 32
    r0 = 1
    if r2 s> r3 goto out
    r0 = 2
    out: exit)";

TEST(Conditions, SignExtendedOperandsCompareIn32BitsWithoutTheExtension) {
  const std::string text = after(kExtended);
  EXPECT_EQ(text.find("sext32"), std::string::npos) << text;
  EXPECT_NE(text.find(" ws> "), std::string::npos) << text;
  EXPECT_NE(after(kExtended, {.fold = false}), text);
}

// One side with more bits than the extension leaves: the comparison stays in 64 bits.
TEST(Conditions, AnExtendedOperandAgainstAWideOneStays) {
  const std::string text = after(R"(
    r6 = r1
    call bpf_ktime_get_ns
    r2 = *(u32 *)(r6 +12)
    r2 <<= 32
    r2 s>>= 32
    r3 = r0
    r0 = 1
    if r2 s> r3 goto out
    r0 = 2
    out: exit)");
  EXPECT_NE(text.find("sext32"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
