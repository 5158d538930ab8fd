// SPDX-License-Identifier: Apache-2.0
// Verdicts and what becomes of packets, on one worker that is stepped by hand. Every test ends with the sum over all
// counters and with all frames at home (CardTest::TearDown).
#include "../../device/compile_object.hpp"
#include "card_fixture.hpp"
#include "device/hxdp_images.hpp"
#include "frames.hpp"

namespace xnic::nic::datapath {

const std::vector<uint8_t>& test_object() {
  static const std::vector<uint8_t> object = device::compile_object(R"(
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct entry { __u32 target; int program; };
#define MAP(kind, name, count) struct { __uint(type, kind); __uint(max_entries, count); \
  __type(key, __u32); __type(value, struct entry); } name SEC(".maps")
MAP(BPF_MAP_TYPE_DEVMAP, ports, 8);
MAP(BPF_MAP_TYPE_DEVMAP_HASH, ports_hash, 8);
MAP(BPF_MAP_TYPE_CPUMAP, workers, 4);
struct { __uint(type, BPF_MAP_TYPE_XSKMAP); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); }
  sockets SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
  own_count SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); }
  shared_count SEC(".maps");
static __attribute__((always_inline)) int do_as_told(struct xdp_md* ctx, __u8 version) {
  __u8* data = (void*)(long)ctx->data;
  if (data + 40 > (__u8*)(long)ctx->data_end) return XDP_ABORTED;
  __u32 zero = 0;
  __u64* count = bpf_map_lookup_elem(&own_count, &zero);
  if (count) *count += 1;
  count = bpf_map_lookup_elem(&shared_count, &zero);
  if (count) __sync_fetch_and_add(count, 1);
  data[20] = version;
  data[25] = ctx->rx_queue_index;
  switch (data[14]) {
    case 0: return data[15];
    case 4: return bpf_redirect(data[15], 0);
    case 5: return bpf_redirect_map(&ports, data[15], data[16]);
    case 6: return bpf_redirect_map(&workers, data[15], 0);
    case 7: return bpf_redirect_map(&sockets, data[15], 0);
    case 8: return bpf_redirect_map(&ports_hash, data[15], data[16]);
  }
  return XDP_ABORTED;
}
SEC("xdp") int obey(struct xdp_md* ctx) { return do_as_told(ctx, 1); }
SEC("xdp") int obey_newer(struct xdp_md* ctx) { return do_as_told(ctx, 2); }
SEC("xdp/devmap") int on_way_out(struct xdp_md* ctx) {
  __u8* data = (void*)(long)ctx->data;
  if (data + 40 > (__u8*)(long)ctx->data_end) return XDP_DROP;
  data[21] = ctx->egress_ifindex;
  return data[22] == 1 ? XDP_DROP : data[22] == 2 ? XDP_TX : XDP_PASS;
}
SEC("xdp/cpumap") int on_worker(struct xdp_md* ctx) {
  __u8* data = (void*)(long)ctx->data;
  if (data + 40 > (__u8*)(long)ctx->data_end) return XDP_DROP;
  data[23] = bpf_get_smp_processor_id() + 1;
  if (data[24] == 1) return XDP_DROP;
  if (data[24] == 2) return bpf_redirect_map(&ports, 0, 0);
  if (data[24] == 3) return bpf_redirect_map(&workers, 0, 0);
  return XDP_PASS;
}
char _license[] SEC("license") = "GPL";
)");
  return object;
}

