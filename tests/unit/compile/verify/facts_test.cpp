// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

namespace xnic::compile::verify::testing {
namespace {

TEST(Facts, JoinAllPaths) {
  const Outcome outcome = check(R"(
    r2 = *(u32 *)(r1 +12)
    r0 = 1
    if r2 > 7 goto out
    r0 = 5
    out: r0 += 1
    exit)");
  ASSERT_TRUE(outcome.accepted);
  const RegFact& r0 = outcome.facts.insns[4].regs[0];
  EXPECT_EQ(r0.type, RegType::kScalar);
  EXPECT_EQ(r0.range.umin, 1u);
  EXPECT_EQ(r0.range.umax, 5u);
  EXPECT_EQ(outcome.facts.insns[3].regs[0].type, RegType::kUnset) << "dead registers say nothing";
}

TEST(Facts, NameTheBaseAndTheOffset) {
  const Outcome outcome = check(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r2 += 14
    if r2 > r3 goto out
    r4 = *(u8 *)(r2 -1)
    out: r0 = 0
    exit)");
  ASSERT_TRUE(outcome.accepted);
  const InsnFacts& load = outcome.facts.insns[4];
  EXPECT_EQ(load.regs[2].type, RegType::kPacket);
  EXPECT_EQ(load.regs[2].range, Range::constant(14));
  EXPECT_EQ(load.packet_bytes, 14u);
  EXPECT_EQ(outcome.facts.insns[3].packet_bytes, 0u);
  EXPECT_EQ(outcome.facts.insns[5].packet_bytes, 0u) << "the short packet comes here too";
}

TEST(Facts, SayWhereTypesDiffer) {
  const Outcome outcome = check(R"(
    r2 = *(u32 *)(r1 +12)
    r3 = r10
    if r2 > 7 goto out
    r3 = 5
    out: r0 = r3
    r0 = 0
    exit)");
  ASSERT_TRUE(outcome.accepted);
  EXPECT_EQ(outcome.facts.insns[4].regs[3].type, RegType::kMixed);
}

TEST(Facts, MarkCodeThatNoPathReaches) {
  const Outcome outcome = check("r0 = 0\n if r0 == 0 goto out\n r0 = 1\n out: exit");
  ASSERT_TRUE(outcome.accepted);
  EXPECT_FALSE(outcome.facts.insns[2].reached);
  EXPECT_TRUE(outcome.facts.insns[3].reached);
}

// The second path is pruned at `out`, where r7 has another value that nothing depends on: the fact must cover both.
TEST(Facts, CoverPathsThatWerePruned) {
  const Outcome outcome = check(R"(
    r6 = *(u32 *)(r1 +12)
    r7 = 3
    r8 = 1
    if r6 > 100 goto out
    if r6 > 50 goto next
    next: r8 = 2
    r7 = 9
    r9 = r6
    r9 = r6
    out: r0 = r7
    r0 += 1
    r0 += r8
    exit)");
  ASSERT_TRUE(outcome.accepted);
  for (Slot slot = 9; slot < 12; ++slot) {
    const InsnFacts& facts = outcome.facts.insns[slot];
    if (slot == 9) {
      EXPECT_TRUE(facts.regs[7].range.contains(3) && facts.regs[7].range.contains(9));
      EXPECT_TRUE(facts.regs[8].range.contains(1) && facts.regs[8].range.contains(2));
    }
  }
  EXPECT_TRUE(outcome.facts.insns[11].regs[0].range.contains(4));
  EXPECT_TRUE(outcome.facts.insns[11].regs[0].range.contains(10));
}

// What the pruned path brings is known, and goes through the instructions behind: 32 bits stay 32 bits.
TEST(Facts, BoundWhatPrunedPathsBring) {
  const Outcome outcome = check(R"(
    r6 = *(u32 *)(r1 +12)
    r7 = *(u32 *)(r1 +16)
    if r6 > 100 goto out
    if r6 > 50 goto next
    next: r8 = 2
    r7 = 3
    r9 = r6
    r9 = r6
    r9 = r6
    out: r0 = r7
    r0 <<= 16
    w0 = w0
    r0 = r7
    exit)");
  ASSERT_TRUE(outcome.accepted);
  const auto& insns = outcome.facts.insns;
  EXPECT_EQ(insns[9].regs[7].range.umin, 0u);
  EXPECT_EQ(insns[9].regs[7].range.umax, 0xffffffffu) << "not every value: the pruned path loaded 32 bits";
  EXPECT_EQ(insns[11].regs[0].range.umax, 0xffffffff0000u);
  EXPECT_EQ(insns[12].regs[7].range.umax, 0xffffffffu);
}

// A loop makes a doubtful number larger with each turn: its range ends as every value.
TEST(Facts, LeaveGrowingNumbersUnknown) {
  const Outcome outcome = check(R"(
    r6 = *(u32 *)(r1 +12)
    r7 = 0
    r8 = 0
    if r6 > 100 goto loop
    r7 = 5
    r9 = r6
    r9 = r6
    r9 = r6
    loop: r7 += 1
    r8 += 1
    if r8 < 40 goto loop
    r0 = r7
    exit)");
  ASSERT_TRUE(outcome.accepted);
  EXPECT_TRUE(outcome.facts.insns[11].regs[7].range.contains(40));
  EXPECT_TRUE(outcome.facts.insns[11].regs[7].range.contains(45));
}

TEST(Facts, GiveTheStackOfEachFunction) {
  const Outcome outcome = check("*(u64 *)(r10 -16) = 0\n call f\n exit\n f: *(u32 *)(r10 -40) = 0\n r0 = 0\n exit");
  ASSERT_TRUE(outcome.accepted);
  EXPECT_EQ(outcome.facts.stack_bytes, (std::vector<uint32_t>{16, 40}));
  EXPECT_EQ(outcome.facts.max_stack_bytes, 64u);
  EXPECT_EQ(outcome.facts.max_call_depth, 2u);
}

TEST(Facts, KnowWhichUpperHalvesMatter) {
  const Outcome outcome = check("r2 = *(u32 *)(r1 +12)\n w2 += 1\n r0 = r2\n exit");
  ASSERT_TRUE(outcome.accepted);
  EXPECT_EQ(outcome.facts.insns[1].upper_live & 4, 0);
  EXPECT_EQ(outcome.facts.insns[2].upper_live & 4, 4);
}

TEST(Rejection, TellsSourceStateAndAdvice) {
  Program program = program_of("r2 = *(u32 *)(r1 +0)\n r3 = *(u8 *)(r2 +0)\n r0 = 0\n exit");
  program.lines = {{0, 10, 3, "a.c", "void *data = ctx->data;"}, {1, 12, 3, "a.c", "if (*data)"}};
  Options options;
  options.log_level = 1;
  const Outcome outcome = verify(program, NothingFrozen{}, options);
  EXPECT_FALSE(outcome.accepted);
  EXPECT_EQ(outcome.rejection.slot, 1u);
  EXPECT_EQ(outcome.rejection.error, EACCES);
  EXPECT_EQ(outcome.rejection.source, "a.c:12: if (*data)");
  EXPECT_EQ(outcome.rejection.state, "R1=ctx() R2=pkt(r=0) R10=fp0");
  EXPECT_EQ(outcome.rejection.advice, "prove before the access that data + 1 <= data_end");
  EXPECT_NE(outcome.log.find("processed 2 insns (limit 1000000)"), std::string::npos);
}

TEST(Log, ShowsEveryVisitAtLevelTwo) {
  const Program program = program_of("r0 = 0\n exit");
  Options options;
  options.log_level = 2;
  const Outcome outcome = verify(program, NothingFrozen{}, options);
  EXPECT_NE(outcome.log.find("r0 = 0"), std::string::npos);
  EXPECT_NE(outcome.log.find("R0=0 R1=ctx() R10=fp0"), std::string::npos);
}

}  // namespace
}  // namespace xnic::compile::verify::testing
