// SPDX-License-Identifier: Apache-2.0
// What one row does: all lanes read the state before it, effects come in lane order, the first taken branch wins.
#include "arch/ebpf/map_types.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

constexpr uint32_t kLookup = 1;
constexpr uint32_t kUpdate = 2;
constexpr uint32_t kAdjustHead = 44;
constexpr uint32_t kAdjustTail = 65;

std::shared_ptr<maps::Map> array_map(uint32_t value_bytes = 8, uint32_t entries = 4) {
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4;
  spec.value_size = value_bytes;
  spec.max_entries = entries;
  int error = 0;
  return maps::Map::create(spec, {}, error);
}
isa::MapReference reference(uint32_t value_bytes = 8, uint32_t entries = 4) {
  return {"m", arch::ebpf::kMapArray, 4, value_bytes, entries};
}

TEST(HxdpRow, LanesReadRegistersAsTheyWereBeforeTheRow) {
  // A swap of two registers in one row, then r3 = r1 * 256 + r2.
  Runner runner(image_of({{set(1, 5), set(2, 7)},
                          {copy(1, 2), copy(2, 1)},
                          {Alu{AluOp::kLsh, Width::k64, 3, 1, Imm(8)}},
                          {Alu{AluOp::kAdd, Width::k64, 3, 3, Reg(2)}},
                          {ExitRegister{3}}}));
  EXPECT_EQ(runner.verdict(), 7u * 256 + 5);
}

TEST(HxdpRow, TheFirstTakenBranchWinsAndCancelsTheLanesAboveIt) {
  Runner runner(image_of({{set(1, 1), Branch{JumpOp::kEq, Width::k64, 5, Imm(1), 1},
                           Branch{JumpOp::kEq, Width::k64, 5, Imm(0), 2}, set(2, 4)},
                          {Exit{100}},
                          {Alu{AluOp::kAdd, Width::k64, 1, 1, Reg(2)}},
                          {ExitRegister{1}}}));
  EXPECT_EQ(runner.verdict(), 1u) << "lane 0 took effect, lane 3 did not";
}

TEST(HxdpRow, AnExitCancelsTheStoresAboveIt) {
  Runner runner(image_of({{Store{at(Space::kPacket, 0, 1), Imm(0x55), false}, Exit{2},
                           Store{at(Space::kPacket, 1, 1), Imm(0x66), false}}}));
  EXPECT_EQ(runner.verdict(), 2u);
  EXPECT_EQ(runner.packets[0].data[0], 0x55);
  EXPECT_EQ(runner.packets[0].data[1], 1);
}

TEST(HxdpRow, OfTwoStoresToOneByteTheHigherLaneStays) {
  Runner runner(image_of({{Store{at(Space::kPacket, 4, 4), Imm(0x01020304), false},
                           Store{at(Space::kPacket, 5, 1), Imm(0x77), false}, load(1, at(Space::kPacket, 5, 1))},
                          {load(2, at(Space::kPacket, 5, 1))},
                          {Alu{AluOp::kLsh, Width::k64, 1, 1, Imm(8)}},
                          {Alu{AluOp::kOr, Width::k64, 1, 1, Reg(2)}},
                          {ExitRegister{1}}}));
  EXPECT_EQ(runner.verdict(), 5u << 8 | 0x77) << "the load of the same row saw the byte before the stores";
  const uint8_t expected[] = {4, 0x77, 2, 1};
  EXPECT_TRUE(std::equal(expected, expected + 4, runner.packets[0].data + 4));
}

