// SPDX-License-Identifier: Apache-2.0
// Packets at a rate: when they come, which are lost, how long they take. Small cases by hand.
#include "exec/sim/hxdp/traffic.hpp"

#include "arch/ebpf/map_types.hpp"
#include "card_fixture.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

constexpr uint64_t kClock = 156'250'000;

// One operation a row; a packet of two frames that is dropped after `rows` rows costs rows + 1 cycles.
isa::Image dropping_image(size_t rows, uint32_t cores = 1) {
  Rows all(rows - 1, {set(1, 1)});
  all.push_back({Exit{1}});
  isa::Image image = image_of(all);
  image.parameters.cores = cores;
  return image;
}

TEST(HxdpTraffic, PacketsAreEvenlySpacedAndRoundingDoesNotAddUp) {
  Arrivals packets({Traffic::Kind::kPackets, 3'000'000}, kClock);  // every 52.083 cycles
  for (uint64_t cycle : {0u, 52u, 104u, 156u, 208u}) EXPECT_EQ(packets.next(60, 0), cycle);
  Arrivals many({Traffic::Kind::kPackets, 3'000'000}, kClock);
  uint64_t last = 0;
  for (int i = 0; i <= 3'000'000; ++i) last = many.next(60, 0);
  EXPECT_EQ(last, kClock);
}

TEST(HxdpTraffic, ARateInBitsCountsTheWholeWire) {
  // 60 + 24 bytes at 10 Gb/s are 67.2 ns, 10.5 cycles; 1514 + 24 bytes 192.25 cycles.
  Arrivals bits({Traffic::Kind::kBits, 10'000'000'000}, kClock);
  EXPECT_EQ(bits.next(60, 0), 0u);
  EXPECT_EQ(bits.next(60, 0), 10u);
  EXPECT_EQ(bits.next(1514, 0), 21u);
  EXPECT_EQ(bits.next(60, 0), 213u);
}

TEST(HxdpTraffic, TimeStampsCountFromTheFirstAndNeverGoBack) {
  Arrivals stamps({Traffic::Kind::kTimestamps, 0}, kClock);
  EXPECT_EQ(stamps.next(60, 5000), 0u);
  EXPECT_EQ(stamps.next(60, 5064), 10u);
  EXPECT_EQ(stamps.next(60, 4000), 10u);
}

// A packet every 2 cycles, 9 rows, one buffer, a queue of 6 frames. Read-ins begin in cycles 2, 12, 22, 32, …: each
// when the run before has ended. Packets 0 to 3 find 0, 2, 2, 4 frames; 4, 5, 6 find 6 and are lost; packet 7 comes in
// cycle 14, when packet 1 has just been read in.
TEST(HxdpTraffic, AFullQueueLosesWhatItCannotHoldWhole) {
  CardOptions options;
  options.traffic = {Traffic::Kind::kPackets, kClock / 2};
  options.timing.packet_buffers = 1;
  options.timing.queue_frames = 6;
  Runner runner(dropping_image(9), options);
  runner.run(8);
  const CardCounters counters = runner.card->counters();
  EXPECT_EQ(counters.traffic.offered, 8u);
  EXPECT_EQ(counters.traffic.lost, 3u);
  EXPECT_EQ(counters.traffic.depths, (std::vector<uint32_t>{0, 2, 2, 4, 6, 6, 6, 4}));
  // Runs end in cycles 12, 22, 32, 42, 52; the packets came in 0, 2, 4, 6, 14.
  EXPECT_EQ(counters.latency.packets(), 5u);
  EXPECT_EQ(counters.latency.percentile(1), 12u);
  EXPECT_EQ(counters.latency.percentile(50), 28u);
  EXPECT_EQ(counters.latency.max(), 38u);
  EXPECT_EQ(counters.elapsed, 52u);
}

TEST(HxdpTraffic, ALostPacketIsDroppedUnseen) {
  isa::Image image =
      image_of({{set(1, 1)},
                {AddMemory{{Space::kMapValue, 0, 0, 8, 0}, Reg(1)}, Store{at(Space::kPacket, 0, 1), Imm(99), false}},
                {set(2, 1)},
                {Exit{3}}});
  image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 1}};
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 1;
  int error = 0;
  auto map = maps::Map::create(spec, {}, error);
  CardOptions options;
  options.traffic = {Traffic::Kind::kPackets, kClock / 2};  // the program takes 5 cycles
  options.timing.queue_frames = 8;
  Runner runner(image, options, {map});
  runner.run(100);
  const CardCounters counters = runner.card->counters();
  uint64_t untouched = 0;
  for (size_t i = 0; i < 100; ++i) {
    if (runner.packets[i].data[0] == 99) continue;
    ++untouched;
    EXPECT_EQ(runner.verdicts[i].code, 1u);
  }
  EXPECT_GT(counters.traffic.lost, 40u);
  EXPECT_EQ(untouched, counters.traffic.lost);
  EXPECT_EQ(base::load<uint64_t>(map->values_base()), 100 - counters.traffic.lost);
}

