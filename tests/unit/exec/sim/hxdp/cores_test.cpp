// SPDX-License-Identifier: Apache-2.0
// Several cores: who gets a packet, in which order effects come, what that is worth.
#include "arch/ebpf/map_types.hpp"
#include "base/rng.hpp"
#include "card_fixture.hpp"
#include "exec/sim/hxdp/flow.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

// IPv4 UDP between 10.0.0.1 and 10.0.0.2, source port `flow`.
std::vector<uint8_t> udp_frame(uint16_t flow, uint8_t mark) {
  std::vector<uint8_t> frame(60);
  frame[12] = 8;
  frame[14] = 0x45;
  frame[23] = 17;
  frame[26] = frame[30] = 10;
  frame[29] = 1, frame[33] = 2;
  base::store_be<uint16_t>(frame.data() + 34, flow);
  frame[50] = mark;
  return frame;
}

isa::Image counting_image(uint32_t cores) {
  // slot = source port; value = 8 * value + mark, so that the order of a flow's packets shows.
  isa::Image image =
      image_of({{Load{1, at(Space::kPacket, 34, 2), false, true, false}, load(2, at(Space::kPacket, 50, 1))},
                {Call{0, true, 3}},
                {load(4, through(3, 0, 8))},
                {Alu{AluOp::kLsh, Width::k64, 4, 4, Imm(3)}},
                {Alu{AluOp::kAdd, Width::k64, 4, 4, Reg(2)}},
                {Store{through(3, 0, 8), Reg(4), false}, Exit{3}}});
  image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 16}};
  image.call_sites = {site_of(1, {{Argument::Kind::kMap, 0, 0, 0}, {Argument::Kind::kRegisterBytes, 1, 0, 0}})};
  image.parameters.cores = cores;
  return image;
}

std::shared_ptr<maps::Map> counters_map(arch::ebpf::MapType type = arch::ebpf::kMapArray, uint32_t cpus = 1) {
  arch::ebpf::MapSpec spec;
  spec.type = type;
  spec.key_size = 4;
  spec.value_size = 8;
  spec.max_entries = 16;
  int error = 0;
  return maps::Map::create(spec, {.cpus = cpus}, error);
}

std::vector<uint64_t> values_of(maps::Map& map) {
  std::vector<uint64_t> values;
  for (uint32_t key = 0; key < 16; ++key) values.push_back(base::load<uint64_t>(map.lookup(&key, 0)));
  return values;
}

struct Outcome {
  std::vector<uint64_t> values;
  uint64_t elapsed;
};

Outcome run_on(uint32_t cores, Dispatch dispatch, uint32_t flows) {
  auto map = counters_map();
  CardOptions options;
  options.dispatch = dispatch;
  Runner runner(counting_image(cores), options, {map});
  base::Rng rng(5);
  runner.packets.resize(400);
  for (packet::Packet& packet : runner.packets)
    packet.assign(udp_frame(static_cast<uint16_t>(rng.below(flows)), static_cast<uint8_t>(rng.below(8))));
  runner.run_packets();
  for (const Verdict& verdict : runner.verdicts) EXPECT_EQ(verdict.code, 3u);
  return {values_of(*map), runner.card->counters().elapsed};
}

TEST(HxdpCores, ByFlowTheMapsAreThoseOfOneCore) {
  const Outcome one = run_on(1, Dispatch::kFlow, 16);
  for (uint32_t cores : {2u, 3u, 4u, 8u}) {
    const Outcome many = run_on(cores, Dispatch::kFlow, 16);
    EXPECT_EQ(many.values, one.values) << cores;
    EXPECT_LT(many.elapsed, one.elapsed) << cores;
  }
}

TEST(HxdpCores, RoundRobinOnOneFlowLosesUpdatesTheSameWayEveryTime) {
  const Outcome one = run_on(1, Dispatch::kRoundRobin, 1);
  const Outcome two = run_on(2, Dispatch::kRoundRobin, 1);
  EXPECT_NE(two.values, one.values) << "read in one row and written in another, by two cores at once";
  EXPECT_EQ(two.values, run_on(2, Dispatch::kRoundRobin, 1).values);
}

