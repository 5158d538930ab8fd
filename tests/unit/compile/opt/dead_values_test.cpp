// SPDX-License-Identifier: Apache-2.0
// Phis that nothing needs, and results that nothing reads.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kUnused = R"(
    r2 = *(u32 *)(r1 +12)
    r6 = 1
    r7 = 3
    if r2 == 5 goto join
    r6 = 2
    r7 = 4
    join: r0 = r6
    r0 += 1
    r0 *= r6
    r0 += 7
    r0 ^= r6
    exit)";

TEST(DeadValues, APhiThatNothingReadsGoes) {
  const Lifted lifted = lift_program(kUnused, {.duplicate = false});
  const auto phis = [&] {
    size_t count = 0;
    for (const Block& block : lifted.graph->blocks) count += block.phis.size();
    return count;
  };
  EXPECT_GT(phis(), 1u) << to_text(*lifted.graph);
  remove_dead_values(*lifted.graph);
  EXPECT_EQ(phis(), 1u) << to_text(*lifted.graph);
  for (const Block& block : lifted.graph->blocks) {
    if (block.end == Block::End::kGoto) {
      EXPECT_EQ(block.args.size(), 1u);
    }
  }
}

TEST(DeadValues, TheResultOfACallGoesTheCallStays) {
  const std::string text = after(R"(
    *(u64 *)(r10 -8) = 1
    r1 = map[2]
    r2 = r10
    r2 += -8
    call bpf_map_delete_elem
    r0 = 2
    exit)");
  EXPECT_NE(text.find("\n  map_delete_elem("), std::string::npos) << text;
}

TEST(DeadValues, AnExchangeKeepsItsResult) {
  const std::string text = after(R"(
    r2 = 3
    *(u64 *)(r10 -8) = 1
    r2 = atomic64_xchg((u64 *)(r10 -8), r2)
    r0 = 2
    exit)");
  EXPECT_NE(text.find(" = xchg mem8["), std::string::npos) << text;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
