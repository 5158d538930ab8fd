// SPDX-License-Identifier: Apache-2.0
// Chains become trees of least height; what is used elsewhere, or of another width, stays.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

std::string sums(const std::string& body, Pass pass = reassociate) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 40
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +0)
    r6 = *(u16 *)(r2 +2)
    r7 = *(u16 *)(r2 +4)
    r8 = *(u16 *)(r2 +6)
    )" + body + R"(
    exit
    out: r0 = 1
    exit)",
                                 {}, pass);
  const size_t at = text.find("exit (");
  return at == std::string::npos ? text : text.substr(at, text.find('\n', at) - at);
}

constexpr const char* kChain = "r5 += r6 \n r5 += r7 \n r5 += r8 \n r0 = r5";

TEST(Reassociate, FourWordsAreAddedInTwoSteps) {
  EXPECT_EQ(sums(kChain, nullptr), "exit (packet2[6] + (packet2[4] + (packet2[0] + packet2[2])))");
  EXPECT_EQ(sums(kChain), "exit ((packet2[0] + packet2[2]) + (packet2[4] + packet2[6]))");
}

// The deep operand comes last.
TEST(Reassociate, WhatIsReadyLateIsAddedLate) {
  const std::string text = sums("r5 *= r6 \n r5 *= 3 \n r5 += r6 \n r5 += r7 \n r5 += r8 \n r5 += 9 \n r0 = r5");
  EXPECT_TRUE(text.ends_with("+ ((packet2[0] * packet2[2]) * 3))") ||
              text.starts_with("exit (((packet2[0] * packet2[2]) * 3) +"))
      << text;
}

TEST(Reassociate, APartialSumThatIsUsedElsewhereStays) {
  const std::string text = sums("r5 += r6 \n r5 += r7 \n r0 = r5 \n r5 += r8 \n r0 ^= r5");
  EXPECT_NE(text.find("exit ((packet2[4] + (packet2[0] + packet2[2])) ^ "), std::string::npos) << text;
}

TEST(Reassociate, OtherOperationsAreLeaves) {
  const std::string text = sums("r5 += r6 \n r5 ^= r7 \n r5 += r8 \n r0 = r5");
  EXPECT_EQ(text, "exit (packet2[6] + (packet2[4] ^ (packet2[0] + packet2[2])))") << text;
}

// A tree of eleven words would take more registers than it saves rows.
TEST(Reassociate, LongChainsStay) {
  std::string body;
  for (int i = 0; i < 7; i++) body += fmt::format("r9 = *(u16 *)(r2 +{})\n r5 += r9\n", 8 + 2 * i);
  body += kChain;
  EXPECT_EQ(sums(body), sums(body, nullptr));
}

TEST(Reassociate, ShortChainsStay) {
  EXPECT_EQ(sums("r5 += r6 \n r5 += r7 \n r0 = r5"), "exit (packet2[4] + (packet2[0] + packet2[2]))");
}

}  // namespace
}  // namespace xnic::compile::opt::testing
