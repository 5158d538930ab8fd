// SPDX-License-Identifier: Apache-2.0
// Branches that the path has decided disappear.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kChecks = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 +0)
    exit
    out: r0 = 1
    exit)";

TEST(Thread, AShorterBoundsCheckBehindALongerOneDisappears) {
  EXPECT_EQ(after(kChecks), "b0\n  if packet < 34 goto b2 else b1\nb1\n  exit packet1[0]\nb2\n  exit 1\n");
  EXPECT_NE(after(kChecks, {.thread = false}).find("if packet < 14"), std::string::npos);
}

TEST(Thread, ALongerOneBehindAShorterOneStays) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 +33)
    exit
    out: r0 = 1
    exit)");
  EXPECT_NE(text.find("if packet < 14"), std::string::npos) << text;
  EXPECT_NE(text.find("if packet < 34"), std::string::npos) << text;
}

TEST(Thread, AnEqualityDecidesLaterComparisons) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +12)
    r0 = 1
    if r2 != 5 goto out
    if r2 > 6 goto out
    r0 = 2
    out: exit)");
  EXPECT_EQ(text.find("> 6"), std::string::npos) << text;
}

// After the packet's bounds moved, what was checked before says nothing.
TEST(Thread, ChecksBeforeAMoveOfTheBoundsDoNotCount) {
  const std::string text = after(R"(
    r6 = r1
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r2 = 20
    call bpf_xdp_adjust_head
    if r0 != 0 goto out
    r2 = *(u32 *)(r6 +0)
    r3 = *(u32 *)(r6 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 +33)
    exit
    out: r0 = 1
    exit)");
  EXPECT_NE(text.find("packet < 34", text.find("packet < 34") + 1), std::string::npos) << text;
}

// A guess needs to know what was called; the result of an atomic operation is no call's, also where there are none.
TEST(Guess, BranchesOnFetchedValuesInAProgramWithoutCalls) {
  const std::string text = after(R"(
    r2 = 1
    *(u64 *)(r10 -8) = 3
    r2 = atomic_fetch_add((u64 *)(r10 -8), r2)
    r0 = 1
    if r2 == 0 goto out
    r0 = 2
    out: exit)");
  EXPECT_NE(text.find("if "), std::string::npos) << text;
  EXPECT_NE(text.find("exit 2"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