namespace {

TEST_F(CardTest, WithoutAProgramPacketsPassToTheHostSide) {
  auto wire = add_port(2);
  wire->put(order(kReturn));
  poll_all();
  EXPECT_EQ(dropped(Drop::kNoHost), 1u);
  auto host = add_port(3, {.side_of = 2, .host = true});
  wire->put(order(kReturn));
  poll_all();
  EXPECT_EQ(host->take(), std::vector<Frame>{order(kReturn)});
  EXPECT_EQ(dropped(Drop::kNoHost), 1u);
}

TEST_F(CardTest, WhatTheHostSendsGoesOutOfThePort) {
  auto wire = add_port(2);
  auto host = add_port(3, {.side_of = 2, .host = true});
  ASSERT_GE(attach(2, "obey"), 0);  // does not see it
  host->put(order(kReturn, XDP_DROP));
  poll_all();
  EXPECT_EQ(wire->take(), std::vector<Frame>{order(kReturn, XDP_DROP)});
}

TEST_F(CardTest, EveryVerdictIsCarriedOutAndCounted) {
  auto wire = add_port(2);
  auto other = add_port(4);
  auto host = add_port(3, {.side_of = 2, .host = true});
  ASSERT_GE(attach(2, "obey"), 0);
  const uint8_t codes[] = {XDP_ABORTED, XDP_DROP, XDP_DROP, XDP_PASS, XDP_PASS, XDP_PASS, XDP_TX, 77};
  for (const uint8_t code : codes) wire->put(order(kReturn, code));
  wire->put(order(kInterface, 4));
  wire->put(order(kInterface, 99));
  poll_all();
  EXPECT_EQ(host->take().size(), 3u);
  const auto back = wire->take();
  ASSERT_EQ(back.size(), 1u);
  EXPECT_EQ(back[0][kVersionMark], 1);
  EXPECT_EQ(other->take().size(), 1u);
  EXPECT_EQ(dropped(Drop::kAborted), 2u);
  EXPECT_EQ(dropped(Drop::kProgram), 2u);
  EXPECT_EQ(dropped(Drop::kNoTarget), 1u);
  const auto queues = card_->queue_totals(2);
  ASSERT_EQ(queues.size(), 1u);
  EXPECT_EQ(queues[0].verdicts, (std::array<uint64_t, 5>{2, 2, 3, 1, 2}));
  EXPECT_EQ(queues[0].packets, 10u);
  EXPECT_EQ(card_->port_totals(2)->received, 10u);
  EXPECT_EQ(card_->port_totals(3)->sent, 3u);
}

TEST_F(CardTest, TheOrderOfPacketsIsKeptThroughEveryPort) {
  auto wire = add_port(2);
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  for (uint8_t i = 0; i < 200; ++i) {
    Frame frame = i % 3 == 0 ? order(kReturn, XDP_TX) : order(kInterface, 4);
    frame[30] = i;
    wire->put(frame);
  }
  poll_all();
  for (const auto& port : {wire, other}) {
    int last = -1;
    for (const Frame& frame : port->take()) {
      EXPECT_GT(frame[30], last);
      last = frame[30];
    }
    EXPECT_GE(last, 198);
  }
}

TEST_F(CardTest, AProgramThatAbortsLeavesATraceEvent) {
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  wire->put(order(kReturn, XDP_ABORTED, 9));
  wire->put(order(kReturn, XDP_DROP));
  wire->put(order(kReturn, 77));
  poll_all();
  std::vector<TraceRecord> records;
  EXPECT_EQ(card_->read_aborts([&](const TraceRecord& record) { records.push_back(record); }), 2u);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].ingress_ifindex, 2u);
  EXPECT_EQ(records[0].packet_bytes, 60u);
  EXPECT_EQ(records[0].captured, 60u);
  EXPECT_EQ(records[0].bytes[16], 9);
  EXPECT_EQ(records[1].code, 77u);
}

TEST_F(CardTest, DevmapEntriesSendAndTheirProgramsDecide) {
  auto wire = add_port(2);
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  set("ports", 1, 4);
  set("ports", 2, 4, program("on_way_out"));
  set("ports_hash", 2, 4, program("on_way_out"));
  set("ports", 3, 99);  // no such port
  wire->put(order(kDevmap, 1));
  poll_all();
  auto sent = other->take();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0][kEgressMark], 0);
  for (const Order through : {kDevmap, kDevmapHash}) {
    for (const uint8_t reaction : {0, 1, 2, 0}) {
      Frame frame = order(through, 2);
      frame[22] = reaction;
      wire->put(frame);
    }
    poll_all();
    sent = other->take();
    ASSERT_EQ(sent.size(), 2u);
    for (const Frame& frame : sent) EXPECT_EQ(frame[kEgressMark], 4);
  }
  EXPECT_EQ(dropped(Drop::kEntryProgram), 4u);
  wire->put(order(kDevmap, 3));
  wire->put(order(kDevmap, 5, XDP_TX));  // no entry: the lower bits of the flags say what then
  poll_all();
  EXPECT_EQ(dropped(Drop::kNoTarget), 1u);
  EXPECT_EQ(wire->take().size(), 1u);
}

