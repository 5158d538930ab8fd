// SPDX-License-Identifier: Apache-2.0
// The folding steps of an Internet checksum become one operation.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kSum = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 20
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +0)
    r6 = *(u16 *)(r2 +2)
    r5 += r6
    r6 = r5
    r6 >>= 16
    r5 &= 0xffff
    r5 += r6
    r6 = r5
    r6 >>= 16
    r5 += r6
    r5 ^= -1
    *(u16 *)(r2 +8) = r5
    out: r0 = 1
    exit)";
// The second shift is by 15.
constexpr const char* kNoSum = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 20
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +0)
    r6 = *(u16 *)(r2 +2)
    r5 += r6
    r6 = r5
    r6 >>= 16
    r5 &= 0xffff
    r5 += r6
    r6 = r5
    r6 >>= 15
    r5 += r6
    r5 ^= -1
    *(u16 *)(r2 +8) = r5
    out: r0 = 1
    exit)";

TEST(Checksums, TwoFoldsAndTheInversionAreOneOperation) {
  const std::string text = after(kSum, {}, form_checksums);
  EXPECT_NE(text.find("packet2[8] = ~fold(packet2[0], packet2[2])\n"), std::string::npos) << text;
  EXPECT_EQ(after(kSum).find("fold"), std::string::npos);
}

// As compilers for cpu v1 and v2 fold a 64-bit sum: the upper half of its low 32 bits is masked before the shift.
TEST(Checksums, AWideSumIsCutToItsLow32Bits) {
  const auto fold = [](const std::string& mask) {
    return after(
        "r6 = r1\n call bpf_ktime_get_ns\n r2 = *(u32 *)(r6 +0)\n r3 = *(u32 *)(r6 +4)\n r4 = r2\n r4 += 20\n"
        "if r4 > r3 goto out\n r5 = r0\n r6 = r5\n r7 = " +
            mask +
            " ll\n r6 &= r7\n r6 >>= 16\n r5 &= 0xffff\n r5 += r6\n r6 = r5\n r6 >>= 16\n r5 += r6\n"
            "*(u16 *)(r2 +8) = r5\n out: r0 = 1\n exit",
        {}, form_checksums);
  };
  EXPECT_NE(fold("0xffff0000").find(" = fold("), std::string::npos) << fold("0xffff0000");
  EXPECT_EQ(fold("0x1ffff0000").find("fold("), std::string::npos);
  EXPECT_EQ(fold("0x7fff0000").find("fold("), std::string::npos);
}

TEST(Checksums, OnlyTheFoldOfSixteenBits) {
  const std::string text = after(kNoSum, {}, form_checksums);
  EXPECT_EQ(text.find("fold"), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
