// SPDX-License-Identifier: Apache-2.0
// The model refuses every bundle that the hardware has no wires for, and says where and why.
#include "exec/sim/hxdp/rules.hpp"

#include "arch/hxdp/codec.hpp"
#include "base/rng.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

std::string refusal(const isa::Image& image) {
  const auto result = check_rules(image);
  return result ? "" : result.error().message();
}

struct Case {
  const char* says;
  Rows rows;
};

TEST(HxdpRules, EachBrokenRuleIsNamedWithItsPlace) {
  const std::vector<Case> cases = {
      {"row 0 lane 4: the machine has 4 lanes", {{Nop{}, Nop{}, Nop{}, Nop{}, set(1, 1)}, {Exit{1}}}},
      {"row 0 lane 1: register 1 has two writers", {{set(1, 1), set(1, 2)}, {Exit{1}}}},
      {"reads register 16 of 16", {{copy(1, 16)}, {Exit{1}}}},
      {"writes register 17 of 16", {{set(17, 1)}, {Exit{1}}}},
      {"row 2 of 2", {{Branch{JumpOp::kEq, Width::k64, 1, Imm(0), 2}}, {Exit{1}}}},
      {"row 9 of 1", {{BranchPacket{false, 14, 9}, Exit{1}}}},
      {"row 1 lane 0: the program runs off its last row", {{set(1, 1)}, {set(1, 1)}}},
      {"stack byte 512 of 512", {{load(1, at(Space::kStack, 505, 8))}, {Exit{1}}}},
      {"no port moves 3 bytes", {{load(1, at(Space::kStack, 0, 3))}, {Exit{1}}}},
      {"no port moves 0 bytes", {{load(1, at(Space::kPacket, 0, 0))}, {Exit{1}}}},
      {"this space has no port", {{load(1, at(Space::kPacketEnd, 0, 4))}, {Exit{1}}}},
      {"no base register", {{load(1, Memory{Space::kStack, 3, 0, 8, 0})}, {Exit{1}}}},
      {"only map values have a map", {{load(1, Memory{Space::kStack, 0, 1, 8, 0})}, {Exit{1}}}},
      {"map 0 of 0", {{load(1, at(Space::kMapValue, 0, 8))}, {Exit{1}}}},
      {"map 3 of 0", {{Address{Space::kMap, 1, 3, 0}}, {Exit{1}}}},
      {"an address needs a memory", {{Address{Space::kRegister, 1, 0, 0}}, {Exit{1}}}},
      {"sign extension above 4 bytes", {{Load{1, at(Space::kStack, 0, 8), true, false, false}}, {Exit{1}}}},
      {"no byte order", {{Store{at(Space::kStack, 0, 8), Imm(1), true}}, {Exit{1}}}},
      {"4 or 8 bytes", {{AddMemory{at(Space::kStack, 0, 2), Imm(1)}}, {Exit{1}}}},
      {"4 or 8 bytes at a register",
       {{isa::Atomic{isa::AtomicOp::kAdd, false, at(Space::kStack, 0, 4), 1, 0, 0}}, {Exit{1}}}},
      {"an exchange gives the old value",
       {{isa::Atomic{isa::AtomicOp::kXchg, false, through(1, 0, 4), 1, 0, 0}}, {Exit{1}}}},
      {"byte swap of this width", {{isa::Swap{24, 1, 1}}, {Exit{1}}}},
      {"sign extension of this width", {{isa::SignExtend{Width::k32, 32, 1, 1}}, {Exit{1}}}},
      {"16 bits", {{isa::Select{JumpOp::kEq, 1, 2, 3, 40000}}, {Exit{1}}}},
      {"call site 0 of 0", {{Call{0, false, 0}}, {Exit{1}}}},
      {"no rows", {}},
  };
  for (const Case& broken : cases)
    EXPECT_NE(refusal(image_of(broken.rows)).find(broken.says), std::string::npos)
        << broken.says << " | " << refusal(image_of(broken.rows));
  EXPECT_EQ(refusal(image_of({{set(1, 1), set(2, 2)}, {Exit{1}}})), "");
}