TEST(HxdpRow, LoadsKnowSixBytesNetworkOrderAndSigns) {
  // Packet bytes are 0, 1, 2, …
  Runner be(image_of({{Load{1, at(Space::kPacket, 1, 6), false, true, false}},
                      {Alu{AluOp::kRsh, Width::k64, 1, 1, Imm(16)}},
                      {ExitRegister{1}}}));
  EXPECT_EQ(be.verdict(), 0x01020304u);
  Runner sign(image_of({{Store{at(Space::kStack, 8, 2), Imm(-2), false}},
                        {Load{1, at(Space::kStack, 8, 2), true, false, false}},
                        {Alu{AluOp::kRsh, Width::k64, 1, 1, Imm(40)}},
                        {ExitRegister{1}}}));
  EXPECT_EQ(sign.verdict(), 0xffffffu);
  Runner store(image_of({{set(1, 0x010203)},
                         {Store{at(Space::kPacket, 0, 6), Reg(1), true}, Store{at(Space::kPacket, 8, 2), Reg(1), true}},
                         {Exit{1}}}));
  EXPECT_EQ(store.verdict(), 1u);
  const uint8_t expected[] = {0, 0, 0, 1, 2, 3, 6, 7, 2, 3};
  EXPECT_TRUE(std::equal(expected, expected + 10, store.packets[0].data));
}

TEST(HxdpRow, AFaultAbortsAndASpeculativeLoadGivesZero) {
  Runner faulty(image_of({{load(1, at(Space::kPacket, 57, 4))}, {Exit{2}}}));
  EXPECT_EQ(faulty.verdict(), 0u);
  ASSERT_NE(faulty.card->fault(), nullptr);
  EXPECT_EQ(faulty.card->fault()->row, 0u);
  Runner speculative(image_of({{Load{1, at(Space::kPacket, 57, 4), false, false, true}},
                               {Load{2, through(9, 16, 8), false, false, true}},  // r9 is null
                               {Alu{AluOp::kAdd, Width::k64, 1, 1, Reg(2)}},
                               {Alu{AluOp::kAdd, Width::k64, 1, 1, Imm(3)}},
                               {ExitRegister{1}}}));
  EXPECT_EQ(speculative.verdict(), 3u);
  EXPECT_EQ(speculative.card->fault(), nullptr);
  Runner to_context(image_of({{Store{at(Space::kContext, 0, 4), Imm(1), false}}, {Exit{2}}}));
  EXPECT_EQ(to_context.verdict(), 0u);
}

// Fields of the context in either byte order, sign-extended or not, as packet bytes are.
TEST(HxdpRow, ContextFieldsAreReadAsTheRowSays) {
  const auto field = [](bool sign_extend, bool big_endian) {
    Runner runner(image_of({{Load{1, at(Space::kContext, 16, 4), sign_extend, big_endian, false}},
                            {Alu{AluOp::kRsh, Width::k64, 2, 1, Imm(32)}},
                            {Alu{AluOp::kAdd, Width::k64, 1, 1, Reg(2)}},
                            {ExitRegister{1}}}));
    runner.packets.resize(1);
    runner.packets[0].assign(std::vector<uint8_t>(60));
    runner.packets[0].rx_queue = 0x80010203;
    runner.run_packets();
    return runner.verdicts[0].code;
  };
  EXPECT_EQ(field(false, false), 0x80010203u);
  EXPECT_EQ(field(false, true), 0x03020180u);
  EXPECT_EQ(field(true, false), 0x80010202u) << "and the upper half, all ones";
  EXPECT_EQ(field(true, true), 0x03020180u) << "extended from the byte that the order puts on top";
}

TEST(HxdpRow, RegistersAndStackAreZeroForEveryPacket) {
  Runner runner(image_of({{load(2, at(Space::kStack, 16, 8)), Alu{AluOp::kAdd, Width::k64, 1, 1, Imm(1)}},
                          {Alu{AluOp::kAdd, Width::k64, 1, 1, Reg(2)}, Store{at(Space::kStack, 16, 8), Imm(9), false}},
                          {ExitRegister{1}}}));
  runner.run(3);
  for (const Verdict& verdict : runner.verdicts) EXPECT_EQ(verdict.code, 1u);
}

