// SPDX-License-Identifier: Apache-2.0
// Text and operations: each is the other's inverse; what is no operation is refused.
#include <gtest/gtest.h>

#include "all_forms.hpp"
#include "arch/hxdp/codec.hpp"
#include "arch/hxdp/text.hpp"

namespace xnic::arch::hxdp {
namespace {

using Kind = Argument::Kind;

std::vector<CallSite> sites() {
  return {{.helper = 1, .args = {Argument{Kind::kMap, 0, 2, 0}, Argument{Kind::kRegisterBytes, 4, 0, 0}}},
          {.helper = 28,
           .args = {Argument{}, Argument{Kind::kConstant, 0, 0, -5}, Argument{Kind::kStack, 0, 0, 512},
                    Argument{Kind::kPacket, 0, 0, 14}, Argument{Kind::kRegister, 9, 0, 0}}},
          {.helper = 2,
           .args = {Argument{Kind::kMap, 0, 0, 0}, Argument{Kind::kConstantBytes, 0, 0, int64_t(1) << 60},
                    Argument{Kind::kMapValue, 0, 3, 8}, Argument{Kind::kContext, 0, 0, 0}}}};
}

TEST(HxdpAssemble, EveryFormSurvivesTheWayThroughText) {
  std::vector<CallSite> table = sites();
  for (const Op& op : all_forms()) {
    const std::string text = to_text(op, table);
    const auto back = assemble_op(text, table);
    ASSERT_TRUE(back.has_value()) << text << ": " << back.error().message();
    EXPECT_EQ(encode(*back), encode(op)) << text << " became " << to_text(*back, table);
  }
  EXPECT_EQ(table.size(), sites().size()) << "no call site was added";
}

TEST(HxdpAssemble, CallSitesSurviveTheWayThroughText) {
  const std::vector<CallSite> table = sites();
  for (uint16_t i = 0; i < table.size(); i++) {
    std::vector<CallSite> found;
    const auto back = assemble_op(to_text(Call{i, true, 3}, table), found);
    ASSERT_TRUE(back.has_value()) << back.error().message();
    EXPECT_EQ(*back, Op(Call{0, true, 3}));
    EXPECT_EQ(found, std::vector<CallSite>{table[i]});
  }
}

TEST(HxdpAssemble, RowsAreReadFromAListing) {
  Image image;
  ASSERT_TRUE(assemble(R"(
   0 | r1 = r2 | r3   | r4 = packet2[12].be.spec | if packet < 14 goto 2  ; 7: source | text
   1 | r1 = r2 | -5   | w5 = w5 | 3 | -
   2 | exit 1
)",
                       image)
                  .has_value());
  ASSERT_EQ(image.rows.size(), 3u);
  EXPECT_EQ(image.rows[0].lanes[0], Op(Alu{AluOp::kOr, Width::k64, 1, 2, Reg(3)}));
  EXPECT_EQ(image.rows[0].lanes[2], Op(BranchPacket{false, 14, 2}));
  EXPECT_EQ(image.rows[1].lanes[0], Op(Alu{AluOp::kOr, Width::k64, 1, 2, Imm(-5)}));
  EXPECT_EQ(image.slots.size(), 3u);
}

TEST(HxdpAssemble, TellsAnOrFromTheNextOperation) {
  Image image;
  ASSERT_TRUE(assemble("r1 = r2 | r3 = 4 | w5 = w6 | w7 = 1\nr1 = r2 | - | exit w0", image).has_value());
  EXPECT_EQ(image.rows[0].lanes[0], Op(Move{Width::k64, 1, Reg(2)}));
  EXPECT_EQ(image.rows[0].lanes[1], Op(Move{Width::k64, 3, Imm(4)}));
  EXPECT_EQ(image.rows[0].lanes[3], Op(Move{Width::k32, 7, Imm(1)}));
  EXPECT_EQ(image.rows[1].lanes[2], Op(ExitRegister{0}));
}

TEST(HxdpAssemble, RefusesWhatIsNoOperation) {
  std::vector<CallSite> table;
  for (const char* text : {"", "r16 = 1", "r1 = ", "r1 = r2 ? r3", "mem4[r1] = 3", "if r1 goto 3",
                           "call no_such_helper()", "exit", "exit 1 2", "packet2[x]", "goto", "r1 = fold r2"}) {
    const auto op = assemble_op(text, table);
    EXPECT_FALSE(op.has_value()) << text;
    if (!op) {
      EXPECT_EQ(op.error().kind, base::ErrorKind::kBadInput);
    }
  }
  Image image;
  EXPECT_FALSE(assemble("1 | exit 1", image).has_value()) << "rows are numbered from 0";
  EXPECT_FALSE(assemble("r1 = 1 | r2 = 1 | r3 = 1 | r4 = 1 | r5 = 1", image).has_value()) << "four lanes";
  const auto wrong = assemble("exit 1\nexit 1\nr1 + 2", image);
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message().find("line 3"), std::string::npos) << wrong.error().message();
}

}  // namespace
}  // namespace xnic::arch::hxdp