TEST_F(CardTest, ABroadcastReachesEveryEntryOnce) {
  std::map<uint32_t, std::shared_ptr<Wire>> ports;
  for (uint32_t ifindex = 2; ifindex < 6; ++ifindex) ports[ifindex] = add_port(ifindex);
  ASSERT_GE(attach(2, "obey"), 0);
  set("ports", 0, 2);
  set("ports", 2, 3);
  set("ports", 3, 4, program("on_way_out"));
  set("ports", 5, 77);  // not there
  set("ports", 7, 5);
  for (const bool exclude : {false, true}) {
    wires_[2]->put(order(kDevmap, 200, static_cast<uint8_t>(BPF_F_BROADCAST | (exclude ? BPF_F_EXCLUDE_INGRESS : 0))));
    poll_all();
    for (const auto& [ifindex, wire] : ports) {
      const auto sent = wire->take();
      ASSERT_EQ(sent.size(), ifindex == 2 && exclude ? 0u : 1u) << ifindex;
      if (sent.empty()) continue;
      EXPECT_EQ(sent[0][kVersionMark], 1);
      EXPECT_EQ(sent[0][kEgressMark], ifindex == 4 ? 4 : 0);
    }
  }
  EXPECT_EQ(card_->totals().copied, 3u + 2u);
}

TEST_F(CardTest, ABroadcastToNobodyIsADrop) {
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  set("ports", 0, 2);
  wire->put(order(kDevmap, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS));
  poll_all();
  EXPECT_EQ(dropped(Drop::kNoTarget), 1u);
}

TEST_F(CardTest, JumboFramesAreCopiedWhole) {
  auto wire = add_port(2);
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  set("ports", 0, 2);
  set("ports", 1, 4);
  Frame frame = order(kDevmap, 0, BPF_F_BROADCAST);
  for (uint32_t i = 60; i < 9014; ++i) frame.push_back(static_cast<uint8_t>(i * 7));
  wire->put(frame);
  poll_all();
  frame[kVersionMark] = 1;
  frame[kQueueMark] = 0;
  EXPECT_EQ(wire->take(), std::vector<Frame>{frame});
  EXPECT_EQ(other->take(), std::vector<Frame>{frame});
}

TEST_F(CardTest, CopiesWithoutAFreeFrameAreCounted) {
  CardOptions options;
  options.engine = "interp";
  options.frames_per_worker = 64;
  options.clock = &clock_;
  make_card(options);
  auto wire = add_port(2);
  add_port(4);
  add_port(5);
  ASSERT_GE(attach(2, "obey"), 0);
  for (uint32_t i = 0; i < 3; ++i) set("ports", i, i == 0 ? 2 : 3 + i);
  for (int i = 0; i < 64; ++i) wire->put(order(kDevmap, 0, BPF_F_BROADCAST));
  card_->worker(0).poll_once();
  EXPECT_EQ(dropped(Drop::kNoFrame), card_->totals().copied);
  EXPECT_EQ(card_->totals().copied, 128u);
  EXPECT_EQ(wires_[5]->sent(), 64u);  // the originals, to the last entry
}

TEST_F(CardTest, XskmapEntriesNameASideOfAPort) {
  auto wire = add_port(2);
  auto side = add_port(9, {.side_of = 2});
  ASSERT_GE(attach(2, "obey"), 0);
  set("sockets", 1, 9);
  set("sockets", 2, 2);   // a port is none
  set("sockets", 3, 44);  // not there
  for (const uint8_t key : {1, 2, 3}) wire->put(order(kXskmap, key));
  poll_all();
  EXPECT_EQ(side->take().size(), 1u);
  EXPECT_EQ(dropped(Drop::kNoTarget), 2u);
}

