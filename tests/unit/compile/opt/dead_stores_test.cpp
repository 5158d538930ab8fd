// SPDX-License-Identifier: Apache-2.0
// Stores to stack that nothing reads.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kText = R"(
    *(u64 *)(r10 -8) = 0
    *(u64 *)(r10 -16) = 7
    *(u64 *)(r10 -24) = 8
    *(u64 *)(r10 -32) = 9
    r1 = map[1]
    r2 = r10
    r2 += -24
    r3 = r10
    r3 += -24
    r4 = 0
    call bpf_map_update_elem
    r0 = 2
    exit)";

TEST(DeadStores, OnlyWhatACallReadsStays) {
  // The value is the 16 bytes at fp-24.
  const std::string text = after(kText, {}, remove_dead_stores);
  EXPECT_EQ(text.find("stack8[504]"), std::string::npos) << text;
  EXPECT_EQ(text.find("stack8[480]"), std::string::npos) << text;
  EXPECT_NE(text.find("stack8[496] = 7"), std::string::npos) << text;
  EXPECT_NE(text.find("stack8[488] = 8"), std::string::npos) << text;
  EXPECT_NE(after(kText).find("stack8[480]"), std::string::npos);
}

TEST(DeadStores, AZeroOverAnotherValueStays) {
  const std::string text = after(R"(
    r6 = *(u32 *)(r1 +12)
    *(u64 *)(r10 -24) = r6
    *(u8 *)(r10 -24) = 0
    *(u64 *)(r10 -16) = 0
    r1 = map[1]
    r2 = r10
    r2 += -24
    r3 = r10
    r3 += -24
    r4 = 0
    call bpf_map_update_elem
    r0 = 2
    exit)",
                                 {}, remove_dead_stores);
  EXPECT_NE(text.find("stack1[488] = 0"), std::string::npos) << text;
  EXPECT_EQ(text.find("stack8[496] = 0"), std::string::npos) << "the stack starts as zero: " << text;
}

TEST(DeadStores, WhatALaterTurnOfALoopReadsStays) {
  const std::string text = after(R"(
    r6 = 0
    *(u64 *)(r10 -8) = r6
    again: r2 = *(u64 *)(r10 -8)
    r6 += 1
    *(u64 *)(r10 -8) = r6
    if r6 != 4 goto again
    r0 = r2
    exit)",
                                 {}, remove_dead_stores);
  EXPECT_NE(text.find("stack8[504] = ("), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
