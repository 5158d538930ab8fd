// SPDX-License-Identifier: Apache-2.0
// The engine on packets and maps: context, redirects, tail calls, callbacks, timers, and what checked mode catches.
// Programs are given in the assembler's text.
#include "exec/interp/interp.hpp"

#include <gtest/gtest.h>

#include "arch/ebpf/assemble.hpp"

namespace xnic::exec::interp {
namespace {

using arch::ebpf::MapSpec;

std::shared_ptr<maps::Map> make_map(arch::ebpf::MapType type, uint32_t key, uint32_t value, uint32_t entries) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  int error = 0;
  std::shared_ptr<maps::Map> map = maps::Map::create(spec, {}, error);
  EXPECT_NE(map, nullptr) << error;
  return map;
}

std::shared_ptr<LoadedProgram> program(std::string_view text, std::vector<std::shared_ptr<maps::Map>> maps = {}) {
  auto insns = arch::ebpf::assemble(text);
  EXPECT_TRUE(insns) << insns.error().message();
  auto inner = std::make_shared<arch::ebpf::Program>();
  if (insns) inner->insns = std::move(*insns);
  auto loaded = std::make_shared<LoadedProgram>();
  for (const auto& map : maps) inner->maps.push_back(map->spec());
  loaded->program = std::move(inner);
  for (uint32_t i = 0; i < maps.size(); ++i) loaded->map_ids.push_back(100 + i);
  loaded->maps = std::move(maps);
  return loaded;
}

struct Outcome {
  Verdict verdict;
  std::vector<uint8_t> bytes;
};

class InterpTest : public testing::Test {
 protected:
  Outcome run(Interp& engine, const std::shared_ptr<LoadedProgram>& loaded, uint32_t size = 64) {
    const auto ready = engine.load(loaded);
    EXPECT_TRUE(ready) << ready.error().message();
    return again(engine, size);
  }
  Outcome again(Interp& engine, uint32_t size = 64) {
    std::vector<uint8_t> frame(size);
    for (uint32_t i = 0; i < size; ++i) frame[i] = static_cast<uint8_t>(i);
    packet_.assign(frame);
    Outcome outcome;
    EXPECT_TRUE(engine.run({&packet_, 1}, {&outcome.verdict, 1}, context_));
    outcome.bytes = packet_.bytes();
    return outcome;
  }
  uint32_t code(std::string_view text, std::vector<std::shared_ptr<maps::Map>> maps = {}) {
    Interp engine({.checked = true});
    const Outcome outcome = run(engine, program(text, std::move(maps)));
    EXPECT_FALSE(engine.violation()) << engine.violation()->what;
    return outcome.verdict.code;
  }
  std::optional<Violation> violation(std::string_view text, std::vector<std::shared_ptr<maps::Map>> maps = {}) {
    Interp engine({.checked = true});
    EXPECT_EQ(run(engine, program(text, std::move(maps))).verdict.action(), arch::ebpf::kXdpAborted);
    return engine.violation();
  }