TEST_F(CardTest, ADetachedPortPassesAgain) {
  auto wire = add_port(2);
  const long link = attach(2, "obey");
  ASSERT_GE(link, 0);
  EXPECT_EQ(card_->engines(2).size(), 1u);
  wire->put(order(kReturn, XDP_DROP));
  poll_all();
  EXPECT_EQ(card_->engines(2)[0].counters.packets, 1u);
  EXPECT_EQ(detach(link), 0);
  wire->put(order(kReturn, XDP_DROP));
  poll_all();
  EXPECT_EQ(dropped(Drop::kProgram), 1u);
  EXPECT_EQ(dropped(Drop::kNoHost), 1u);
  EXPECT_TRUE(card_->engines(2).empty());
}

TEST_F(CardTest, ALinkWithoutHandlesDetaches) {
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  ASSERT_EQ(close(links_.back()), 0);
  links_.pop_back();
  EXPECT_GE(attach(2, "obey_newer"), 0);  // sweeps the old one
  wire->put(order(kReturn, XDP_TX));
  poll_all();
  const auto sent = wire->take();
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0][kVersionMark], 2);
}

TEST_F(CardTest, AProgramThatTheEngineDoesNotTakeIsNotAttached) {
  auto wire = add_port(2, {.engine = "native"});  // no compiler is installed in this test
  EXPECT_EQ(attach(2, "obey"), -EOPNOTSUPP);
  ASSERT_TRUE(card_->attach_error(2).has_value());
  EXPECT_NE(card_->attach_error(2)->message().find("compiler"), std::string::npos);
  EXPECT_EQ(device_.port_program(2), nullptr);
  wire->put(order(kReturn, XDP_DROP));
  poll_all();
  EXPECT_EQ(dropped(Drop::kNoHost), 1u);
}

TEST_F(CardTest, PortsThatCannotBeAddedAreRefused) {
  add_port(2);
  add_port(3, {.side_of = 2, .host = true});
  const auto refused = [&](port::Info info, PortOptions options) {
    auto added = card_->add_port(std::make_unique<FakePort>(info, std::make_shared<Wire>(1)), options);
    return added ? std::string() : added.error().message();
  };
  const auto info = [](uint32_t ifindex, std::string name) {
    port::Info result;
    result.ifindex = ifindex;
    result.name = std::move(name);
    return result;
  };
  EXPECT_NE(refused(info(2, "x"), {}).find("index"), std::string::npos);
  EXPECT_NE(refused(info(0, "x"), {}).find("index"), std::string::npos);
  EXPECT_NE(refused(info(7, "port2"), {}).find("name"), std::string::npos);
  EXPECT_NE(refused(info(7, "x"), {.side_of = 44}).find("side of"), std::string::npos);
  EXPECT_NE(refused(info(7, "x"), {.side_of = 3}).find("side of"), std::string::npos);
  EXPECT_NE(refused(info(7, "x"), {.side_of = 2, .host = true}).find("host side already"), std::string::npos);
  EXPECT_NE(refused(info(7, "x"), {.engine = "steam"}).find("engine"), std::string::npos);
  EXPECT_NE(refused(info(1, "x"), {}).find("device"), std::string::npos);  // "lo" is 1
  EXPECT_EQ(card_->ports().size(), 2u);
}

TEST_F(CardTest, RemovingAPortTakesItsSidesAndItsLinkAlong) {
  auto wire = add_port(2);
  auto host = add_port(3, {.side_of = 2, .host = true});
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  wire->put(order(kInterface, 4));
  poll_all();
  ASSERT_TRUE(card_->remove_port(2));
  EXPECT_TRUE(wire->closed);
  EXPECT_TRUE(host->closed);
  EXPECT_FALSE(other->closed);
  EXPECT_EQ(device_.port_program(2), nullptr);
  EXPECT_FALSE(card_->remove_port(2));
  EXPECT_EQ(card_->totals().received, 1u);  // still counted
  add_port(2);
  EXPECT_GE(attach(2, "obey"), 0);
}

