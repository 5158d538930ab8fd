// SPDX-License-Identifier: Apache-2.0
// Bytes put together become one load; byte order goes into it.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kBytes = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +12)
    r6 = *(u8 *)(r2 +13)
    r6 <<= 8
    r6 |= r5
    r6 = be16 r6
    r0 = r6
    exit
    out: r0 = 1
    exit)";

TEST(MergeLoads, BytesAndTheirOrderBecomeOneLoad) {
  EXPECT_NE(after(kBytes).find("exit packet2[12].be\n"), std::string::npos) << after(kBytes);
  const std::string off = after(kBytes, {.merge_loads = false});
  EXPECT_NE(off.find("exit swap16((packet1[12] | (packet1[13] << 8)))\n"), std::string::npos) << off;
}

// The second byte is read after a store that may have changed it.
TEST(MergeLoads, NotAcrossAStore) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 16
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +12)
    *(u8 *)(r2 +13) = 7
    r6 = *(u16 *)(r2 +13)
    r6 <<= 8
    r6 |= r5
    r0 = r6
    out: r0 = 1
    exit)");
  EXPECT_EQ(text.find("packet2[12]"), std::string::npos) << text;
}

// Bytes that are no neighbours.
TEST(MergeLoads, NotWithAGap) {
  const std::string text = after(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 +1)
    r6 = *(u8 *)(r2 +3)
    r6 <<= 8
    r0 |= r6
    exit
    out: r0 = 1
    exit)");
  EXPECT_NE(text.find("(packet1[1] | (packet1[3] << 8))"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
