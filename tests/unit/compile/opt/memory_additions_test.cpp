// SPDX-License-Identifier: Apache-2.0
// Load, add, store becomes one operation, when nothing in between may write there.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kCounter = R"(
    *(u32 *)(r10 -4) = 0
    r1 = map[0]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 +0)
    r1 += 3
    *(u64 *)(r0 +0) = r1
    out: r0 = 2
    exit)";

TEST(MemoryAdditions, ACounterIsOneOperation) {
  const std::string text = after(kCounter, {}, form_memory_additions);
  EXPECT_NE(text.find("map8[0:0] += 3\n"), std::string::npos) << text;
  EXPECT_EQ(after(kCounter).find("+= 3"), std::string::npos);
}

TEST(MemoryAdditions, NotWhenTheBytesWereWrittenSinceTheLoad) {
  const std::string text = after(R"(
    *(u32 *)(r10 -4) = 0
    r1 = map[0]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 +0)
    *(u32 *)(r0 +4) = 5
    r1 += 3
    *(u64 *)(r0 +0) = r1
    out: r0 = 2
    exit)",
                                 {}, form_memory_additions);
  EXPECT_EQ(text.find("+="), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
