// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

namespace xnic::compile::verify::testing {
namespace {

TEST(Verify, AcceptsTheSmallestProgram) { EXPECT_ACCEPTED(check("r0 = 2\n exit")); }

TEST(Verify, RefusesRegistersThatWereNeverWritten) {
  EXPECT_REJECTED(check("exit"), kType, "R0 !read_ok");
  EXPECT_REJECTED(check("r0 = r5\n exit"), kType, "R5 !read_ok");
  EXPECT_REJECTED(check("r10 = 1\n r0 = 0\n exit"), kType, "frame pointer is read only");
}

TEST(Verify, RefusesBadShapes) {
  EXPECT_REJECTED(check("r0 = 0"), kStructure, "last insn is not an exit or jmp");
  EXPECT_REJECTED(check("r0 = 0\n goto out\n r0 = 1\n out: exit"), kStructure, "unreachable insn 2");
  EXPECT_REJECTED(check("r0 = 1\n r0 /= 0\n exit"), kStructure, "div by zero");
}

TEST(Stack, KeepsSpilledPointersAndRanges) {
  EXPECT_ACCEPTED(check("*(u64 *)(r10 -8) = r1\n r2 = *(u64 *)(r10 -8)\n r0 = *(u32 *)(r2 +12)\n exit"));
  EXPECT_REJECTED(check("*(u64 *)(r10 -8) = r1\n r2 = *(u32 *)(r10 -8)\n r0 = 0\n exit"), kType,
                  "invalid size of register fill");
  EXPECT_REJECTED(
      check("*(u64 *)(r10 -8) = r1\n *(u8 *)(r10 -8) = 0\n r2 = *(u64 *)(r10 -8)\n r0 = *(u32 *)(r2 +0)\n exit"),
      kMemory, "R2 invalid mem access 'scalar'");
}

TEST(Stack, RefusesAccessOutsideTheFrame) {
  EXPECT_ACCEPTED(check("*(u64 *)(r10 -512) = 0\n r0 = 0\n exit"));
  EXPECT_REJECTED(check("*(u64 *)(r10 -520) = 0\n r0 = 0\n exit"), kMemory,
                  "invalid write to stack R10 off=-520 size=8");
  EXPECT_REJECTED(check("r0 = *(u64 *)(r10 +0)\n exit"), kMemory, "invalid read from stack R10 off=0 size=8");
  EXPECT_REJECTED(check("*(u64 *)(r10 -12) = 0\n r0 = 0\n exit"), kMemory, "misaligned stack access");
}

TEST(Stack, AtomicFetchKnowsTheSpilledNumber) {
  const std::string head = "r2 = 4\n *(u64 *)(r10 -8) = r2\n r3 = 1\n";
  const std::string tail = " r4 = r10\n r4 += -16\n r4 += r3\n *(u8 *)(r4 +0) = 1\n r0 = 0\n exit";
  EXPECT_ACCEPTED(check(head + "r3 = atomic_fetch_add((u64 *)(r10 -8), r3)\n" + tail));
  // What is there afterwards is not known, and neither is the old value after a store of part of it.
  EXPECT_REJECTED(check(head + "r3 = atomic_fetch_add((u64 *)(r10 -8), r3)\n r3 = *(u64 *)(r10 -8)\n" + tail), kMemory,
                  "fp pointer and register");
  EXPECT_REJECTED(check("r1 = *(u32 *)(r1 +12)\n" + head +
                        "*(u8 *)(r10 -6) = r1\n r3 = atomic_fetch_add((u64 *)(r10 -8), r3)\n" + tail),
                  kMemory, "fp pointer and register");
}

TEST(Stack, BoundsVariableOffsets) {
  const std::string program =
      "r2 = *(u32 *)(r1 +12)\n r2 &= {}\n r3 = r10\n r3 += -16\n r3 += r2\n *(u8 *)(r3 +0) = 1\n r0 = 0\n exit";
  auto with = [&](const std::string& mask) { return std::string(program).replace(program.find("{}"), 2, mask); };
  EXPECT_ACCEPTED(check(with("15")));
  EXPECT_REJECTED(check(with("31")), kMemory, "invalid variable-offset write to stack R3");
}

TEST(Map, NeedsANullCheck) {
  const std::vector<MapSpec> maps = {map_of(kMapHash, 4, 8)};
  const std::string head = "*(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n";
  EXPECT_ACCEPTED(check(head + "if r0 == 0 goto out\n r1 = *(u64 *)(r0 +0)\n out: r0 = 0\n exit", maps));
  EXPECT_REJECTED(check(head + "r1 = *(u64 *)(r0 +0)\n r0 = 0\n exit", maps), kMemory,
                  "R0 invalid mem access 'map_value_or_null'");
  EXPECT_REJECTED(check(head + "if r0 == 0 goto out\n r1 = *(u64 *)(r0 +1)\n out: r0 = 0\n exit", maps), kMemory,
                  "invalid access to map value, value_size=8 off=1 size=8");
  EXPECT_REJECTED(check(head + "if r0 != 0 goto out\n r1 = *(u64 *)(r0 +0)\n out: r0 = 0\n exit", maps), kMemory,
                  "R0 invalid mem access");
}

TEST(Map, NullCheckHoldsForEveryCopy) {
  EXPECT_ACCEPTED(check(R"(
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
    r1 = map[0]
    call 1
    r6 = r0
    *(u64 *)(r10 -16) = r0
    if r0 == 0 goto out
    r1 = *(u64 *)(r6 +0)
    r7 = *(u64 *)(r10 -16)
    r1 = *(u64 *)(r7 +0)
    out: r0 = 0
    exit)",
                        {map_of(kMapHash, 4, 8)}));
}

TEST(Map, ArrayAlwaysHasAKnownIndexInside) {
  const std::string tail = "r2 = r10\n r2 += -8\n r1 = map[0]\n call 1\n r1 = *(u64 *)(r0 +0)\n r0 = 0\n exit";
  EXPECT_ACCEPTED(check("*(u32 *)(r10 -8) = 15\n" + tail, {map_of(kMapArray, 4, 8, 16)}));
  EXPECT_REJECTED(check("*(u32 *)(r10 -8) = 16\n" + tail, {map_of(kMapArray, 4, 8, 16)}), kMemory, "map_value_or_null");
}

TEST(Map, RefusesHelpersOfOtherTypes) {
  EXPECT_REJECTED(check("*(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n r0 = 0\n exit",
                        {map_of(kMapPerfEventArray, 4, 4)}),
                  kType, "cannot pass map_type 4 into func bpf_map_lookup_elem#1");
}

TEST(Helper, ChecksTypesAndSizes) {
  EXPECT_REJECTED(check("r2 = 4\n r1 = r10\n call 44\n exit"), kType, "R1 type=fp expected=ctx");
  EXPECT_REJECTED(check("r1 = r10\n r1 += -8\n r2 = 9\n call 6\n exit"), kMemory, "invalid indirect access to stack");
  EXPECT_REJECTED(check("r1 = r10\n r1 += -8\n r2 = 0\n call 6\n exit"), kMemory, "invalid zero-sized read");
  EXPECT_REJECTED(check("call 9\n exit"), kUnsupported, "cannot use helper bpf_skb_store_bytes#9");
}

TEST(Helper, NeedsTheLicense) {
  Program program = program_of("r1 = r10\n r1 += -8\n *(u64 *)(r10 -8) = 0\n r2 = 8\n call 6\n exit");
  EXPECT_TRUE(verify(program, NothingFrozen{}).accepted);
  program.gpl_compatible = false;
  EXPECT_REJECTED(verify(program, NothingFrozen{}), kType, "cannot call GPL-restricted function");
}

TEST(Reference, MustBeReleasedOnEveryPath) {
  const std::vector<MapSpec> maps = {map_of(kMapRingbuf, 0, 0, 4096)};
  const std::string reserve = "r1 = map[0]\n r2 = 8\n r3 = 0\n call 131\n";
  EXPECT_ACCEPTED(check(
      reserve + "if r0 == 0 goto out\n *(u64 *)(r0 +0) = 1\n r1 = r0\n r2 = 0\n call 132\n out: r0 = 0\n exit", maps));
  EXPECT_REJECTED(check(reserve + "r0 = 0\n exit", maps), kReference, "Unreleased reference id=");
  EXPECT_REJECTED(
      check(
          reserve +
              "if r0 == 0 goto out\n r6 = r0\n r1 = r0\n r2 = 0\n call 132\n *(u64 *)(r6 +0) = 1\n out: r0 = 0\n exit",
          maps),
      kMemory, "R6 invalid mem access 'scalar'");
}

// What a lookup in a map of sockets gives is counted; the map takes sockets as values, and no memory.
TEST(Reference, SocketsOfMapsMustBeReleased) {
  for (MapType type : {kMapSockmap, kMapSockhash}) {
    const std::vector<MapSpec> maps = {map_of(type, 4, 4)};
    const std::string key = "*(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[0]\n ";
    const std::string lookup = key + "call 1\n if r0 == 0 goto out\n r6 = r0\n ";
    const std::string release = "r1 = r6\n call 86\n ";
    const std::string out = "out: r0 = 0\n exit";
    EXPECT_ACCEPTED(check(lookup + release + out, maps));
    EXPECT_ACCEPTED(check(lookup + key + "r3 = r6\n r4 = 0\n call 2\n " + release + out, maps));
    EXPECT_ACCEPTED(check(key + "call 3\n r0 = 0\n exit", maps));
    EXPECT_REJECTED(check(lookup + out, maps), kReference, "Unreleased reference id=");
    EXPECT_REJECTED(check(key + "call 1\n r0 = 0\n exit", maps), kReference, "Unreleased reference id=");
    EXPECT_REJECTED(check(lookup + "*(u32 *)(r6 +0) = 1\n " + release + out, maps), kMemory, "cannot write into sock");
    EXPECT_REJECTED(check(lookup + release + key + "r3 = r6\n r4 = 0\n call 2\n " + out, maps), kType,
                    "R3 type=scalar expected=sock");
    EXPECT_REJECTED(check(key + "r3 = r10\n r3 += -4\n r4 = 0\n call 2\n r0 = 0\n exit", maps), kType,
                    "R3 type=fp expected=sock");
    EXPECT_REJECTED(check("r1 = map[0]\n r2 = 0\n r3 = 0\n call 51\n r0 = 0\n exit", maps), kType,
                    "into func bpf_redirect_map#51");
  }
}

TEST(Lock, AllowsNoCallsWhileHeld) {
  MapSpec spec = map_of(kMapHash, 4, 8);
  spec.spin_lock_offset = 0;
  const std::string head =
      "*(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 == 0 goto out\n r6 = r0\n r1 = r6\n "
      "call 93\n";
  EXPECT_ACCEPTED(check(head + "r1 = r6\n call 94\n out: r0 = 0\n exit", {spec}));
  EXPECT_REJECTED(check(head + "out: r0 = 0\n exit", {spec}), kReference, "bpf_spin_lock-ed region");
  EXPECT_REJECTED(check(head + "call 5\n r1 = r6\n call 94\n out: r0 = 0\n exit", {spec}), kReference,
                  "while holding a lock");
  EXPECT_REJECTED(check(head + "r1 = r6\n call 94\n *(u32 *)(r6 +0) = 0\n out: r0 = 0\n exit", {spec}), kType,
                  "bpf_spin_lock cannot be accessed");
}

TEST(Atomic, MustBeAligned) {
  const std::vector<MapSpec> maps = {map_of(kMapHash, 4, 16)};
  const std::string head =
      "*(u32 *)(r10 -4) = 0\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 == 0 goto out\n r1 = 1\n";
  EXPECT_ACCEPTED(check(head + "lock *(u64 *)(r0 +8) += r1\n out: r0 = 0\n exit", maps));
  EXPECT_ACCEPTED(check(head + "*(u64 *)(r0 +4) = r1\n out: r0 = 0\n exit", maps));
  EXPECT_REJECTED(check(head + "lock *(u64 *)(r0 +4) += r1\n out: r0 = 0\n exit", maps), kMemory, "misaligned");
}

TEST(Jump, KnowsARegisterComparedWithItself) {
  const std::string head = "r6 = *(u32 *)(r1 +12)\n";
  const std::string unsafe = " goto bad\n r0 = 0\n exit\n bad: r0 = *(u64 *)(r6 +0)\n exit";
  for (const char* never : {"if r6 != r6", "if r6 > r6", "if w6 s< w6"}) EXPECT_ACCEPTED(check(head + never + unsafe));
  for (const char* maybe : {"if r6 == r6", "if r6 & r6", "if w6 s>= w6"})
    EXPECT_REJECTED(check(head + maybe + unsafe), kMemory, "R6 invalid mem access 'scalar'");
}

TEST(Loop, AcceptsABound) {
  const Outcome outcome = check("r1 = 0\n again: r1 += 1\n if r1 < 1000 goto again\n r0 = 0\n exit");
  EXPECT_ACCEPTED(outcome);
  EXPECT_GT(outcome.facts.visited_insns, 2000u);
}

TEST(Loop, RefusesOneThatChangesNothing) {
  EXPECT_REJECTED(check("r6 = *(u32 *)(r1 +12)\n again: r0 = 0\n if r6 == 5 goto again\n if r6 == 6 goto again\n if r6 "
                        "> 7 goto again\n exit"),
                  kTermination, "infinite loop detected");
  EXPECT_REJECTED(check("again: goto again"), kTermination, "infinite loop detected");
}

TEST(Loop, RefusesOneThatNeverEnds) {
  const Program program = program_of("r1 = 0\n again: r1 += 1\n if r1 != 0 goto again\n r0 = 0\n exit");
  Options options;
  options.max_visits = 50'000;
  EXPECT_REJECTED(verify(program, NothingFrozen{}, options), kTermination, "BPF program is too large");
}

TEST(Call, WalksIntoFunctionsWithTheirArguments) {
  EXPECT_ACCEPTED(check("call f\n exit\n f: r0 = *(u32 *)(r1 +12)\n exit"));
  EXPECT_REJECTED(check("r1 = 0\n call f\n exit\n f: r0 = *(u32 *)(r1 +12)\n exit"), kMemory, "R1 invalid mem access");
  EXPECT_REJECTED(check("call f\n r0 = r1\n exit\n f: r0 = 0\n exit"), kType, "R1 !read_ok");
  EXPECT_REJECTED(check("call f\n exit\n f: r0 = r10\n exit"), kType, "cannot return stack pointer");
}

TEST(Call, LimitsStackAndDepth) {
  EXPECT_REJECTED(check("*(u64 *)(r10 -256) = 0\n call f\n exit\n f: *(u64 *)(r10 -264) = 0\n r0 = 0\n exit"), kLimit,
                  "combined stack size of 2 calls is 528");
  EXPECT_REJECTED(check("call f\n exit\n f: r0 = 0\n call f\n exit"), kLimit, "call stack of 8 frames is too deep");
}

TEST(Callback, IsWalkedUntilNothingIsNew) {
  const std::string program = R"(
    *(u64 *)(r10 -8) = 0
    r1 = 1000000
    r2 = subprog[body]
    r3 = r10
    r3 += -8
    r4 = 0
    call 181
    r0 = 0
    exit
    body:
    r1 = *(u64 *)(r2 +0)
    r1 += 1
    *(u64 *)(r2 +0) = r1
    r0 = 0
    exit)";
  const Outcome outcome = check(program);
  EXPECT_ACCEPTED(outcome);
  EXPECT_LT(outcome.facts.visited_insns, 200u);
}

