// SPDX-License-Identifier: Apache-2.0
// The bound of a traced path on small programs, counted by hand.
#include "path_bound.hpp"

#include <gtest/gtest.h>

#include "arch/ebpf/context.hpp"
#include "exec/interp/interp.hpp"

namespace xnic::bench {
namespace {

using namespace arch::ebpf;

constexpr uint32_t kKtime = 5;

Binary move(Reg dst, Operand src) { return {BinaryOp::kMov, Width::k64, dst, src}; }
Binary alu(BinaryOp op, Reg dst, Operand src) { return {op, Width::k64, dst, src}; }
Load load(Size size, Reg dst, Reg src, int16_t offset) { return {size, false, dst, src, offset}; }
Load data(Reg dst) { return load(Size::k4, dst, Reg::kR1, kCtxData); }
Store store(Size size, Reg dst, int16_t offset, Operand src) { return {size, dst, offset, src}; }

// Runs the program on 60 bytes 0, 1, 2, … and bounds its path.
PathBound bound(const std::vector<Instruction>& insns, uint32_t lanes = 4) {
  auto program = std::make_shared<Program>();
  program->name = "test";
  program->insns = insns;
  auto loaded = std::make_shared<exec::LoadedProgram>();
  loaded->program = program;
  std::vector<TraceStep> trace;
  exec::interp::InterpOptions options;
  options.observer = [&](const exec::interp::Step& step) {
    TraceStep& kept = trace.emplace_back();
    kept.slot = step.slot, kept.depth = step.depth;
    std::copy(step.registers.begin(), step.registers.end(), kept.registers.begin());
  };
  exec::interp::Interp interp(options);
  EXPECT_TRUE(interp.load(loaded));
  std::vector<exec::packet::Packet> packets(1);
  std::vector<exec::Verdict> verdicts(1);
  std::vector<uint8_t> frame(60);
  for (size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<uint8_t>(i);
  packets[0].assign(frame);
  const base::ManualClock clock;
  EXPECT_TRUE(interp.run(packets, verdicts, {.clock = &clock}));
  auto result = bound_path(*loaded, trace, lanes);
  EXPECT_TRUE(result) << (result ? "" : result.error().message());
  return result ? *result : PathBound{};
}

TEST(PathBound, AConstantVerdictIsOneRowAndRawItIsTwo) {
  const PathBound b = bound({move(Reg::kR0, 1), Exit{}});
  EXPECT_EQ(b.insns, 2u);
  EXPECT_EQ(b.raw.rows, 2u);
  EXPECT_EQ(b.raw.height, 2u);
  EXPECT_EQ(b.reduced.slots, 1u);
  EXPECT_EQ(b.reduced.rows, 1u);
}

TEST(PathBound, BytesPutTogetherAreOneLoadAndInNetworkOrderASwapMore) {
  const auto pair = [](int16_t low, int16_t high) {
    return std::vector<Instruction>{data(Reg::kR2),
                                    load(Size::k1, Reg::kR0, Reg::kR2, low),
                                    load(Size::k1, Reg::kR3, Reg::kR2, high),
                                    alu(BinaryOp::kLsh, Reg::kR3, 8),
                                    alu(BinaryOp::kOr, Reg::kR0, Reg::kR3),
                                    Exit{}};
  };
  EXPECT_EQ(bound(pair(12, 13)).reduced.slots, 2u) << "load, exit";
  EXPECT_EQ(bound(pair(12, 13)).reduced.rows, 2u);
  EXPECT_EQ(bound(pair(13, 12)).reduced.slots, 3u) << "load, swap, exit";
  EXPECT_EQ(bound(pair(12, 13)).raw.slots, 6u);
  EXPECT_EQ(bound(pair(12, 13)).raw.height, 5u) << "data, byte, shift, or, exit";
}

TEST(PathBound, ACopyOfSixBytesIsOneLoadAndOneStore) {
  const PathBound b = bound({data(Reg::kR2), load(Size::k4, Reg::kR3, Reg::kR2, 0),
                             load(Size::k2, Reg::kR4, Reg::kR2, 4), store(Size::k4, Reg::kR2, 6, Reg::kR3),
                             store(Size::k2, Reg::kR2, 10, Reg::kR4), move(Reg::kR0, 3), Exit{}});
  EXPECT_EQ(b.reduced.slots, 3u);
  EXPECT_EQ(b.reduced.rows, 2u) << "the exit shares the store's row";
}

TEST(PathBound, WhatIsOverwrittenOrPutAsideIsGone) {
  const PathBound b = bound({data(Reg::kR2), store(Size::k4, Reg::kR2, 0, 1), load(Size::k4, Reg::kR3, Reg::kR2, 8),
                             store(Size::k8, Reg::kR10, -8, Reg::kR3), load(Size::k8, Reg::kR4, Reg::kR10, -8),
                             store(Size::k4, Reg::kR2, 0, Reg::kR4), move(Reg::kR0, 3), Exit{}});
  EXPECT_EQ(b.reduced.slots, 3u) << "load, store, exit";
}

TEST(PathBound, BranchesHoldStoresBackButNotLoads) {
  // The branch waits for its load; the second load does not wait for the branch, the store does: row 2 for both.
  const PathBound b = bound({data(Reg::kR2), load(Size::k1, Reg::kR3, Reg::kR2, 5),
                             Jump{JumpOp::kEq, Width::k64, Reg::kR3, 9, 5}, load(Size::k1, Reg::kR4, Reg::kR2, 20),
                             store(Size::k1, Reg::kR2, 0, Reg::kR4), move(Reg::kR0, 3), Exit{}});
  EXPECT_EQ(b.reduced.slots, 5u);
  EXPECT_EQ(b.reduced.rows, 2u);
  // A chain before the branch moves the store as well, though its value is there.
  const PathBound late = bound({data(Reg::kR2), load(Size::k1, Reg::kR3, Reg::kR2, 5), alu(BinaryOp::kMul, Reg::kR3, 3),
                                alu(BinaryOp::kMul, Reg::kR3, 5), Jump{JumpOp::kEq, Width::k64, Reg::kR3, 9, 6},
                                store(Size::k1, Reg::kR2, 0, 7), move(Reg::kR0, 3), Exit{}});
  EXPECT_EQ(late.reduced.height, 4u);
  EXPECT_EQ(late.reduced.rows, 4u);
}

TEST(PathBound, ACheckAgainstTheEndOfThePacketIsFree) {
  const PathBound b = bound({data(Reg::kR2), load(Size::k4, Reg::kR3, Reg::kR1, kCtxDataEnd), move(Reg::kR4, Reg::kR2),
                             alu(BinaryOp::kAdd, Reg::kR4, 14), Jump{JumpOp::kGt, Width::k64, Reg::kR4, Reg::kR3, 5},
                             move(Reg::kR0, 1), Exit{}});
  EXPECT_EQ(b.reduced.slots, 1u);
}

TEST(PathBound, ARowTakesOneCallAndAsManyOperationsAsLanes) {
  const std::vector<Instruction> insns = {CallHelper{kKtime}, move(Reg::kR6, Reg::kR0), CallHelper{kKtime},
                                          alu(BinaryOp::kXor, Reg::kR0, Reg::kR6), Exit{}};
  const PathBound b = bound(insns);
  EXPECT_EQ(b.reduced.slots, 4u) << "call, call, xor, exit";
  EXPECT_EQ(b.reduced.height, 3u);
  EXPECT_EQ(b.reduced.rows, 4u);
  EXPECT_EQ(bound(insns, 1).raw.rows, 5u);
}

}  // namespace
}  // namespace xnic::bench
