// SPDX-License-Identifier: Apache-2.0
// A load that an earlier store covers is the stored value.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kStack = R"(
    r2 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -8) = r2
    *(u32 *)(r10 -16) = 7
    r3 = *(u64 *)(r10 -8)
    r0 = *(u16 *)(r10 -16)
    r0 += r3
    exit)";

TEST(Forward, LoadsOfStoredBytesAreTheValue) {
  EXPECT_NE(after(kStack).find("exit (ctx4[12] + 7)"), std::string::npos);
  EXPECT_NE(after(kStack, {.forward = false}).find("exit (stack8[504] + stack2[496])"), std::string::npos);
}

TEST(Forward, APartOfTheStoredBytesIsShiftedAndMasked) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -8) = r2
    r0 = *(u8 *)(r10 -7)
    exit)");
  EXPECT_NE(text.find("exit ((ctx4[12] >> 8) & 255)"), std::string::npos) << text;
}

TEST(Forward, NotWhenOnlySomeBytesWereStored) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -8) = r2
    *(u8 *)(r10 -8) = 1
    r0 = *(u32 *)(r10 -8)
    exit)");
  EXPECT_NE(text.find("exit stack4[504]"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