TEST(HxdpCores, EachCoreHasItsCopyOfPerCpuValues) {
  // The same read and write in two rows as above, on one flow; the marks are all 1 and the old value is not shifted.
  isa::Image image = counting_image(2);
  image.maps[0].type = arch::ebpf::kMapPercpuArray;
  image.rows[3].lanes[0] = Nop{};
  auto map = counters_map(arch::ebpf::kMapPercpuArray, 2);
  CardOptions options;
  options.dispatch = Dispatch::kRoundRobin;
  Runner runner(image, options, {map});
  runner.packets.resize(101);
  for (packet::Packet& packet : runner.packets) packet.assign(udp_frame(3, 1));
  runner.run_packets();
  const uint32_t key = 3;
  EXPECT_EQ(base::load<uint64_t>(map->lookup(&key, 0)), 51u);
  EXPECT_EQ(base::load<uint64_t>(map->lookup(&key, 1)), 50u);
  // A core without a copy would share another's.
  Runner refused(image, options, {counters_map(arch::ebpf::kMapPercpuArray, 1)});
  EXPECT_NE(refused.error.find("has 1 copies, the card 2 cores"), std::string::npos) << refused.error;
}

TEST(HxdpCores, SpinLocksNeedOneCore) {
  constexpr uint32_t kSpinLock = 93;
  for (uint32_t cores : {1u, 2u}) {
    isa::Image image = image_of({{Call{0, false, 0}}, {Exit{1}}});
    image.call_sites = {site_of(kSpinLock, {{Argument::Kind::kStack, 0, 0, 0}})};
    image.parameters.cores = cores;
    Runner runner(image);
    EXPECT_EQ(runner.error.find("spin locks on 2 cores") != std::string::npos, cores == 2) << runner.error;
  }
}

TEST(HxdpCores, AnAdditionInOneRowIsAtomicOnAnyNumberOfCores) {
  for (uint32_t cores : {1u, 2u, 4u}) {
    isa::Image image = image_of({{set(1, 1)}, {AddMemory{{Space::kMapValue, 0, 0, 8, 0}, Reg(1)}}, {Exit{1}}});
    image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 16}};
    image.parameters.cores = cores;
    auto map = counters_map();
    CardOptions options;
    options.dispatch = Dispatch::kRoundRobin;
    Runner runner(image, options, {map});
    runner.run(100);
    EXPECT_EQ(values_of(*map)[0], 100u);
  }
}

TEST(HxdpCores, InOneCycleTheLowerCoreComesFirst) {
  // Both cores are made to run the deciding row in the same cycle: packet 0 comes two cycles earlier and waits two rows
  // longer. Each swaps its own mark into the value; what the map holds at the end is the mark of the one that was last.
  isa::Image image = image_of({{load(2, at(Space::kPacket, 0, 1)), Address{Space::kMapValue, 3, 0, 0}},
                               {Branch{JumpOp::kNe, Width::k64, 2, Imm(1), 4}},
                               {set(9, 0)},
                               {set(9, 0)},
                               {Store{through(3, 0, 1), Reg(2), false}},
                               {Exit{1}}});
  image.maps = {{"m", arch::ebpf::kMapArray, 4, 8, 16}};
  image.parameters.cores = 2;
  auto map = counters_map();
  CardOptions options;
  options.dispatch = Dispatch::kRoundRobin;
  options.timing.branch_cycles = 0;
  Runner runner(image, options, {map});
  runner.packets.resize(2);
  std::vector<uint8_t> frame(60);
  frame[0] = 1;
  runner.packets[0].assign(frame);
  frame[0] = 2;
  runner.packets[1].assign(frame);
  runner.run_packets();
  EXPECT_EQ(values_of(*map)[0], 2u);
}

