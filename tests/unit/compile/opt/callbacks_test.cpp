// SPDX-License-Identifier: Apache-2.0
// Callbacks and may_goto become loops; what the machine cannot run is refused with its rule.
#include <gtest/gtest.h>

#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile::opt::testing {
namespace {

TEST(Callbacks, BpfLoopBecomesALoop) {
  EXPECT_EQ(after(R"(
    r1 = 5
    r2 = subprog[turn]
    r3 = r10
    r4 = 0
    call bpf_loop
    r0 &= 1
    exit
    turn: *(u64 *)(r2 -8) = r1
    r0 = 0
    exit)"),
            "b0\n  goto b1 0\nb1 p14\n  if p14 >= 5 goto b3 else b2\nb2\n  stack8[504] = p14\n  goto b1 (p14 + 1)\n"
            "b3\n  exit (p14 & 1)\n");
}

TEST(Callbacks, FlagsOfBpfLoopAreRefusedAtRunTime) {
  EXPECT_EQ(after(R"(
    r1 = 5
    r2 = subprog[turn]
    r3 = 0
    r4 = 1
    call bpf_loop
    exit
    turn: r0 = 0
    exit)"),
            "b0\n  exit 4294967274\n");
}

TEST(Callbacks, TooManyTurnsAreRefusedAtRunTime) {
  const std::string text = after(R"(
    r1 = *(u32 *)(r1 +12)
    r2 = subprog[turn]
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
    turn: r0 = 0
    exit)");
  EXPECT_NE(text.find("if ctx4[12] > 8388608"), std::string::npos) << text;
  EXPECT_NE(text.find("exit 4294967289"), std::string::npos) << text;
}

TEST(Callbacks, ACallbackThatSaysStopEndsTheLoop) {
  const std::string text = after(R"(
    r1 = 9
    r2 = subprog[turn]
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
    turn: r0 = 0
    if r1 != 3 goto on
    r0 = 1
    on: exit)");
  EXPECT_NE(text.find("+ 1)"), std::string::npos) << text;
  EXPECT_NE(text.find("!= 3"), std::string::npos) << text;
}

TEST(Callbacks, AnArrayIsWalkedUntilTheLookupFindsNothing) {
  EXPECT_EQ(after(R"(
    r1 = map[0]
    r2 = subprog[each]
    r3 = 0
    r4 = 0
    call bpf_for_each_map_elem
    r0 = 2
    exit
    each: *(u64 *)(r3 +0) = 1
    r0 = 0
    exit)"),
            "b0\n  goto b1 0\nb1 p12\n  stack4[504] = p12\n"
            "  if map_lookup_elem(map 0, bytes p12) == 0 goto b2 else b3\nb2\n  exit 2\nb3\n"
            "  mem8[map_lookup_elem(map 0, bytes p12)+0] = 1\n  goto b1 (p12 + 1)\n");
}

TEST(Callbacks, AHashCannotBeWalked) {
  const Lifted lifted = lift_program(R"(
    r1 = map[1]
    r2 = subprog[each]
    r3 = 0
    r4 = 0
    call bpf_for_each_map_elem
    r0 = 2
    exit
    each: r0 = 0
    exit)");
  EXPECT_NE(lifted.error.find("arrays are possible"), std::string::npos) << lifted.error;
  EXPECT_NE(lifted.error.find("insn 6"), std::string::npos) << lifted.error;
}

TEST(Callbacks, SlotsKeepTheirNumbers) {
  const Program program = program_of(R"(
    r1 = 5
    r2 = subprog[turn]
    r3 = 0
    r4 = 0
    call bpf_loop
    exit
    turn: r0 = 0
    exit)");
  Facts facts;
  facts.insns.resize(program.insns.size());
  const Expanded expanded = expand_callbacks(program, facts);
  ASSERT_GT(expanded.program.insns.size(), program.insns.size());
  EXPECT_EQ(expanded.facts.insns.size(), expanded.program.insns.size());
  for (Slot slot = 0; slot < program.insns.size(); slot++) {
    if (slot != 5) {
      EXPECT_EQ(expanded.program.insns[slot], program.insns[slot]);
    }
  }
  EXPECT_EQ(expanded.program.insns[5], Instruction(CallLocal{Slot(program.insns.size())}));
  EXPECT_EQ(expanded.program.subprograms.back().name, kLoopName);
}

TEST(MayGoto, CountsTheTurnsOfItsFunction) {
  const std::string text = after(R"(
    r0 = 0
    again: may_goto out
    r0 += 1
    r0 &= 7
    goto again
    out: exit)");
  EXPECT_NE(text.find(" 8388608"), std::string::npos) << text;
  EXPECT_NE(text.find(" == 0 goto"), std::string::npos) << text;
  EXPECT_NE(text.find(" + -1)"), std::string::npos) << text;
}

TEST(Refusals, ATailCallNamesItsInstruction) {
  Program program = program_of("r0 = 2\n exit");
  program.insns.insert(program.insns.begin(), CallHelper{12});
  program.subprograms[0].end++;
  Facts facts;
  facts.insns.resize(program.insns.size());
  facts.stack_bytes = {0};
  Graph graph(program);
  const auto lifted = lift(program, facts, {}, graph);
  ASSERT_FALSE(lifted.has_value());
  EXPECT_EQ(lifted.error().kind, base::ErrorKind::kUnsupported);
  EXPECT_NE(lifted.error().message().find("one program"), std::string::npos) << lifted.error().message();
  EXPECT_NE(lifted.error().message().find("insn 0"), std::string::npos) << lifted.error().message();
}

// The verifier lets no recursion through; the compiler does not rely on it.
TEST(Refusals, RecursionEndsAtTheDepthOfCalls) {
  const Program program = program_of("call self\n exit\n self: call self\n exit");
  Facts facts;
  facts.insns.resize(program.insns.size());
  facts.stack_bytes = {0, 0};
  Graph graph(program);
  const auto lifted = lift(program, facts, {}, graph);
  ASSERT_FALSE(lifted.has_value());
  EXPECT_EQ(lifted.error().kind, base::ErrorKind::kLimit);
  EXPECT_NE(lifted.error().message().find("8 frames (recursion?)"), std::string::npos) << lifted.error().message();
}

TEST(Refusals, FramesThatNeedMoreThanTheStack) {
  const Program program = program_of("call f\n exit\n f: r0 = 0\n exit");
  Facts facts;
  facts.insns.resize(program.insns.size());
  facts.stack_bytes = {520, 0};
  Graph graph(program);
  const auto lifted = lift(program, facts, {}, graph);
  ASSERT_FALSE(lifted.has_value());
  EXPECT_NE(lifted.error().message().find("512 bytes of stack"), std::string::npos) << lifted.error().message();
}

// The program array's other programs have images of their own, and the core has one instruction memory.
TEST(TailCalls, AreRefusedWithTheInstruction) {
  const std::string error = after("r2 = map[3]\n r3 = 0\n call bpf_tail_call\n r0 = 1\n exit");
  EXPECT_NE(error.find("insn 3"), std::string::npos) << error;
  EXPECT_NE(error.find("tail calls: an hXDP image holds one program"), std::string::npos) << error;
}

}  // namespace
}  // namespace xnic::compile::opt::testing
