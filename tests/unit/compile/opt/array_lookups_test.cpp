// SPDX-License-Identifier: Apache-2.0
// Look-ups in arrays: an address where the index is constant, never null where it is in range.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

// Counts in element `index` of map 0, an array of 16 entries of 16 bytes.
std::string count_in(const std::string& index, const LiftOptions& options = {}) {
  return after(index + R"(
    *(u32 *)(r10 -4) = r6
    r2 = r10
    r2 += -4
    r1 = map[0]
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 +8)
    r1 += 1
    *(u64 *)(r0 +8) = r1
    out: r0 = 2
    exit)",
               options, form_memory_additions);
}

TEST(ArrayLookups, AConstantIndexGivesAnAddressAndNoBranch) {
  const std::string text = count_in("r6 = 3\n");
  EXPECT_EQ(text.find("map_lookup_elem"), std::string::npos) << text;
  EXPECT_EQ(text.find("if "), std::string::npos) << text;
  EXPECT_NE(text.find("[0:56]"), std::string::npos) << text;  // 3 x 16 + 8
}

TEST(ArrayLookups, AnIndexBeyondTheArrayIsLookedUp) {
  const std::string text = count_in("r6 = 16\n");
  EXPECT_NE(text.find("map_lookup_elem"), std::string::npos) << text;
  EXPECT_NE(text.find("if "), std::string::npos) << text;
}

TEST(ArrayLookups, AnIndexWithFewEnoughBitsIsAlwaysFound) {
  const std::string text = count_in("r6 = *(u32 *)(r1 +16)\n r6 &= 15\n");
  EXPECT_NE(text.find("map_lookup_elem"), std::string::npos) << text;
  EXPECT_EQ(text.find("if "), std::string::npos) << text;
}

TEST(ArrayLookups, AnIndexThatMayBeTooLargeMayMiss) {
  EXPECT_NE(count_in("r6 = *(u32 *)(r1 +16)\n r6 &= 31\n").find("if "), std::string::npos);
}

TEST(ArrayLookups, TheSwitchTurnsBothOff) {
  const std::string text = count_in("r6 = 3\n", {.array_lookups = false});
  EXPECT_NE(text.find("map_lookup_elem"), std::string::npos) << text;
  EXPECT_NE(text.find("if "), std::string::npos) << text;
}

// A hash of the same sizes can always miss.
TEST(ArrayLookups, OnlyInArrays) {
  const std::string text = after(R"(
    r6 = 3
    *(u64 *)(r10 -8) = r6
    r2 = r10
    r2 += -8
    r1 = map[1]
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 +8)
    out: r0 = 2
    exit)");
  EXPECT_NE(text.find("if "), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
