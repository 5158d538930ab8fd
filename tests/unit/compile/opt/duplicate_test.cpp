// SPDX-License-Identifier: Apache-2.0
// Joins are split, so that each path is folded with what it knows; within a budget.
#include <fmt/format.h>
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

// A branch and a loop, sixteen times: paths that have left a loop share what follows, so the graph grows with the
// program and not with its paths.
TEST(Duplicate, PathsThatLeftALoopShareWhatFollows) {
  const auto blocks = [](int times) {
    std::string text = "r6 = *(u32 *)(r1 +12)\n r0 = 0\n";
    for (int i = 0; i < times; i++) {
      text += fmt::format(
          "r2 = r6\n r2 &= {}\n if r2 == 0 goto skip{}\n r0 += {}\n skip{}: r7 = 9\n turn{}: r0 ^= r7\n r7 += -1\n"
          "if r7 != 0 goto turn{}\n",
          1 << i, i, i + 1, i, i, i);
    }
    const Lifted lifted = lift_program(text + "r0 &= 1\n exit");
    EXPECT_EQ(lifted.error, "");
    return lifted.graph->blocks.size();
  };
  EXPECT_LT(blocks(16), 600u);
  EXPECT_LT(blocks(16), 3 * blocks(8));
}

// Six functions, each of which calls the next one six times: the last is copied 6^5 times, which is refused with a line
// and the limit.
TEST(Duplicate, TooManyCopiesOfFunctionsAreRefused) {
  std::string text = "call f1\n r0 = 1\n exit\n";
  for (int f = 1; f < 7; f++) {
    text += fmt::format("f{}: r0 = 1\n", f);
    if (f < 6) {
      for (int i = 0; i < 6; i++) text += fmt::format("call f{}\n", f + 1);
    }
    if (f == 6) text += "call bpf_get_prandom_u32\n if r0 == 0 goto end\n *(u64 *)(r10 -8) = 0\n end:\n";
    text += "r0 = 0\n exit\n";
  }
  const Lifted lifted = lift_program(text);
  EXPECT_NE(lifted.error.find("more than 20000 blocks: every call of a function becomes a copy of it"),
            std::string::npos)
      << lifted.error;
  EXPECT_NE(lifted.error.find("insn "), std::string::npos) << lifted.error;
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