TEST(HxdpRules, TheHelperModuleTakesOneCallOfWhatItHas) {
  isa::Image image = image_of({{Call{0, true, 1}, Call{0, true, 2}}, {Exit{1}}});
  image.call_sites = {site_of(5, {})};
  EXPECT_NE(refusal(image).find("one call a row"), std::string::npos);
  image.rows[0].lanes[1] = Nop{};
  EXPECT_EQ(refusal(image), "");
  for (uint32_t helper : {12u, 181u, 164u, 9999u}) {  // tail_call, loop, for_each_map_elem, nothing
    image.call_sites = {site_of(helper, {})};
    EXPECT_NE(refusal(image).find("the helper module has no"), std::string::npos) << helper;
  }
  image.call_sites = {site_of(5, {{Argument::Kind::kRegister, 16, 0, 0}})};
  EXPECT_NE(refusal(image).find("register 16"), std::string::npos);
  image.call_sites = {site_of(5, {{Argument::Kind::kStack, 0, 0, 513}})};
  EXPECT_NE(refusal(image).find("stack byte 513"), std::string::npos);
}

TEST(HxdpRules, LaneForwardingForbidsToReadANeighboursResultInTheNextRow) {
  isa::Image image = image_of({{set(1, 1)}, {Nop{}, copy(2, 1)}, {Exit{1}}});
  EXPECT_EQ(refusal(image), "");
  image.parameters.forwarding = isa::Forwarding::kLane;
  EXPECT_NE(refusal(image).find("reads register 1 one row after lane 0 wrote it"), std::string::npos);
  image.rows[1].lanes = {copy(2, 1)};
  EXPECT_EQ(refusal(image), "") << "the same lane may";
  isa::Image jump = image_of({{set(1, 1), Goto{2}}, {Exit{1}}, {Nop{}, copy(2, 1)}, {Exit{1}}});
  jump.parameters.forwarding = isa::Forwarding::kLane;
  EXPECT_NE(refusal(jump).find("row 2 lane 1"), std::string::npos) << "along a branch";
  isa::Image call = image_of({{set(1, 1)}, {Nop{}, Call{0, false, 0}}, {Exit{1}}});
  call.call_sites = {site_of(5, {{Argument::Kind::kRegister, 1, 0, 0}})};
  call.parameters.forwarding = isa::Forwarding::kLane;
  EXPECT_NE(refusal(call).find("row 1 lane 1"), std::string::npos) << "through the call table";
}

TEST(HxdpRules, SizesAreLimited) {
  isa::Image image = image_of({{Goto{1}}, {Exit{1}}});
  image.parameters.rows = 1;
  EXPECT_NE(refusal(image).find("2 rows for an instruction memory of 1"), std::string::npos);
  image.parameters.rows = 2;
  image.parameters.frame_bytes = 48;
  EXPECT_NE(refusal(image).find("frames of 48 bytes"), std::string::npos);
  image.parameters.frame_bytes = 64;
  image.parameters.cores = 0;
  EXPECT_NE(refusal(image).find("0 cores"), std::string::npos);
  image.parameters.cores = 1;
  image.call_sites.resize(257, site_of(5, {}));
  EXPECT_NE(refusal(image).find("257 call sites"), std::string::npos);
}

TEST(HxdpRules, ACardIsNotMadeFromABrokenImageOrWithOtherMaps) {
  Runner broken(image_of({{set(1, 1)}}));
  EXPECT_EQ(broken.card, nullptr);
  isa::Image image = image_of({{Exit{1}}});
  image.maps = {{"m", 2, 4, 8, 1}};
  Runner without(image);
  EXPECT_NE(without.error.find("made for 1 maps"), std::string::npos);
}

// Two readings of the rules, written apart, agree on random rows.
TEST(HxdpRules, AgreeWithTheMachinesTables) {
  base::Rng rng(11);
  int legal = 0;
  int illegal = 0;
  for (int i = 0; i < 300'000; ++i) {
    isa::Image image = image_of({{Nop{}}, {Exit{1}}});
    image.maps = {{"m", 2, 4, 8, 1}};
    image.call_sites = {site_of(5, {})};
    image.parameters.forwarding = rng.chance(1, 2) ? isa::Forwarding::kLane : isa::Forwarding::kFull;
    for (int op = 0; op < 3; ++op) {
      const uint64_t word = rng.next() & (rng.chance(1, 2) ? 0x0000ff3f00013fffull : ~uint64_t{0});
      const auto decoded = isa::decode(word);
      if (decoded) image.rows[rng.below(2)].lanes[rng.below(5)] = *decoded;
    }
    const auto theirs = isa::check(image);
    const std::string ours = refusal(image);
    ASSERT_EQ(theirs.empty(), ours.empty()) << (theirs.empty() ? "" : theirs[0].text) << " | " << ours;
    ++(ours.empty() ? legal : illegal);
  }
  EXPECT_GT(legal, 1000);
  EXPECT_GT(illegal, 1000);
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
