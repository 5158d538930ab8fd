// SPDX-License-Identifier: Apache-2.0
// Right translations are proved, planted miscompilations are refused.
#include "compile/prove/prove.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "arch/hxdp/bundle.hpp"
#include "unit/compile/prove/direct.hpp"
#include "unit/compile/verify/check.hpp"

namespace xnic::compile::prove::testing {
namespace {

using namespace hxdp;
using ebpf::AtomicOp;
using ebpf::JumpOp;
using ebpf::Width;

// Parse, rewrite, checksum: no maps.
constexpr const char* kParse = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto drop
    r5 = *(u16 *)(r2 +12)
    r5 = be16 r5
    if r5 != 0x800 goto pass
    r6 = *(u32 *)(r2 +0)
    *(u32 *)(r2 +6) = r6
    *(u16 *)(r2 +0) = 7
    *(u16 *)(r2 +0) = r5
    r7 = *(u8 *)(r2 +22)
    if r7 s< 2 goto drop
    r7 += -1
    *(u8 *)(r2 +22) = r7
    r8 = *(u16 *)(r2 +24)
    r9 = *(u16 *)(r2 +26)
    r8 += r9
    r9 = r8
    r9 >>= 16
    r8 &= 0xffff
    r8 += r9
    *(u16 *)(r2 +24) = r8
    r0 = *(u32 *)(r2 +28)
    w0 s>>= 3
    r6 -= r7
    w6 = w6
    r0 += r6
    *(u64 *)(r2 +26) = r0
    w4 = w0
    r0 = 3
    if w4 s> w6 goto out
    r0 = 1
    goto out
    drop: r0 = 1
    exit
    pass: r0 = 2
    out: exit)";

// Maps: lookup, update, value memory, redirect.
constexpr const char* kMaps = R"(
    r9 = r1
    r6 = *(u32 *)(r1 +12)
    *(u32 *)(r10 -4) = r6
    r2 = r10
    r2 += -4
    r1 = map[0]
    call 1
    if r0 == 0 goto miss
    r7 = *(u64 *)(r0 +0)
    r7 += 1
    *(u64 *)(r0 +0) = r7
    *(u32 *)(r0 +8) = r6
    r8 = *(u32 *)(r0 +8)
    *(u64 *)(r10 -24) = r8
    *(u64 *)(r10 -16) = r7
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -24
    r1 = map[1]
    r4 = 1
    call 2
    r1 = map[2]
    r2 = r8
    r3 = 2
    call 51
    exit
    miss: r2 = r10
    r2 += -4
    r1 = map[1]
    call 3
    r1 = r9
    r2 = 4
    call 44
    if r0 != 0 goto bad
    r0 = 2
    exit
    bad: r0 = 1
    exit)";

// A loop with two ways through it, which meet before the next turn: values are carried from turn to turn and joined.
constexpr const char* kLoop = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r6 = r2
    r6 += 14
    r7 = 0
    r8 = 0
    again: r4 = r6
    r4 += 2
    if r4 > r3 goto out
    r5 = *(u8 *)(r6 +0)
    r9 = *(u8 *)(r6 +1)
    if r5 == 1 goto one
    if r5 == 2 goto two
    goto out
    one: r9 <<= 1
    r8 += r9
    goto next
    two: r8 ^= r9
    r7 += 2
    next: r6 = r4
    r7 += 1
    if r7 < 6 goto again
    out: r0 = r8
    r0 -= r7
    exit)";

std::vector<ebpf::MapSpec> maps() {
  using verify::testing::map_of;
  return {map_of(ebpf::kMapHash, 4, 16), map_of(ebpf::kMapHash, 4, 16), map_of(ebpf::kMapDevmap, 4, 4)};
}

struct Base {
  ebpf::Program program;
  ebpf::Facts facts;
  Image image;
};

Base base_of(const char* text) {
  Base base;
  base.program = verify::testing::program_of(text, maps());
  auto outcome = verify::verify(base.program, verify::testing::NothingFrozen{});
  EXPECT_TRUE(outcome.accepted) << outcome.rejection.reason;
  if (!outcome.accepted) return base;
  base.facts = std::move(outcome.facts);
  auto image = direct(base.program, base.facts);
  EXPECT_TRUE(image.has_value());
  if (image) base.image = std::move(*image);
  return base;
}

