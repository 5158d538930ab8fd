// SPDX-License-Identifier: Apache-2.0
// Rows written by hand, before and after.
#include "compile/target/hxdp/share_rows.hpp"

#include <gtest/gtest.h>

#include "arch/hxdp/text.hpp"

namespace xnic::compile::target::hxdp {
namespace {

using namespace arch::hxdp;

// Both sides as listings, so that a difference can be read.
void expect_shared(std::string_view before, std::string_view wanted, Forwarding forwarding = Forwarding::kFull) {
  Image image, expected;
  image.parameters.forwarding = forwarding;
  ASSERT_TRUE(assemble(before, image).has_value());
  ASSERT_TRUE(assemble(wanted, expected).has_value());
  share_rows(image);
  EXPECT_EQ(listing(image, false), listing(expected, false));
  EXPECT_EQ(image.slots.size(), image.rows.size());
  EXPECT_TRUE(check(image).empty()) << check(image)[0].text;
}

TEST(ShareRows, BranchesSkipRowsThatOnlyGoElsewhere) {
  expect_shared("if r1 == 0 goto 2 \n exit 1 \n goto 3 \n goto 4 \n exit 2", "if r1 == 0 goto 2 \n exit 1 \n exit 2");
}

TEST(ShareRows, EqualEndsStandOnce) {
  expect_shared("if r1 == 0 goto 3 \n r0 = 5 \n exit w0 \n r0 = 5 \n exit w0",
                "if r1 == 0 goto 1 \n r0 = 5 \n exit w0");
}

TEST(ShareRows, RowsThatLeadToDifferentPlacesStay) {
  constexpr const char* kRows = "if r1 == 0 goto 3 \n r0 = 5 \n exit 1 \n r0 = 5 \n exit 2";
  expect_shared(kRows, kRows);
}

TEST(ShareRows, OperationsInOtherLanesAreOtherRows) {
  constexpr const char* kRows = "if r1 == 0 goto 2 \n - | exit 1 \n exit 1 | -";
  expect_shared(kRows, kRows);
}

TEST(ShareRows, ARowThatFallsIntoACopyGoesToTheFirst) {
  expect_shared("if r1 == 0 goto 2 \n exit 1 \n r2 = 1 \n exit 1", "if r1 == 0 goto 2 \n exit 1 \n r2 = 1 | goto 1");
}

// A goto behind a branch that is not taken would cost a cycle; and a full row has no lane for it.
TEST(ShareRows, UnlessThatCostsTimeOrALane) {
  constexpr const char* kBranch = "if r1 == 0 goto 2 \n exit 1 \n if r3 == 0 goto 4 \n exit 1 \n exit 2";
  expect_shared(kBranch, kBranch);
  constexpr const char* kFull = "if r1 == 0 goto 2 \n exit 1 \n r2 = 1 | r3 = 1 | r4 = 1 | r5 = 1 \n exit 1";
  expect_shared(kFull, kFull);
}

// With forwarding inside lanes, the row behind a goto might read too early.
TEST(ShareRows, AddsNoGotoWhereResultsTakeTwoRows) {
  constexpr const char* kRows = "if r1 == 0 goto 2 \n exit 1 \n r2 = 1 \n exit 1";
  expect_shared(kRows, kRows, Forwarding::kLane);
}

TEST(ShareRows, LoopsAreEqualWhenTheirRowsAre) {
  expect_shared(
      "if r1 == 0 goto 3 \n r2 = r2 + 1 | if r2 < 9 goto 1 \n exit 1 \n r2 = r2 + 1 | if r2 < 9 goto 3 \n exit 1",
      "if r1 == 0 goto 1 \n r2 = r2 + 1 | if r2 < 9 goto 1 \n exit 1");
}

TEST(ShareRows, AnEndlessLoopOfGotosStaysOne) { expect_shared("goto 1 \n goto 0", "goto 0"); }

}  // namespace
}  // namespace xnic::compile::target::hxdp
