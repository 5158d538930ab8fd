// SPDX-License-Identifier: Apache-2.0
// Cycle counts of small programs, row by row. A 60-byte packet is two frames of 32 bytes.
#include <cmath>

#include "arch/ebpf/map_types.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

constexpr uint32_t kRedirect = 23;
constexpr uint32_t kCsumDiff = 28;

isa::Image redirect_image() {
  isa::Image image = image_of({{CallExit{0}}});
  image.call_sites = {site_of(kRedirect, {{Argument::Kind::kConstant, 0, 0, 3}, {Argument::Kind::kConstant, 0, 0, 0}})};
  return image;
}

// Rows that end in the verdict: `rows` of them.
Rows padded(size_t rows, uint32_t verdict) {
  Rows all(rows - 1, {set(1, 1)});
  all.push_back({Exit{verdict}});
  return all;
}

TEST(HxdpTiming, DropCostsTheTwoCyclesOfItsReadIn) {
  // Read-in 2; reset 1 + row 1 for the packet before, meanwhile; nothing leaves.
  Runner runner(image_of({{Exit{1}}}));
  EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 2.0);
}

TEST(HxdpTiming, TxAndRedirectCostTwoCyclesSinceEmissionOverlaps) {
  Runner tx(image_of({{Exit{3}}}));
  EXPECT_DOUBLE_EQ(tx.cycles_per_packet(), 2.0);
  Runner redirect(redirect_image());
  EXPECT_DOUBLE_EQ(redirect.cycles_per_packet(), 2.0);
  EXPECT_EQ(redirect.verdicts[0].code, 4u);
  EXPECT_EQ(redirect.verdicts[0].redirect.target, 3u);
}

TEST(HxdpTiming, WithOneBufferNothingOverlaps) {
  // Frame 0 in, row; frame 1 in meanwhile; two frames out: 1 + 1 + 2.
  CardOptions options;
  options.timing.packet_buffers = 1;
  Runner runner(image_of({{Exit{3}}}), options);
  EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 4.0);
}

TEST(HxdpTiming, APacketCostsItsRowsAndOneCycleOfReset) {
  for (size_t rows = 2; rows < 12; ++rows) {
    Runner runner(image_of(padded(rows, 3)));
    EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), static_cast<double>(rows + 1)) << rows;
  }
}

TEST(HxdpTiming, ATakenBranchCostsABubbleAndAForeseenGotoNone) {
  Runner straight(image_of({{Branch{JumpOp::kNe, Width::k64, 1, Imm(0), 2}}, {set(1, 1)}, {set(1, 1)}, {Exit{1}}}));
  EXPECT_DOUBLE_EQ(straight.cycles_per_packet(), 5.0) << "four rows, reset";
  Runner taken(image_of({{Branch{JumpOp::kEq, Width::k64, 1, Imm(0), 2}}, {set(1, 1)}, {set(1, 1)}, {Exit{1}}}));
  EXPECT_DOUBLE_EQ(taken.cycles_per_packet(), 5.0) << "three rows, bubble, reset";
  EXPECT_EQ(taken.card->counters().cycles.branch, taken.card->counters().packets);
  Runner jump(image_of({{Goto{2}}, {set(1, 1)}, {set(1, 1)}, {Exit{1}}}));
  EXPECT_DOUBLE_EQ(jump.cycles_per_packet(), 4.0) << "three rows, reset";
  Runner overtaken(
      image_of({{Branch{JumpOp::kNe, Width::k64, 1, Imm(0), 1}, Goto{2}}, {set(1, 1)}, {set(1, 1)}, {Exit{1}}}));
  EXPECT_DOUBLE_EQ(overtaken.cycles_per_packet(), 5.0) << "fetch cannot tell";
}

TEST(HxdpTiming, ALongCallHoldsItsRow) {
  isa::Image image = image_of({{Call{0, true, 1}}, {Exit{1}}});
  image.call_sites = {site_of(kCsumDiff, {{Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kStack, 0, 0, 0},
                                          {Argument::Kind::kConstant, 0, 0, 128},
                                          {Argument::Kind::kConstant, 0, 0, 0}})};
  Runner runner(image);
  EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 6.0) << "128 bytes at 32 a cycle, exit, reset";
  EXPECT_EQ(runner.card->counters().cycles.helper, 3 * runner.card->counters().packets);
}

TEST(HxdpTiming, TheLengthOfACallMayComeFromARegister) {
  isa::Image image = image_of({{set(5, 96)}, {Call{0, true, 1}}, {Exit{1}}});
  image.call_sites = {site_of(kCsumDiff, {{Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kStack, 0, 0, 0},
                                          {Argument::Kind::kRegister, 5, 0, 0},
                                          {Argument::Kind::kConstant, 0, 0, 0}})};
  Runner runner(image);
  EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 6.0);
}