TEST(HxdpRow, ACallReadsItsArgumentsWithTheRowAndSeesTheStoresBelowIt) {
  isa::Image image = image_of({{set(1, 0x1234), set(3, 1)},
                               {Store{at(Space::kStack, 0, 8), Reg(1), false}, Call{0, true, 3}, copy(4, 3)},
                               {Call{1, true, 5}},
                               {load(6, through(5, 0, 8)), load(7, through(5, 0, 8))},
                               {Alu{AluOp::kAdd, Width::k64, 6, 6, Reg(4)}},
                               {ExitRegister{6}}});
  image.maps = {reference()};
  image.call_sites = {site_of(kUpdate, {{Argument::Kind::kMap, 0, 0, 0},
                                        {Argument::Kind::kRegisterBytes, 3, 0, 0},
                                        {Argument::Kind::kStack, 0, 0, 0},
                                        {Argument::Kind::kConstant, 0, 0, 0}}),
                      site_of(kLookup, {{Argument::Kind::kMap, 0, 0, 0}, {Argument::Kind::kConstantBytes, 0, 0, 1}})};
  Runner runner(image, {}, {array_map()});
  EXPECT_EQ(runner.verdict(), 0x1235u);
}

TEST(HxdpRow, MapValuesAreReachedDirectlyAndAddedToInMemory) {
  isa::Image image = image_of({{set(1, 5)},
                               {AddMemory{{Space::kMapValue, 0, 0, 8, 8}, Reg(1)}},
                               {load(2, {Space::kMapValue, 0, 0, 8, 8})},
                               {ExitRegister{2}}});
  image.maps = {reference(16, 1)};
  auto map = array_map(16, 1);
  Runner runner(image, {}, {map});
  runner.run(3);
  EXPECT_EQ(runner.verdicts[2].code, 15u);
  uint32_t key = 0;
  EXPECT_EQ(base::load<uint64_t>(static_cast<uint8_t*>(map->lookup(&key, 0)) + 8), 15u);
}

TEST(HxdpRow, BoundsMoveWithAdjustHeadAndTail) {
  isa::Image image = image_of({{Call{0, true, 1}},
                               {Store{at(Space::kPacket, 0, 4), Imm(0x04030201), false}, Call{1, true, 2}},
                               {Address{Space::kPacketBytes, 3, 0, 0}, BranchPacket{false, 55, 4}},
                               {Exit{99}},
                               {ExitRegister{3}}});
  image.call_sites = {
      site_of(kAdjustHead, {{Argument::Kind::kContext, 0, 0, 0}, {Argument::Kind::kConstant, 0, 0, -4}}),
      site_of(kAdjustTail, {{Argument::Kind::kContext, 0, 0, 0}, {Argument::Kind::kConstant, 0, 0, -10}})};
  Runner runner(image);
  EXPECT_EQ(runner.verdict(), 54u);
  EXPECT_EQ(runner.packets[0].data[0], 1);
  EXPECT_EQ(runner.packets[0].data[4], 0);
  EXPECT_EQ(runner.packets[0].data[5], 1);
}

TEST(HxdpRow, ACallsResultIsNotTheVerdictOfAnExitAboveIt) {
  isa::Image image = image_of({{Call{0, false, 0}, Exit{2}}});
  image.call_sites = {
      site_of(kAdjustTail, {{Argument::Kind::kContext, 0, 0, 0}, {Argument::Kind::kConstant, 0, 0, -9}})};
  Runner runner(image);
  EXPECT_EQ(runner.verdict(), 2u);
  EXPECT_EQ(runner.packets[0].size(), 51u);
}

TEST(HxdpRow, AnEndlessProgramIsAborted) {
  Runner runner(image_of({{Goto{0}}}));
  EXPECT_EQ(runner.verdict(), 0u);
  ASSERT_NE(runner.card->fault(), nullptr);
  EXPECT_EQ(runner.card->fault()->what, "endless program");
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