TEST_F(CardTest, AFullPortThatMayLosePacketsDropsThem) {
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  wire->set_room(10);
  for (int i = 0; i < 40; ++i) wire->put(order(kReturn, XDP_TX));
  poll_all();
  EXPECT_EQ(wire->sent(), 10u);
  EXPECT_EQ(dropped(Drop::kTransmitFull), 30u);
}

TEST_F(CardTest, AFullLosslessPortHoldsTheWorkerBack) {
  port::Info lossless;
  lossless.lossless = true;
  auto wire = add_port(2);
  auto out = add_port(4, {}, lossless);
  ASSERT_GE(attach(2, "obey"), 0);
  out->set_room(100);
  for (int i = 0; i < 400; ++i) {
    Frame frame = order(kInterface, 4);
    frame[30] = static_cast<uint8_t>(i);
    wire->put(frame);
  }
  poll_all();
  EXPECT_EQ(out->sent(), 100u);
  EXPECT_GT(wire->unread(), 200u);
  EXPECT_EQ(card_->totals().held, 400u - 100 - wire->unread());
  EXPECT_TRUE(card_->totals().balanced());
  out->set_room(UINT32_MAX);
  poll_all();
  const auto sent = out->take();
  ASSERT_EQ(sent.size(), 400u);
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(sent[i][30], static_cast<uint8_t>(i));
  EXPECT_EQ(card_->totals().dropped(), 0u);
}

TEST_F(CardTest, TwoLosslessPortsThatWaitForEachOtherGoOnAfterTheStallTime) {
  port::Info lossless;
  lossless.lossless = true;
  auto a = add_port(2, {.stall_ns = 1000}, lossless);
  auto b = add_port(4, {.stall_ns = 1000}, lossless);
  ASSERT_GE(attach(2, "obey"), 0);
  a->set_room(0);
  b->set_room(0);
  for (int i = 0; i < 200; ++i) a->put(order(kInterface, 4));
  poll_all();
  EXPECT_EQ(a->unread(), 200u - kBatch);
  EXPECT_EQ(dropped(Drop::kStalled), 0u);
  clock_.advance_ns(1000);
  poll_all();
  EXPECT_EQ(a->unread(), 0u);
  EXPECT_EQ(dropped(Drop::kStalled), 200u);  // those that waited, and those that came while it was stuck
  b->set_room(UINT32_MAX);
  for (int i = 0; i < 10; ++i) a->put(order(kInterface, 4));
  poll_all();
  EXPECT_EQ(b->sent(), 10u);
  b->set_room(0);
  for (int i = 0; i < 10; ++i) a->put(order(kInterface, 4));
  poll_all();
  EXPECT_EQ(card_->totals().held, 10u);  // it is lossless again
  ASSERT_TRUE(card_->remove_port(4));
  EXPECT_EQ(dropped(Drop::kPortGone), 10u);
}

TEST_F(CardTest, FeaturesAreSwitchedByPort) {
  auto wire = add_port(2);
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  Features in;
  in.check = ChecksumCheck::kDrop;
  in.strip_vlan = true;
  in.strip_vlan_id = 7;
  ASSERT_TRUE(card_->set_features(2, in));
  Features out;
  out.insert_vlan_id = 9;
  out.time_stamps = true;
  ASSERT_TRUE(card_->set_features(4, out));
  EXPECT_FALSE(card_->set_features(44, out));
  wire->put(with_vlan(order(kInterface, 4), 7));
  Frame bad = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1, 2);
  bad.back() ^= 1;
  wire->put(bad);
  poll_all();
  const auto sent = other->take();
  ASSERT_EQ(sent.size(), 1u);
  Frame expected = order(kInterface, 4);
  expected[kVersionMark] = 1;
  expected[kQueueMark] = 0;
  EXPECT_EQ(sent[0], with_vlan(expected, 9));
  EXPECT_EQ(dropped(Drop::kChecksum), 1u);
  in.check = ChecksumCheck::kCount;
  in.time_stamps = true;
  ASSERT_TRUE(card_->set_features(2, in));
  wire->put(bad);
  wire->put(order(kInterface, 4));
  poll_all();
  EXPECT_EQ(card_->totals().bad_checksums, 2u);
  EXPECT_EQ(dropped(Drop::kChecksum), 1u);
  EXPECT_EQ(card_->totals().residence_count, 1u);
}