ProofReport prove(const Base& base) { return prove::prove(base.program, base.facts, base.image, {}); }

// The `n`th operation of kind T, over rows and lanes.
template <class T>
T& nth(Image& image, int n = 0) {
  for (Bundle& bundle : image.rows) {
    for (Op& op : bundle.lanes) {
      if (auto* found = std::get_if<T>(&op); found && n-- == 0) return *found;
    }
  }
  ADD_FAILURE() << "no such operation";
  static T none{};
  return none;
}
template <class T>
Row row_of(const Image& image, int n = 0) {
  for (Row row = 0; row < image.rows.size(); row++) {
    if (std::holds_alternative<T>(image.rows[row].lanes[0]) && n-- == 0) return row;
  }
  ADD_FAILURE() << "no such row";
  return 0;
}
void drop(Image& image, Row row) { image.rows[row].lanes[0] = Nop{}; }
void exchange(Image& image, Row a, Row b) { std::swap(image.rows[a].lanes[0], image.rows[b].lanes[0]); }

TEST(Prove, ProvesTheDirectTranslations) {
  for (const char* text : {kParse, kMaps, kLoop}) {
    const ProofReport report = prove(base_of(text));
    EXPECT_EQ(report.status, ProofStatus::kProved) << report.summary();
    EXPECT_GE(report.regions.size(), 4u);
  }
}

TEST(Prove, IsSilentWhenSwitchedOff) {
  const Base base = base_of(kParse);
  const ProofReport report = prove::prove(base.program, base.facts, base.image, {.mode = ProofMode::kOff});
  EXPECT_FALSE(report.ran);
  EXPECT_TRUE(report.regions.empty());
}

struct Planted {
  const char* name;
  const char* program;
  std::function<void(Image&)> plant;
};
void PrintTo(const Planted& planted, std::ostream* out) { *out << planted.name; }

class PlantedMiscompilation : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedMiscompilation, IsRefuted) {
  Base base = base_of(GetParam().program);
  const Image before = base.image;
  GetParam().plant(base.image);
  ASSERT_FALSE(base.image.rows == before.rows && base.image.call_sites == before.call_sites);
  ASSERT_TRUE(arch::hxdp::check(base.image).empty()) << arch::hxdp::check(base.image)[0].text;
  const ProofReport report = prove(base);
  EXPECT_EQ(report.status, ProofStatus::kRefuted) << report.summary();
  EXPECT_NE(report.summary().find("refuted"), std::string::npos);
}

