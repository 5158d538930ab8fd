// SPDX-License-Identifier: Apache-2.0
// Neighbouring stores that copy neighbouring bytes, or write constants, become one.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

std::string stores(const std::string& body, Pass pass = merge_stores) {
  return after(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 40
    if r4 > r3 goto out
    )" + body + R"(
    out: r0 = 1
    exit)",
               {}, pass);
}

constexpr const char* kCopy = R"(
    r5 = *(u16 *)(r2 +20)
    r6 = *(u32 *)(r2 +22)
    *(u16 *)(r2 +0) = r5
    *(u32 *)(r2 +2) = r6)";

TEST(MergeStores, ACopyOfSixBytesIsOneStore) {
  EXPECT_NE(stores(kCopy).find("packet6[0] = packet6[20]\n"), std::string::npos) << stores(kCopy);
  EXPECT_EQ(stores(kCopy, nullptr).find("packet6"), std::string::npos);
}

TEST(MergeStores, ConstantsJoinInMemoryOrder) {
  const std::string text = stores(R"(
    *(u8 *)(r2 +6) = 1
    *(u8 *)(r2 +7) = 2)");
  EXPECT_NE(text.find("packet2[6] = 513\n"), std::string::npos) << text;
}

TEST(MergeStores, ACopyWhoseSourceIsOverwrittenStays) {
  const std::string text = stores(R"(
    r5 = *(u16 *)(r2 +2)
    r6 = *(u16 *)(r2 +4)
    *(u16 *)(r2 +4) = r5
    *(u16 *)(r2 +6) = r6
    r6 = *(u16 *)(r2 +4)
    *(u16 *)(r2 +8) = r6)");
  EXPECT_NE(text.find("packet4[4] = packet4[2]\n"), std::string::npos) << "the first two are a copy: " << text;
  EXPECT_EQ(text.find("packet6[4]"), std::string::npos) << "the third is not of it: " << text;
}

TEST(MergeStores, NotAcrossBytesInBetween) {
  const std::string text = stores(R"(
    *(u8 *)(r2 +6) = 1
    *(u8 *)(r2 +8) = 2)");
  EXPECT_NE(text.find("packet1[8] = 2\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