// The rows that packets of (flow, mark) took, in the order in which they left: one more than the mark.
std::vector<uint32_t> rows_in_order_of_leaving(const std::vector<std::pair<uint16_t, uint8_t>>& packets,
                                               Dispatch dispatch) {
  isa::Image image =
      image_of({{load(1, at(Space::kPacket, 50, 1))},
                {Alu{AluOp::kAdd, Width::k64, 1, 1, Imm(-1)}, Branch{JumpOp::kLe, Width::k64, 1, Imm(2), 2}},
                {Exit{3}}});
  image.rows[1].lanes[2] = Goto{1};
  image.parameters.cores = 2;
  CardOptions options;
  options.dispatch = dispatch;
  options.keep_runs = true;
  options.timing.branch_cycles = 0;
  Runner runner(image, options);
  runner.packets.resize(packets.size());
  for (size_t i = 0; i < packets.size(); ++i) runner.packets[i].assign(udp_frame(packets[i].first, packets[i].second));
  runner.run_packets();
  std::vector<uint32_t> rows;
  for (const PacketRun& run : runner.card->runs()) rows.push_back(run.rows);
  return rows;
}

// The long packet of core 0 comes first and leaves last.
TEST(HxdpCores, TheOutputServesPacketsInTheOrderInWhichTheirProgramsEnd) {
  EXPECT_EQ(rows_in_order_of_leaving({{1, 30}, {2, 2}}, Dispatch::kRoundRobin), (std::vector<uint32_t>{3, 31}));
  // Packet 1 starts two cycles later and takes two rows less: both end in one cycle, and core 0 comes first.
  EXPECT_EQ(rows_in_order_of_leaving({{1, 12}, {2, 10}}, Dispatch::kRoundRobin), (std::vector<uint32_t>{13, 11}));
  EXPECT_EQ(rows_in_order_of_leaving({{1, 12}, {2, 9}}, Dispatch::kRoundRobin), (std::vector<uint32_t>{10, 13}));
}

// However long each takes; by flow they share a core, in turn they do not.
TEST(HxdpCores, PacketsOfOneFlowLeaveInTheOrderInWhichTheyCame) {
  const std::vector<std::pair<uint16_t, uint8_t>> packets = {{5, 40}, {5, 4}, {5, 30}, {5, 5}};
  EXPECT_EQ(rows_in_order_of_leaving(packets, Dispatch::kFlow), (std::vector<uint32_t>{41, 5, 31, 6}));
  EXPECT_NE(rows_in_order_of_leaving(packets, Dispatch::kRoundRobin), (std::vector<uint32_t>{41, 5, 31, 6}));
}

TEST(HxdpCores, CoresShareTheWorkUntilABusIsFull) {
  // 12 rows and the reset: 13 cycles on one core; two frames a packet at the port, so 6.5 cores are worth having.
  Rows rows(11, {set(1, 1)});
  rows.push_back({Exit{3}});
  for (const auto& [cores, cycles] : {std::pair{1u, 13.0}, {2u, 6.5}, {4u, 3.25}, {8u, 2.0}}) {
    isa::Image image = image_of(rows);
    image.parameters.cores = cores;
    CardOptions options;
    options.dispatch = Dispatch::kRoundRobin;
    Runner runner(image, options);
    runner.run(8000);
    EXPECT_NEAR(static_cast<double>(runner.card->counters().elapsed) / 8000, cycles, 0.02) << cores;
  }
}

TEST(HxdpCores, ADispatchersFlowIsAddressesProtocolAndPorts) {
  const auto frame = udp_frame(7, 1);
  EXPECT_EQ(flow_hash(frame), flow_hash(udp_frame(7, 2)));
  EXPECT_NE(flow_hash(frame), flow_hash(udp_frame(8, 1)));
  auto tagged = frame;
  const uint8_t tag[] = {0x81, 0, 0, 5};
  tagged.insert(tagged.begin() + 12, tag, tag + 4);
  EXPECT_EQ(flow_hash(tagged), flow_hash(frame)) << "a VLAN tag is no part of the flow";
  auto fragment = frame;
  fragment[20] = 0x20;  // more fragments: the later ones have no ports, so the first does not count them either
  auto other = fragment;
  other[35] = 99;
  EXPECT_EQ(flow_hash(fragment), flow_hash(other));
  EXPECT_NE(flow_hash(base::Bytes(frame).first(20)), 0u) << "cut short";
}

}  // namespace
}  // namespace xnic::exec::sim::hxdp