const Planted kPlanted[] = {
    {"WrongImmediate", kParse, [](Image& i) { nth<Alu>(i, 1).b = Imm{1}; }},
    {"WrongMoveImmediate", kParse, [](Image& i) { nth<Move>(i, 4).src = Imm{2}; }},
    {"WrongExitCode", kParse, [](Image& i) { i.rows[row_of<ExitRegister>(i)].lanes[0] = Exit{2}; }},
    {"ExitOfAStaleRegister", kParse, [](Image& i) { nth<ExitRegister>(i, 1).src = 6; }},
    {"SwappedOperands", kParse,
     [](Image& i) { nth<Branch>(i, 3) = {JumpOp::kSgt, Width::k32, 6, Reg{4}, nth<Branch>(i, 3).target}; }},
    {"DroppedStore", kParse, [](Image& i) { drop(i, row_of<Store>(i, 0)); }},
    {"DroppedLastStore", kParse, [](Image& i) { drop(i, row_of<Store>(i, 5)); }},
    {"WrongStoreOffset", kParse, [](Image& i) { nth<Store>(i, 0).to.offset = 7; }},
    {"WrongLoadOffset", kParse, [](Image& i) { nth<Load>(i, 0).from.offset = 13; }},
    {"WrongStoreSize", kParse, [](Image& i) { nth<Store>(i, 2).to.bytes = 4; }},
    {"WrongLoadSize", kParse, [](Image& i) { nth<Load>(i, 1).from.bytes = 2; }},
    {"WrongByteOrder", kParse, [](Image& i) { drop(i, row_of<Swap>(i)); }},
    {"BigEndianStore", kParse, [](Image& i) { nth<Store>(i, 2).big_endian = true; }},
    {"SignExtendedLoad", kParse, [](Image& i) { nth<Load>(i, 2).sign_extend = true; }},
    {"MissingZeroExtension", kParse, [](Image& i) { nth<Move>(i, 2).width = Width::k64; }},
    {"WidthOfAComparison", kParse, [](Image& i) { nth<Branch>(i, 3).width = Width::k64; }},
    {"BranchInverted", kParse, [](Image& i) { nth<Branch>(i, 1).op = JumpOp::kEq; }},
    {"BranchTargetOneRowOff", kParse, [](Image& i) { nth<Branch>(i, 2).target++; }},
    {"BranchDropped", kParse, [](Image& i) { drop(i, row_of<Branch>(i, 2)); }},
    {"UnsignedComparison", kParse, [](Image& i) { nth<Branch>(i, 3).op = JumpOp::kGt; }},
    {"ComparisonWithEquality", kParse, [](Image& i) { nth<Branch>(i, 3).op = JumpOp::kSge; }},
    {"LogicalShift", kParse, [](Image& i) { nth<Alu>(i, 6).op = AluOp::kRsh; }},
    {"ShiftByOneMore", kParse, [](Image& i) { nth<Alu>(i, 6).b = Imm{4}; }},
    {"LostCarryOfTheChecksum", kParse, [](Image& i) { drop(i, row_of<Alu>(i, 5)); }},
    {"BoundsCheckRemoved", kParse, [](Image& i) { drop(i, row_of<Branch>(i, 0)); }},
    {"BoundsCheckWeakened", kParse, [](Image& i) { nth<Alu>(i, 0).b = Imm{33}; }},
    {"BoundsCheckStrengthened", kParse, [](Image& i) { nth<Alu>(i, 0).b = Imm{35}; }},
    {"WrongRecoveryRow", kParse, [](Image& i) { nth<Branch>(i, 0).target = nth<Branch>(i, 1).target; }},
    {"StoresToOneAddressReordered", kParse, [](Image& i) { exchange(i, row_of<Store>(i, 1), row_of<Store>(i, 2)); }},
    {"LaneOrderOfStores", kParse,
     [](Image& i) {
       const Row first = row_of<Store>(i, 1);
       i.rows[first].lanes[1] = i.rows[first].lanes[0];
       i.rows[first].lanes[0] = i.rows[first + 1].lanes[0];
       drop(i, first + 1);
     }},
    {"EffectHoistedAboveItsBranch", kParse,
     [](Image& i) {
       const Row branch = row_of<Branch>(i, 1), move = row_of<Store>(i, 1);
       i.rows[branch].lanes[1] = i.rows[branch].lanes[0];
       i.rows[branch].lanes[0] = i.rows[move].lanes[0];
       drop(i, move);
     }},
    {"LoadMovedAcrossAStore", kParse,
     [](Image& i) {
       // The load at 26 reads what the store at 24 leaves alone; at 22 it reads what the store there changes.
       nth<Load>(i, 5).from.offset = 22;
     }},
    {"StaleRegister", kParse, [](Image& i) { nth<Store>(i, 4).src = Reg{9}; }},
    {"ResultReadInItsOwnRow", kParse,
     [](Image& i) {
       const Row add = row_of<Alu>(i, 1);
       i.rows[add].lanes[1] = i.rows[add + 1].lanes[0];
       drop(i, add + 1);
     }},
    {"LoadOutsideThePacket", kParse, [](Image& i) { nth<Load>(i, 5).from.offset = 31; }},
    {"LostHelperArgument", kMaps, [](Image& i) { i.call_sites[1].args[3] = {Argument::Kind::kConstant, 0, 0, 0}; }},
    {"WrongMap", kMaps, [](Image& i) { nth<Address>(i, 2).map = 1; }},
    {"WrongMapOfAnEffect", kMaps, [](Image& i) { nth<Address>(i, 3).map = 0; }},
    {"WrongHelper", kMaps, [](Image& i) { i.call_sites[3].helper = 1; }},
    {"DroppedKeyStore", kMaps, [](Image& i) { drop(i, row_of<Store>(i, 0)); }},
    {"DroppedValueStore", kMaps, [](Image& i) { drop(i, row_of<Store>(i, 1)); }},
    {"DroppedPartOfAHelpersMemory", kMaps, [](Image& i) { drop(i, row_of<Store>(i, 4)); }},
    {"DroppedEffect", kMaps, [](Image& i) { drop(i, row_of<Call>(i, 3)); }},
    {"EffectMadeTwice", kMaps,
     [](Image& i) { i.rows[row_of<Call>(i, 3) + 1].lanes[0] = i.rows[row_of<Call>(i, 3)].lanes[0]; }},
    {"EffectsReordered", kMaps,
     [](Image& i) {
       std::swap(i.call_sites[1], i.call_sites[2]);
       i.call_sites[1].args = {Argument{Argument::Kind::kMap, 0, 2, 0}, Argument{Argument::Kind::kRegister, 8, 0, 0},
                               Argument{Argument::Kind::kConstant, 0, 0, 2}};
       i.call_sites[2].args = {Argument{Argument::Kind::kMap, 0, 1, 0}, Argument{Argument::Kind::kStack, 0, 0, 508},
                               Argument{Argument::Kind::kStack, 0, 0, 488},
                               Argument{Argument::Kind::kConstant, 0, 0, 1}};
     }},
    {"NullCheckDropped", kMaps, [](Image& i) { drop(i, row_of<Branch>(i, 0)); }},
    {"NullCheckInverted", kMaps, [](Image& i) { nth<Branch>(i, 0).op = JumpOp::kNe; }},
    {"LoadForwardedFromTheWrongStore", kMaps, [](Image& i) { nth<Load>(i, 2).from.offset = 4; }},
    {"KeyOfTheWrongBytes", kMaps,
     [](Image& i) { i.call_sites[0].args[1] = {Argument::Kind::kRegisterBytes, 1, 0, 0}; }},
    {"CallResultLost", kMaps, [](Image& i) { nth<Call>(i, 4).has_result = false; }},
    {"HelperResultAsTheWrongExit", kMaps, [](Image& i) { nth<Branch>(i, 1).op = JumpOp::kEq; }},
    {"SwappedLoopCarriedValues", kLoop,
     [](Image& i) {
       nth<Alu>(i, 3).dst = nth<Alu>(i, 3).a = 7;
       nth<Alu>(i, 6).dst = nth<Alu>(i, 6).a = 8;
     }},
    {"TripCountOneLess", kLoop, [](Image& i) { nth<Branch>(i, 3).b = Imm{5}; }},
    {"TripCountOneMore", kLoop, [](Image& i) { nth<Branch>(i, 3).b = Imm{7}; }},
    {"StaleValueOnTheBackEdge", kLoop, [](Image& i) { drop(i, row_of<Move>(i, 4)); }},
    {"WrongValueOnTheBackEdge", kLoop, [](Image& i) { nth<Move>(i, 4).src = Reg{2}; }},
    {"LoopCarriedValueReset", kLoop, [](Image& i) { nth<Branch>(i, 3).target--; }},
    {"WrongValueOnOneWayToAJoin", kLoop, [](Image& i) { nth<Alu>(i, 5).b = Imm{1}; }},
    {"ValuesOfTwoWaysToAJoinExchanged", kLoop, [](Image& i) { std::swap(nth<Branch>(i, 1).b, nth<Branch>(i, 2).b); }},
    {"JoinEnteredPastItsValue", kLoop, [](Image& i) { nth<Branch>(i, 1).target = row_of<Move>(i, 4); }},
    {"WrongContextField", kMaps, [](Image& i) { nth<Load>(i, 0).from.offset = 16; }},
};

INSTANTIATE_TEST_SUITE_P(All, PlantedMiscompilation, ::testing::ValuesIn(kPlanted),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace xnic::compile::prove::testing
