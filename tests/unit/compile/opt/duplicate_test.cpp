// SPDX-License-Identifier: Apache-2.0
// Joins are split, so that each path is folded with what it knows; within a budget.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

constexpr const char* kJoin = R"(
    r2 = *(u32 *)(r1 +12)
    r6 = 1
    if r2 == 5 goto join
    r6 = 2
    join: r3 = *(u32 *)(r1 +16)
    r3 += r6
    r3 *= r3
    r3 += r6
    r3 *= r3
    r0 = r3
    exit)";

TEST(Duplicate, EachPathKnowsItsConstants) {
  const std::string text = after(kJoin);
  EXPECT_EQ(text.find(" p"), std::string::npos) << "no phi: " << text;
  EXPECT_NE(text.find("ctx4[16] + 1)"), std::string::npos) << text;
  EXPECT_NE(text.find("ctx4[16] + 2)"), std::string::npos) << text;
}

TEST(Duplicate, OffOrWithoutABudgetThereIsAJoin) {
  for (const LiftOptions& options : {LiftOptions{.duplicate = false}, LiftOptions{.growth = 0}}) {
    const std::string text = after(kJoin, options);
    EXPECT_NE(text.find("goto b3 1"), std::string::npos) << text;
    EXPECT_NE(text.find("goto b3 2"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace xnic::compile::opt::testing