  base::ManualClock clock_{1'000'000};
  RunContext context_{.clock = &clock_};
  packet::Packet packet_;
};

TEST_F(InterpTest, RefusesUnknownHelpersUnlessTheFactsSayThatNothingReachesThem) {
  const auto loaded = program("r0 = 2\n goto out\n call 9999\n out: exit");
  Interp engine({.checked = true, .check_facts = true});
  EXPECT_FALSE(engine.load(loaded));
  auto facts = std::make_shared<arch::ebpf::Facts>();
  facts->insns.resize(4);
  for (const size_t slot : {0, 1, 3}) facts->insns[slot].reached = true;
  loaded->facts = facts;
  EXPECT_EQ(run(engine, loaded).verdict.code, 2u);
  EXPECT_FALSE(engine.violation()) << engine.violation()->what;
  facts->insns[2].reached = true;
  EXPECT_FALSE(engine.load(loaded));
}

// A program whose instruction `slot` is entered with r0 as the facts describe it, or not.
class FactsTest : public InterpTest {
 protected:
  static std::shared_ptr<arch::ebpf::Facts> trivial_facts(const LoadedProgram& loaded) {
    auto facts = std::make_shared<arch::ebpf::Facts>();
    facts->insns.resize(loaded.program->insns.size());
    for (auto& insn : facts->insns) insn.reached = true;
    facts->stack_bytes.assign(1, 512);
    facts->may_change_packet = true;
    return facts;
  }
  std::string what(const std::shared_ptr<LoadedProgram>& loaded, std::shared_ptr<const arch::ebpf::Facts> facts) {
    loaded->facts = std::move(facts);
    Interp engine({.checked = true, .check_facts = true});
    run(engine, loaded);
    return engine.violation() ? engine.violation()->what : "";
  }
};

TEST_F(FactsTest, MapValueOffsetsAreChecked) {
  const auto map = make_map(arch::ebpf::kMapArray, 4, 16, 2);
  const auto loaded =
      program("*(u32 *)(r10 -4) = 1\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n r0 += 5\n r0 = 0\n exit", {map});
  auto facts = trivial_facts(*loaded);
  auto& reg = facts->insns[7].regs[0];
  reg.type = arch::ebpf::RegType::kMapValue;
  reg.range = arch::ebpf::Range{{0, 7}, 0, 7, 0, 7, 0, 7, 0, 7};
  EXPECT_EQ(what(loaded, facts), "");
  reg.range = arch::ebpf::Range{{0, 4}, 0, 4, 0, 4, 0, 4, 0, 4};
  EXPECT_NE(what(loaded, facts).find("r0"), std::string::npos);
  reg.range = arch::ebpf::Range::constant(5);
  EXPECT_EQ(what(loaded, facts), "");
}

TEST_F(FactsTest, StackAndPacketClaimsAreChecked) {
  const auto loaded = program("*(u64 *)(r10 -16) = 1\n r2 = 1\n call 44\n r0 = 2\n exit");
  auto facts = trivial_facts(*loaded);
  const_cast<arch::ebpf::Program&>(*loaded->program).subprograms = {{0, 5, "main", false}};
  EXPECT_EQ(what(loaded, facts), "");
  facts->stack_bytes[0] = 8;
  EXPECT_NE(what(loaded, facts).find("below the stack"), std::string::npos);
  facts->stack_bytes[0] = 16;
  facts->may_change_packet = false;
  EXPECT_NE(what(loaded, facts).find("bounds moved"), std::string::npos);
  facts->may_change_packet = true;
  facts->insns[1].packet_bytes = 64;
  EXPECT_EQ(what(loaded, facts), "");
  facts->insns[1].packet_bytes = 65;
  EXPECT_NE(what(loaded, facts).find("packet bytes proved"), std::string::npos);
}

TEST_F(FactsTest, ScramblingShowsAHalfThatIsNotDead) {
  const auto loaded = program("r0 = 1\n r0 >>= 32\n exit");
  auto facts = trivial_facts(*loaded);
  facts->insns[1].upper_live = 1;
  loaded->facts = facts;
  Interp engine({.checked = true, .scramble_dead_halves = true});
  EXPECT_EQ(run(engine, loaded).verdict.code, 0u);
  facts->insns[1].upper_live = 0;
  EXPECT_NE(run(engine, loaded).verdict.code, 0u);
}

TEST_F(InterpTest, AnswersContextLoadsByField) {
  packet_.ingress_ifindex = 7;
  packet_.rx_queue = 3;
  packet_.egress_ifindex = 11;
  EXPECT_EQ(code("r2 = *(u32 *)(r1 +0)\n r0 = *(u32 *)(r1 +4)\n r0 -= r2\n exit"), 64u);
  EXPECT_EQ(code("r2 = *(u32 *)(r1 +8)\n r0 = *(u32 *)(r1 +0)\n r0 -= r2\n exit"), 0u);
  EXPECT_EQ(code("r0 = *(u32 *)(r1 +12)\n exit"), 7u);
  EXPECT_EQ(code("r0 = *(u32 *)(r1 +16)\n exit"), 3u);
  EXPECT_EQ(code("r0 = *(u32 *)(r1 +20)\n exit"), 11u);
}

TEST_F(InterpTest, ReadsAndWritesThePacket) {
  Interp engine({.checked = true});
  const Outcome outcome = run(engine, program("r2 = *(u32 *)(r1 +0)\n r3 = *(u8 *)(r2 +5)\n *(u8 *)(r2 +0) = r3\n"
                                              "r0 = 3\n exit"));
  EXPECT_EQ(outcome.verdict.code, arch::ebpf::kXdpTx);
  EXPECT_EQ(outcome.bytes[0], 5);
  EXPECT_EQ(engine.counters().packets, 1u);
  EXPECT_EQ(engine.counters().bytes, 64u);
  EXPECT_EQ(engine.counters().actions[arch::ebpf::kXdpTx], 1u);
}

TEST_F(InterpTest, GivesTheTargetOfARedirectOnlyWithThatVerdict) {
  Interp engine;
  Outcome outcome = run(engine, program("r1 = 9\n r2 = 0\n call 23\n exit"));
  EXPECT_EQ(outcome.verdict.code, arch::ebpf::kXdpRedirect);
  EXPECT_EQ(outcome.verdict.redirect, (Redirect{RedirectKind::kInterface, 9, 0, 0}));
  outcome = run(engine, program("r1 = 9\n r2 = 0\n call 23\n r0 = 2\n exit"));
  EXPECT_EQ(outcome.verdict.redirect, Redirect{});
}

TEST_F(InterpTest, UsesMapsThroughHelpers) {
  auto map = make_map(arch::ebpf::kMapArray, 4, 8, 4);
  constexpr std::string_view kCount =
      "*(u32 *)(r10 -4) = 2\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 != 0 goto found\n r0 = 0\n exit\n"
      "found:\n r1 = 1\n lock *(u64 *)(r0 +0) += r1\n r0 = *(u64 *)(r0 +0)\n exit";
  EXPECT_EQ(code(kCount, {map}), 1u);
  EXPECT_EQ(code(kCount, {map}), 2u);
  const uint32_t key = 2;
  EXPECT_EQ(base::load<uint64_t>(map->lookup(&key, 0)), 2u);
}

TEST_F(InterpTest, TailCallsGoOnInTheOtherProgramAndStopAfter33) {
  auto table = make_map(arch::ebpf::kMapProgArray, 4, 4, 4);
  auto counter = make_map(arch::ebpf::kMapArray, 4, 8, 1);
  // Counts itself, then calls itself; answers 2 when the tail call fails.
  auto self = program(
      "r6 = r1\n r1 = map[1][0]+0\n r2 = *(u64 *)(r1 +0)\n r2 += 1\n *(u64 *)(r1 +0) = r2\n"
      "r1 = r6\n r2 = map[0]\n r3 = 1\n call 12\n r0 = 2\n exit",
      {table, counter});
  const uint32_t index = 1;
  const uint32_t value = 1;
  ASSERT_EQ(table->host_update_reference(&index, {self, nullptr, nullptr}, &value, 0), 0);
  Interp engine({.checked = true});
  EXPECT_EQ(run(engine, self).verdict.code, 2u);
  EXPECT_FALSE(engine.violation());
  const uint32_t zero = 0;
  EXPECT_EQ(base::load<uint64_t>(counter->lookup(&zero, 0)), 34u);
  ASSERT_EQ(table->erase(&index), 0);
}

TEST_F(InterpTest, ATailCallInASubprogramReturnsToItsCaller) {
  auto table = make_map(arch::ebpf::kMapProgArray, 4, 4, 4);
  auto target = program("r0 = 40\n exit");
  const uint32_t index = 0;
  const uint32_t value = 1;
  ASSERT_EQ(table->host_update_reference(&index, {target, nullptr, nullptr}, &value, 0), 0);
  EXPECT_EQ(
      code("r6 = 2\n call sub\n r0 += r6\n exit\n sub:\n r2 = map[0]\n r3 = 0\n call 12\n r0 = 7\n exit", {table}),
      42u);
}

TEST_F(InterpTest, RunsCallbacksOfLoopUntilTheyAskToStop) {
  // ctx: a counter on the caller's stack; the callback stops at index 4.
  constexpr std::string_view kLoop =
      "*(u64 *)(r10 -8) = 0\n r1 = 10\n r2 = subprog[body]\n r3 = r10\n r3 += -8\n r4 = 0\n call 181\n"
      "r6 = *(u64 *)(r10 -8)\n r6 *= 100\n r0 += r6\n exit\n"
      "body:\n r3 = *(u64 *)(r2 +0)\n r3 += 1\n *(u64 *)(r2 +0) = r3\n r0 = 0\n if r1 != 4 goto more\n r0 = 1\n"
      "more:\n exit";
  EXPECT_EQ(code(kLoop), 505u);
}

TEST_F(InterpTest, WalksMapsWithACallback) {
  for (const uint32_t type : {arch::ebpf::kMapArray, arch::ebpf::kMapHash}) {
    auto map = make_map(type, 4, 8, 4);
    for (uint32_t key = 0; key < 4; ++key) {
      const uint64_t value = key + 1;
      ASSERT_EQ(map->update(&key, &value, 0, 0), 0);
    }
    constexpr std::string_view kSum =
        "*(u64 *)(r10 -8) = 0\n r1 = map[0]\n r2 = subprog[body]\n r3 = r10\n r3 += -8\n r4 = 0\n call 164\n"
        "r6 = *(u64 *)(r10 -8)\n r6 *= 100\n r0 += r6\n exit\n"
        "body:\n r2 = *(u32 *)(r2 +0)\n r3 = *(u64 *)(r3 +0)\n r3 += r2\n r1 = *(u64 *)(r4 +0)\n r1 += r3\n"
        "*(u64 *)(r4 +0) = r1\n r0 = 0\n exit";
    EXPECT_EQ(code(kSum, {map}), 1604u) << type;
  }
}

TEST_F(InterpTest, AbortsAPacketWhoseBudgetRunsOut) {
  Interp engine({.budget = 1000});
  const auto endless = program("again:\n r0 = 2\n goto again\n exit");
  EXPECT_EQ(run(engine, endless).verdict.action(), arch::ebpf::kXdpAborted);
  EXPECT_EQ(again(engine).verdict.action(), arch::ebpf::kXdpAborted);
  EXPECT_EQ(engine.out_of_budget(), 2u);
  EXPECT_EQ(engine.executed(), 2000u);
  // Inside a callback too.
  EXPECT_EQ(run(engine, program("r1 = 8000000\n r2 = subprog[body]\n r3 = 0\n r4 = 0\n call 181\n r0 = 2\n exit\n"
                                "body:\n r0 = 0\n exit"))
                .verdict.action(),
            arch::ebpf::kXdpAborted);
  EXPECT_EQ(engine.out_of_budget(), 1u);
}

TEST_F(InterpTest, RunsATimersCallbackWhenTheClockPasses) {
  MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4;
  spec.value_size = 24;
  spec.max_entries = 2;
  spec.timer_offset = 8;
  int error = 0;
  std::shared_ptr<maps::Map> map = maps::Map::create(spec, {}, error);
  ASSERT_NE(map, nullptr);
  // Arms the timer of element 1 for 500 ns; the callback stores its key + 41.
  auto loaded = program(
      "*(u32 *)(r10 -4) = 1\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 != 0 goto ok\n exit\nok:\n r6 = r0\n"
      "r6 += 8\n r1 = r6\n r2 = map[0]\n r3 = 1\n call 169\n r1 = r6\n r2 = subprog[body]\n call 170\n"
      "r1 = r6\n r2 = 500\n r3 = 0\n call 171\n exit\n"
      "body:\n r2 = *(u32 *)(r2 +0)\n r2 += 41\n *(u64 *)(r3 +0) = r2\n r0 = 0\n exit",
      {map});
  Interp engine({.checked = true});
  EXPECT_EQ(run(engine, loaded).verdict.code, 0u);
  const uint32_t key = 1;
  const auto stored = [&] { return base::load<uint64_t>(map->lookup(&key, 0)); };
  clock_.advance_ns(499);
  EXPECT_EQ(engine.run_timers(context_), 0u);
  EXPECT_EQ(stored(), 0u);
  clock_.advance_ns(1);
  EXPECT_EQ(engine.run_timers(context_), 1u);
  EXPECT_EQ(stored(), 42u);
  EXPECT_EQ(engine.run_timers(context_), 0u) << "a timer fires once";
  EXPECT_FALSE(engine.violation()) << engine.violation()->what;
}

TEST_F(InterpTest, CheckedModeAllowsOnlyWhatTheProgramOwns) {
  const std::string load_data = "r2 = *(u32 *)(r1 +0)\n ";
  auto violated = violation(load_data + "r0 = *(u32 *)(r2 +61)\n exit");
  ASSERT_TRUE(violated);
  EXPECT_EQ(violated->kind, Violation::Kind::kMemory);
  EXPECT_EQ(violated->slot, 1u);
  EXPECT_EQ(violated->bytes, 4u);
  EXPECT_EQ(violated->what, "read of 4 bytes at data+61 (data_end is data+64)");
  EXPECT_TRUE(violation(load_data + "*(u8 *)(r2 -1) = 1\n exit"));
  EXPECT_TRUE(violation("*(u64 *)(r10 +0) = 1\n exit"));
  EXPECT_EQ(violation("*(u64 *)(r10 -516) = 1\n exit")->what, "write of 8 bytes at fp-516 of frame 0");
  EXPECT_TRUE(violation("*(u32 *)(r1 +16) = 1\n exit")) << "the context is read-only";
  EXPECT_TRUE(violation("r0 = *(u64 *)(r1 +20)\n exit"));
  EXPECT_TRUE(violation("r1 = 0\n r0 = *(u8 *)(r1 +0)\n exit"));
  EXPECT_TRUE(violation("r1 = 1\n lock *(u64 *)(r1 +0) += r1\n exit"));
}

TEST_F(InterpTest, CheckedModeChecksWhatHelpersAreGiven) {
  auto map = make_map(arch::ebpf::kMapArray, 4, 8, 4);
  auto key_outside = violation("r2 = r10\n r2 += -3\n r1 = map[0]\n call 1\n r0 = 0\n exit", {map});
  ASSERT_TRUE(key_outside);
  EXPECT_EQ(key_outside->kind, Violation::Kind::kHelperArgument);
  EXPECT_TRUE(violation("r2 = r10\n r2 += -8\n r1 = 0\n call 1\n exit", {map})) << "no map";
  EXPECT_TRUE(violation("r2 = 0\n r3 = r10\n r3 += -8\n r4 = 9\n call 189\n exit")) << "one byte too many";
  auto value_end = violation("r1 = map[0][0]+0\n r0 = *(u64 *)(r1 +1)\n exit", {map});
  EXPECT_TRUE(value_end) << "an access must lie in one value";
}

arch::ebpf::RegFact scalar(uint64_t low, uint64_t high) {
  arch::ebpf::RegFact fact;
  fact.type = arch::ebpf::RegType::kScalar;
  fact.range.umin = low;
  fact.range.umax = high;
  return fact;
}

TEST_F(InterpTest, FactsAreHeldAgainstEveryState) {
  const auto with_facts = [&](auto change) {
    auto loaded = program("r2 = *(u32 *)(r1 +0)\n r3 = *(u8 *)(r2 +5)\n r0 = 2\n exit");
    auto facts = std::make_shared<arch::ebpf::Facts>();
    facts->insns.resize(4);
    for (auto& insn : facts->insns) insn.reached = true;
    facts->insns[1].regs[2].type = arch::ebpf::RegType::kPacket;
    facts->insns[1].regs[2].range = arch::ebpf::Range::constant(0);
    facts->insns[2].regs[3] = scalar(5, 5);
    change(*facts);
    loaded->facts = facts;
    Interp engine({.checked = true, .check_facts = true});
    run(engine, loaded);
    return engine.violation();
  };
  EXPECT_FALSE(with_facts([](auto&) {}));
  const auto wrong_range = with_facts([](auto& facts) { facts.insns[2].regs[3] = scalar(6, 9); });
  ASSERT_TRUE(wrong_range);
  EXPECT_EQ(wrong_range->slot, 2u);
  EXPECT_EQ(wrong_range->kind, Violation::Kind::kFacts);
  EXPECT_TRUE(with_facts([](auto& facts) { facts.insns[3].reached = false; }));
  EXPECT_TRUE(with_facts([](auto& facts) { facts.insns[1].regs[2].range = arch::ebpf::Range::constant(1); }));
  EXPECT_TRUE(with_facts([](auto& facts) { facts.insns[1].regs[2].type = arch::ebpf::RegType::kPacketEnd; }));
  EXPECT_TRUE(with_facts([](auto& facts) { facts.insns[1].packet_bytes = 65; }));
}

TEST_F(InterpTest, RefusesWhatItCannotRun) {
  Interp engine;
  auto unknown = engine.load(program("call 14\n exit"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, base::ErrorKind::kUnsupported);
  EXPECT_EQ(unknown.error().where, "insn 0");
  Verdict verdict;
  EXPECT_FALSE(engine.run({&packet_, 1}, {&verdict, 1}, context_)) << "nothing is loaded";
}

TEST_F(InterpTest, DrawsTheSameRandomNumbersFromTheSameSeed) {
  uint64_t seed = 5;
  context_.random_state = &seed;
  const uint32_t first = code("call 7\n exit");
  const uint32_t second = code("call 7\n exit");
  EXPECT_NE(first, second);
  seed = 5;
  EXPECT_EQ(code("call 7\n exit"), first);
}

TEST(MakeEngine, KnowsItsNames) {
  for (const std::string_view name : engine_names()) EXPECT_EQ(make_engine(name)->name(), name);
  EXPECT_EQ(make_engine("none"), nullptr);
}

}  // namespace
}  // namespace xnic::exec::interp
