// SPDX-License-Identifier: Apache-2.0
// Constants, identities and chains fold as values are made.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kChain = R"(
    r2 = *(u32 *)(r1 +12)
    r2 *= 8
    r2 += 3
    r2 += 4
    w2 &= -1
    r0 = r2
    exit)";

TEST(Fold, ChainsOfConstantsBecomeOne) {
  EXPECT_EQ(after(kChain), "b0\n  exit ((ctx4[12] << 3) + 7)\n");
  EXPECT_EQ(after(kChain, {.fold = false}), "b0\n  exit ((((ctx4[12] * 8) + 3) + 4) w& 4294967295)\n");
}

TEST(Fold, KeepsMasksThatMayChangeBits) {
  EXPECT_EQ(after(R"(
    r2 = *(u32 *)(r1 +12)
    r2 += 1
    w2 = w2
    r0 = r2
    r0 >>= 1
    exit)"),
            "b0\n  exit (((ctx4[12] + 1) & 4294967295) >> 1)\n");
}

TEST(Fold, ShiftsLookAtTheLowBitsOfTheirAmount) {
  EXPECT_EQ(after(R"(
    r2 = *(u32 *)(r1 +12)
    r3 = *(u32 *)(r1 +16)
    r3 &= 63
    r2 <<= r3
    r0 = r2
    exit)"),
            "b0\n  exit (ctx4[12] << ctx4[16])\n");
}

TEST(Fold, DivisionByZeroHasItsDefinedResult) {
  EXPECT_EQ(after(R"(
    r2 = 0
    r0 = 9
    r0 /= r2
    exit)"),
            "b0\n  exit 0\n");
}

}  // namespace
}  // namespace xnic::compile::opt::testing