TEST(HxdpTiming, ACallWaitsForTheBytesThatItReadsAndNoMore) {
  // 64 bytes from byte 14 on end in frame 2; the first row runs in cycle 1, frame 2 is readable in cycle 3.
  isa::Image image = image_of({{Call{0, true, 1}}, {Exit{1}}});
  image.call_sites = {site_of(kCsumDiff, {{Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kConstant, 0, 0, 0},
                                          {Argument::Kind::kPacket, 0, 0, 14},
                                          {Argument::Kind::kConstant, 0, 0, 64},
                                          {Argument::Kind::kConstant, 0, 0, 0}})};
  Runner runner(image);
  runner.run(1, 1500);
  EXPECT_EQ(runner.card->counters().cycles.input, 2u);
}

TEST(HxdpTiming, ARowWaitsForTheFrameThatItTouches) {
  // Frame k is readable k + 1 cycles after the read-in begins; the first row runs in cycle 1. Alone in the card, a load
  // from frame 40 in the first row waits 40 cycles.
  Runner runner(image_of({{load(1, at(Space::kPacket, 40 * 32 + 3, 1))}, {Exit{1}}}));
  runner.run(1, 1500);
  EXPECT_EQ(runner.card->counters().cycles.input, 40u);
  // Frame 0 waits for nothing, nor does what a store writes.
  Runner store(
      image_of({{load(1, at(Space::kPacket, 28, 4)), Store{at(Space::kPacket, 1400, 4), Imm(1), false}}, {Exit{1}}}));
  store.run(1, 1500);
  EXPECT_EQ(store.card->counters().cycles.input, 0u);
}

TEST(HxdpTiming, ALookUpGoesToExternalMemoryStepByStep) {
  isa::Image image = image_of({{Call{0, true, 1}}, {Exit{1}}});
  image.call_sites = {site_of(1, {{Argument::Kind::kMap, 0, 0, 0}, {Argument::Kind::kConstantBytes, 0, 0, 32}})};
  image.maps = {{"routes", arch::ebpf::kMapLpmTrie, 8, 8, 4}};
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapLpmTrie;
  spec.key_size = 8;
  spec.value_size = 8;
  spec.max_entries = 4;
  spec.flags = arch::ebpf::kNoPrealloc;
  int error = 0;
  for (uint32_t memory : {0u, 10u}) {
    CardOptions options;
    options.timing.map_memory_cycles = memory;
    Runner runner(image, options, {maps::Map::create(spec, {}, error)});
    EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 6.0 + 4 * memory) << "4 steps, exit, reset";
    EXPECT_EQ(runner.card->counters().cycles.memory, 4 * memory * runner.card->counters().packets);
  }
}

TEST(HxdpTiming, ExternalMapMemoryHoldsTheRow) {
  isa::Image image =
      image_of({{load(1, {Space::kMapValue, 0, 0, 8, 0}), load(2, {Space::kMapValue, 0, 0, 8, 0})}, {Exit{1}}});
  image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 1}};
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 1;
  int error = 0;
  CardOptions options;
  options.timing.map_memory_cycles = 30;
  Runner runner(image, options, {maps::Map::create(spec, {}, error)});
  EXPECT_DOUBLE_EQ(runner.cycles_per_packet(), 33.0) << "two rows, reset, 30 for both loads together";
}

TEST(HxdpTiming, EveryCycleOfACoreHasACause) {
  for (const auto& [rows, verdict, bytes] : {std::tuple{1, 1, 60}, {1, 3, 1500}, {9, 3, 60}, {30, 2, 300}}) {
    Runner runner(image_of(padded(static_cast<size_t>(rows), static_cast<uint32_t>(verdict))));
    runner.run(50, static_cast<size_t>(bytes));
    const CardCounters counters = runner.card->counters();
    EXPECT_EQ(counters.cycles.rows, 50u * static_cast<unsigned>(rows));
    const uint64_t out = verdict == 1 ? 0 : (static_cast<uint64_t>(bytes) + 31) / 32;
    EXPECT_LE(counters.cycles.total(), counters.elapsed);
    EXPECT_GE(counters.cycles.total() + out * 3, counters.elapsed);
  }
}

TEST(HxdpTiming, LatencyOfALonePacketIsQueueReadInRunAndEmission) {
  // 2 frames into the queue, 1 until the first row, 3 rows, 2 frames out.
  Runner runner(image_of(padded(3, 3)));
  runner.run(1);
  EXPECT_EQ(runner.card->counters().latency.percentile(50), 2u + 1 + 3 + 2);
}

TEST(HxdpTiming, OccupancyCountsOperationsByLane) {
  Runner runner(image_of({{set(1, 1), Nop{}, set(2, 2)}, {set(3, 1), set(4, 1)}, {Exit{1}}}));
  runner.run(10);
  EXPECT_EQ(runner.card->counters().lane_ops, (std::vector<uint64_t>{30, 10, 10, 0}));
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