TEST(Timer, CallbackMayStartItAgain) {
  MapSpec spec = map_of(kMapArray, 4, 24);
  spec.timer_offset = 8;
  const std::string program = R"(
    *(u32 *)(r10 -4) = 0
    r2 = r10
    r2 += -4
    r1 = map[0]
    call 1
    if r0 == 0 goto out
    r6 = r0
    r1 = r6
    r1 += 8
    r2 = map[0]
    r3 = 1
    call 169
    r1 = r6
    r1 += 8
    r2 = subprog[ring]
    call 170
    out: r0 = 0
    exit
    ring:
    r1 = r3
    r1 += 8
    r2 = subprog[ring]
    call 170
    r0 = 0
    exit)";
  EXPECT_ACCEPTED(check(program, {spec}));
  spec.timer_offset = 16;
  EXPECT_REJECTED(check(program, {spec}), kType, "off 8 doesn't point to 'struct bpf_timer' that is at 16");
}

TEST(Callback, SeesWhatEarlierIterationsLeft) {
  // The second iteration uses the offset that the first one stored.
  EXPECT_REJECTED(check(R"(
    *(u64 *)(r10 -8) = 0
    r1 = 10
    r2 = subprog[body]
    r3 = r10
    r3 += -8
    r4 = 0
    call 181
    r0 = 0
    exit
    body:
    r3 = *(u64 *)(r2 +0)
    r4 = r2
    r4 += r3
    r5 = *(u64 *)(r4 +0)
    r3 += 8
    *(u64 *)(r2 +0) = r3
    r0 = 0
    exit)"),
                  kMemory, "stack");
}

}  // namespace
}  // namespace xnic::compile::verify::testing