TEST_F(CardTest, TheTraceShowsChosenPacketsAndMissesNoneSilently) {
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  const auto records = [&] {
    std::vector<TraceRecord> result;
    card_->read_trace([&](const TraceRecord& record) { result.push_back(record); });
    return result;
  };
  wire->put(order(kReturn, XDP_DROP));
  poll_all();
  EXPECT_TRUE(records().empty());  // off
  TraceOptions options;
  options.actions = 1u << XDP_TX;
  options.snap_bytes = 21;
  ASSERT_TRUE(card_->set_trace(options));
  wire->put(order(kReturn, XDP_DROP));
  wire->put(order(kReturn, XDP_TX, 5));
  poll_all();
  auto seen = records();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].action, XDP_TX);
  EXPECT_EQ(seen[0].captured, 21);
  EXPECT_EQ(seen[0].packet_bytes, 60u);
  EXPECT_EQ(seen[0].bytes[16], 5);
  EXPECT_EQ(seen[0].bytes[kVersionMark], 1);  // as the program left it
  EXPECT_EQ(seen[0].time_ns, clock_.monotonic_ns());
  options = {};
  options.match.fields = kMatchVlan;
  options.match.vlan = 3;
  ASSERT_TRUE(card_->set_trace(options));
  for (int i = 0; i < 2000; ++i) wire->put(with_vlan(order(kReturn, XDP_DROP), i % 2 == 0 ? 3 : 4));
  poll_all();
  EXPECT_EQ(records().size(), 1000u);
  for (int i = 0; i < 1500; ++i) wire->put(with_vlan(order(kReturn, XDP_DROP), 3));
  poll_all();
  EXPECT_EQ(records().size(), kTraceRecords);
  EXPECT_EQ(card_->trace_missed(), 1500u - kTraceRecords);
  ASSERT_TRUE(card_->set_trace(std::nullopt));
  wire->put(with_vlan(order(kReturn, XDP_DROP), 3));
  poll_all();
  EXPECT_TRUE(records().empty());
}

TEST_F(CardTest, AModelledCardReportsItsTimeInStepWithThePackets) {
  device::install_hxdp();
  auto wire = add_port(2, {.engine = "hxdp"});
  const long link = attach(2, "obey");
  ASSERT_GE(link, 0) << card_->attach_error(2).value_or(base::Error{}).message();
  uint64_t cycles = 0;
  for (uint64_t round = 1; round <= 3; ++round) {
    for (int i = 0; i < 10; ++i) wire->put(order(kReturn, XDP_TX));
    poll_all();
    EXPECT_EQ(wire->take().size(), 10u);
    const auto engines = card_->engines(2);
    ASSERT_EQ(engines.size(), 1u);
    EXPECT_EQ(engines[0].name, "hxdp");
    EXPECT_EQ(engines[0].counters.packets, 10 * round);
    ASSERT_TRUE(engines[0].counters.modelled.has_value());
    EXPECT_GT(engines[0].counters.modelled->cycles, cycles);
    EXPECT_GT(engines[0].counters.modelled->latency_p50_cycles, 0u);
    cycles = engines[0].counters.modelled->cycles;
  }
}

TEST_F(CardTest, CardsThatCannotBeMadeAreRefused) {
  device::Device device(device_options());
  CardOptions options;
  options.engine = "interp";
  options.workers = 5;  // maps have 4 copies
  EXPECT_FALSE(Card::create(device, options));
  options.workers = 0;
  EXPECT_FALSE(Card::create(device, options));
  options.workers = 1;
  options.frames_per_worker = 100;
  EXPECT_FALSE(Card::create(device, options));
  options.frames_per_worker = 128;
  options.engine = "steam";
  EXPECT_FALSE(Card::create(device, options));
}

}  // namespace
}  // namespace xnic::nic::datapath