TEST(HxdpTraffic, BelowTheCardsSpeedNothingIsLost) {
  for (const auto& [cycles, lost] : {std::pair{10u, false}, {9u, true}}) {
    CardOptions options;
    options.traffic = {Traffic::Kind::kPackets, kClock / cycles};  // rounded down: a trifle slower
    options.timing.queue_frames = 32;
    Runner runner(dropping_image(9), options);
    runner.run(2000);
    EXPECT_EQ(runner.card->counters().traffic.lost != 0, lost) << cycles;
  }
}

TEST(HxdpTraffic, EachCoreHasItsQueue) {
  // Round robin, so each of two cores sees half of the packets, as one core does at half the rate: 40 cycles a packet,
  // one every 8.
  CardOptions options;
  options.dispatch = Dispatch::kRoundRobin;
  options.timing.queue_frames = 16;
  options.traffic = {Traffic::Kind::kPackets, 19'531'250};
  Runner one(dropping_image(39), options);
  one.run(200);
  options.traffic.rate *= 2;
  Runner two(dropping_image(39, 2), options);
  two.run(400);
  const TrafficCounters half = one.card->counters().traffic, whole = two.card->counters().traffic;
  ASSERT_EQ(whole.depths.size(), 400u);
  for (size_t i = 0; i < 200; ++i) {
    ASSERT_EQ(whole.depths[2 * i], half.depths[i]) << i;
    ASSERT_EQ(whole.depths[2 * i + 1], half.depths[i]) << i;
  }
  EXPECT_GT(half.lost, 100u);
  EXPECT_EQ(whole.lost, 2 * half.lost);
}

TEST(HxdpTraffic, ATraceSaysWhereAPacketWasInEachCycle) {
  CardOptions options;
  options.trace_packets = 2;
  Runner runner(image_of({{load(1, at(Space::kPacket, 70, 1))}, {Exit{3}}}), options);
  runner.run(3, 96);
  // Whole in the queue in cycle 3, read in from 3; row 0 could run in 4 and waits for frame 2, readable in 6.
  ASSERT_EQ(runner.card->traces().size(), 2u);
  const PacketTrace& trace = runner.card->traces()[0];
  EXPECT_EQ(trace.schedule.in_start, 3u);
  EXPECT_EQ(trace.frames_in, 3u);
  ASSERT_EQ(trace.rows.size(), 2u);
  EXPECT_EQ(trace.rows[0].start, 4u);
  EXPECT_EQ(trace.rows[0].wait, 2u);
  EXPECT_EQ(trace.rows[0].cycles, 1u);
  EXPECT_EQ(trace.rows[1].start, 7u);
  EXPECT_EQ(trace.schedule.run_end, 8u);
  EXPECT_EQ(trace.schedule.out_end, 11u);
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
