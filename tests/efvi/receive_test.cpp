// SPDX-License-Identifier: Apache-2.0
// Ways to receive: merged events, packed streams, discards, the prefix, time stamps, shared event queues, sets.
#include <etherfabric/packedstream.h>
#include <gmock/gmock.h>

#include <map>

#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;

// Rule 7.
TEST_F(ViTest, MergesRunsOfBuffersIntoEventsOf15) {
  Endpoint left("left");
  Endpoint right("right", {.flags = EF_VI_RX_EVENT_MERGE});
  ASSERT_EQ(right.take_flow(), 0);
  ASSERT_EQ(ef_vi_receive_prefix_len(&right.vi), 14);
  FrameSpec spec;
  for (size_t i = 0; i < 20; ++i) {
    spec.payload = 30 + i;
    ASSERT_EQ(left.send(make_frame(spec), i), 0);
  }
  const auto events = right.poll();
  ASSERT_EQ(events.size(), 2u);
  int expected = 0;
  for (const ef_event& event : events) {
    ASSERT_EQ(EF_EVENT_TYPE(event), EF_EVENT_TYPE_RX_MULTI);
    EXPECT_TRUE(EF_EVENT_RX_MULTI_SOP(event) && !EF_EVENT_RX_MULTI_CONT(event));
    ef_request_id ids[EF_VI_RECEIVE_BATCH];
    const int count = ef_vi_receive_unbundle(&right.vi, &event, ids);
    ASSERT_EQ(count, expected == 0 ? 15 : 5);
    for (int i = 0; i < count; ++i, ++expected) {
      ASSERT_EQ(ids[i], expected);
      uint16_t bytes;
      ASSERT_EQ(ef_vi_receive_get_bytes(&right.vi, right.receive_buffer(static_cast<size_t>(ids[i])), &bytes), 0);
      EXPECT_EQ(bytes, 72 + expected);
    }
  }
  EXPECT_EQ(ef_vi_receive_fill_level(&right.vi), 44);
  const ef_vi_layout_entry* layout;
  int entries;
  ASSERT_EQ(ef_vi_receive_query_layout(&right.vi, &layout, &entries), 0);
  EXPECT_EQ(layout[0].evle_type, EF_VI_LAYOUT_FRAME);
  EXPECT_EQ(layout[0].evle_offset, 14);
  EXPECT_EQ(layout[1].evle_type, EF_VI_LAYOUT_PACKET_LENGTH);
  EXPECT_NE(layout[1].evle_offset, 0);
}

TEST_F(ViTest, MergesOnlyWhatIsAlike) {
  Endpoint left("left", {.flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS});
  Endpoint right("right", {.flags = EF_VI_RX_EVENT_MERGE});
  ASSERT_EQ(right.take_flow(), 0);
  Bytes bad = make_frame();
  bad[24] ^= 1;
  for (const Bytes& frame : {make_frame(), make_frame(), bad, bad, make_frame()}) ASSERT_EQ(left.send(frame), 0);
  std::vector<std::pair<unsigned, int>> got;
  for (const ef_event& event : right.poll()) {
    ef_request_id ids[EF_VI_RECEIVE_BATCH];
    got.emplace_back(EF_EVENT_TYPE(event), ef_vi_receive_unbundle(&right.vi, &event, ids));
  }
  EXPECT_THAT(got, ElementsAre(std::pair(unsigned{EF_EVENT_TYPE_RX_MULTI}, 2),
                               std::pair(unsigned{EF_EVENT_TYPE_RX_MULTI_DISCARD}, 2),
                               std::pair(unsigned{EF_EVENT_TYPE_RX_MULTI}, 1)));
}

// Rule 8.
TEST_F(ViTest, DiscardsBadChecksumsUnlessMasked) {
  Endpoint left("left", {.flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS}), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  Bytes bad_ip = make_frame(), bad_udp = bad_ip;
  bad_ip[24] ^= 1;
  bad_udp[50] ^= 1;
  for (const Bytes& frame : {bad_ip, bad_udp}) {
    ASSERT_EQ(left.send(frame), 0);
    const auto events = right.poll();
    ASSERT_EQ(events.size(), 1u);
    ASSERT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_RX_DISCARD);
    EXPECT_EQ(EF_EVENT_RX_DISCARD_TYPE(events[0]), unsigned{EF_EVENT_RX_DISCARD_CSUM_BAD});
    EXPECT_EQ(EF_EVENT_RX_DISCARD_BYTES(events[0]), 64u);
  }
  EXPECT_EQ(ef_vi_receive_fill_level(&right.vi), 62);
  const uint64_t mask = ef_vi_receive_get_discards(&right.vi);
  EXPECT_NE(mask & EF_VI_DISCARD_RX_L4_CSUM_ERR, 0u);
  ASSERT_EQ(ef_vi_receive_set_discards(&right.vi, EF_VI_DISCARD_RX_ETH_FCS_ERR), 0);
  EXPECT_EQ(ef_vi_receive_get_discards(&right.vi), uint64_t{EF_VI_DISCARD_RX_ETH_FCS_ERR});
  ASSERT_EQ(left.send(bad_udp), 0);
  EXPECT_THAT(right.receive(), ElementsAre(bad_udp));
}

TEST_F(ViTest, StampsReceivedFramesAndNamesTheirFilter) {
  Endpoint left("left");
  Endpoint right("right", {.flags = EF_VI_RX_TIMESTAMPS | EF_VI_RX_FILTER_ID}), plain("right");
  ef_filter_cookie cookie;
  ASSERT_EQ(right.add([](ef_filter_spec* spec) { return ef_filter_spec_set_unicast_all(spec); }), 0);
  ASSERT_EQ(right.add(
                [](ef_filter_spec* spec) {
                  return ef_filter_spec_set_ip4_local(spec, IPPROTO_UDP, htonl(0x0a000002), htons(2000));
                },
                0, &cookie),
            0);
  ASSERT_EQ(left.send(make_frame()), 0);
  const auto events = right.poll();
  ASSERT_EQ(events.size(), 1u);
  ef_precisetime time;
  ASSERT_EQ(ef_vi_receive_get_precise_timestamp(&right.vi, right.receive_buffer(0), &time), 0);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  EXPECT_LE(static_cast<uint64_t>(now.tv_sec) - time.tv_sec, 5u);
  EXPECT_LT(time.tv_nsec, 1'000'000'000u);
  EXPECT_EQ(time.tv_flags, EF_VI_SYNC_FLAG_CLOCK_SET);
  timespec old;
  unsigned flags;
  ASSERT_EQ(ef_vi_receive_get_timestamp_with_sync_flags(&right.vi, right.receive_buffer(0), &old, &flags), 0);
  EXPECT_EQ(static_cast<uint64_t>(old.tv_sec), time.tv_sec);
  EXPECT_EQ(ef_vi_receive_get_filter_id(&right.vi, &events[0], right.receive_buffer(0)), cookie.filter_id);
  EXPECT_EQ(ef_vi_receive_get_precise_timestamp(&plain.vi, plain.receive_buffer(0), &time), -ENODATA);
  EXPECT_EQ(ef_vi_receive_get_filter_id(&plain.vi, &events[0], plain.receive_buffer(0)), -EINVAL);
}

TEST_F(ViTest, PacksAStreamIntoLargeBuffers) {
  Endpoint left("left");
  Endpoint right("right", {.flags = EF_VI_RX_PACKED_STREAM | EF_VI_RX_PS_BUF_SIZE_64K,
                           .pd_flags = EF_PD_RX_PACKED_STREAM,
                           .receive_buffers = 0,
                           .transmit_buffers = 0x60000 / Endpoint::kBufferBytes});
  ASSERT_EQ(right.take_flow(), 0);
  ef_packed_stream_params params;
  ASSERT_EQ(ef_vi_packed_stream_get_params(&right.vi, &params), 0);
  ASSERT_EQ(params.psp_buffer_size, 65536);
  EXPECT_EQ(ef_vi_packed_stream_get_params(&left.vi, &params), -EINVAL);
  // Buffers must be aligned to their size, and what is so for the program is so for the card.
  const ef_addr first = ef_memreg_dma_addr(&right.memreg, 0);
  const size_t skip = (65536 - reinterpret_cast<uintptr_t>(right.memory) % 65536) % 65536;
  EXPECT_EQ(ef_vi_receive_init(&right.vi, first + skip + 4096, 0), -EINVAL);
  for (size_t i = 0; i < 4; ++i)
    ASSERT_EQ(ef_vi_receive_init(&right.vi, first + skip + i * 65536, static_cast<int>(i)), 0);
  ef_vi_receive_push(&right.vi);
  constexpr int kFrames = 150;
  const int start = 240;
  int received = 0, buffer = -1;
  ef_packed_stream_packet* next = nullptr;
  for (int i = 0; i < kFrames; ++i) {
    FrameSpec spec;
    spec.payload = 1000;
    spec.seed = static_cast<uint8_t>(i);
    const Bytes frame = make_frame(spec);
    ASSERT_EQ(left.send(frame), 0);
    for (const ef_event& sent : left.poll()) {
      ef_request_id ids[EF_VI_TRANSMIT_BATCH];
      ef_vi_transmit_unbundle(&left.vi, &sent, ids);
    }
    if (i % 10 != 9) continue;
    for (const ef_event& event : right.poll()) {
      ASSERT_EQ(EF_EVENT_TYPE(event), EF_EVENT_TYPE_RX_PACKED_STREAM);
      if (EF_EVENT_RX_PS_NEXT_BUFFER(event))
        next = ef_packed_stream_packet_first(right.memory + skip + static_cast<size_t>(++buffer) * 65536, start);
      ef_packed_stream_packet* packet = next;
      int packets, bytes;
      ASSERT_EQ(ef_vi_packed_stream_unbundle(&right.vi, &event, &next, &packets, &bytes), 0);
      EXPECT_LE(packets, 15);
      EXPECT_EQ(bytes, packets * 1042);
      for (int p = 0; p < packets; ++p, packet = ef_packed_stream_packet_next(packet)) {
        spec.seed = static_cast<uint8_t>(received++);
        const Bytes expected = make_frame(spec);
        ASSERT_EQ(packet->ps_cap_len, expected.size());
        EXPECT_EQ(std::memcmp(ef_packed_stream_packet_payload(packet), expected.data(), expected.size()), 0);
        EXPECT_NE(packet->ps_ts_sec, 0u);
      }
    }
  }
  EXPECT_EQ(received, kFrames);
  EXPECT_GE(buffer, 2);
  EXPECT_EQ(ef_vi_receive_fill_level(&right.vi), 3 - buffer);
}

TEST_F(ViTest, ServesQueuesOfSeveralInterfacesByOneEventQueue) {
  Endpoint left("left");
  Endpoint first("right", {.evq = 4096});
  {
    Endpoint second("right", {.event_queue = &first.vi, .handle = first.dh});
    EXPECT_EQ(first.label, 0);
    EXPECT_EQ(second.label, 1);
    ASSERT_EQ(first.take_flow(), 0);
    ASSERT_EQ(second.take_flow(0x0a000003), 0);
    FrameSpec to_second;
    to_second.to = 0x0a000003;
    ASSERT_EQ(left.send(make_frame(to_second)), 0);
    ASSERT_EQ(left.send(make_frame()), 0);
    ASSERT_EQ(second.send(make_frame(), 5), 0);
    const auto events = first.poll();
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(EF_EVENT_TX_Q_ID(events[0]), 1u);
    ef_request_id ids[EF_VI_TRANSMIT_BATCH];
    EXPECT_EQ(ef_vi_transmit_unbundle(&second.vi, &events[0], ids), 1);
    EXPECT_EQ(ids[0], 5);
    EXPECT_EQ(EF_EVENT_RX_Q_ID(events[1]), 1u);
    EXPECT_EQ(EF_EVENT_RX_Q_ID(events[2]), 0u);
    EXPECT_EQ(ef_vi_free(&first.vi, first.dh), -EBUSY);
  }
  EXPECT_EQ(ef_eventq_capacity(&first.vi), 4095);
}

TEST_F(ViTest, AnEventQueueServes32QueuesAndNoMore) {
  Endpoint first("left");
  std::vector<std::unique_ptr<ef_vi>> others;
  const auto add = [&] {
    others.push_back(std::make_unique<ef_vi>());
    return ef_vi_alloc_from_pd(others.back().get(), first.dh, &first.pd, first.dh, 0, 512, 0, &first.vi, first.dh,
                               EF_VI_FLAGS_DEFAULT);
  };
  for (int i = 1; i < EF_VI_MAX_QS; ++i) ASSERT_EQ(add(), i);
  EXPECT_EQ(add(), -EBUSY);
  others.pop_back();
  for (auto& vi : others) EXPECT_EQ(ef_vi_free(vi.get(), first.dh), 0);
}

TEST_F(ViTest, PutsEventsOfOnesOwnIntoTheQueue) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(ef_eventq_put(ef_vi_resource_id(&left.vi), left.dh, 0xabcd), 0);
  EXPECT_EQ(ef_eventq_put(ef_vi_resource_id(&left.vi), left.dh, 0x10000), -EINVAL);
  EXPECT_EQ(ef_eventq_put(ef_vi_resource_id(&right.vi), left.dh, 1), -EINVAL);
  const auto events = left.poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_SW);
  EXPECT_EQ(EF_EVENT_SW_DATA(events[0]), 0xabcdu);
}

// Rule 11.
TEST_F(ViTest, SpreadsFlowsOverASetAndKeepsAFlowTogether) {
  Endpoint left("left"), owner("right");
  ef_vi_set set;
  ASSERT_EQ(ef_vi_set_alloc_from_pd(&set, owner.dh, &owner.pd, owner.dh, 4), 0);
  ef_vi members[4];
  for (ef_vi& vi : members) {
    ASSERT_EQ(ef_vi_alloc_from_set(&vi, owner.dh, &set, owner.dh, -1, -1, 512, 0, nullptr, -1, EF_VI_FLAGS_DEFAULT), 0);
    for (int i = 0; i < 60; ++i)
      ASSERT_EQ(ef_vi_receive_post(&vi, owner.receive_address(static_cast<size_t>(i)), i), 0);
  }
  ef_vi fifth;
  EXPECT_EQ(ef_vi_alloc_from_set(&fifth, owner.dh, &set, owner.dh, -1, -1, 512, 0, nullptr, -1, EF_VI_FLAGS_DEFAULT),
            -EBUSY);
  EXPECT_EQ(ef_vi_alloc_from_set(&fifth, owner.dh, &set, owner.dh, 4, -1, 512, 0, nullptr, -1, EF_VI_FLAGS_DEFAULT),
            -EINVAL);
  ef_filter_spec spec;
  ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE);
  ASSERT_EQ(ef_filter_spec_set_ip4_local(&spec, IPPROTO_UDP, htonl(0x0a000002), htons(2000)), 0);
  ef_filter_cookie cookie;
  ASSERT_EQ(ef_vi_set_filter_add(&set, owner.dh, &spec, &cookie), 0);
  std::map<size_t, int> by_member;
  for (uint16_t port = 0; port < 64; ++port) {
    FrameSpec flow;
    flow.from_port = static_cast<uint16_t>(3000 + port);
    size_t went_to = 4;
    for (int again = 0; again < 2; ++again) {
      ASSERT_EQ(left.send(make_frame(flow)), 0);
      for (size_t i = 0; i < 4; ++i) {
        ef_event events[8];
        const int count = ef_eventq_poll(&members[i], events, 8);
        for (int e = 0; e < count; ++e) {
          EXPECT_TRUE(went_to == 4 || went_to == i);
          went_to = i;
          ASSERT_EQ(ef_vi_receive_post(&members[i], owner.receive_address(EF_EVENT_RX_RQ_ID(events[e])),
                                       static_cast<int>(EF_EVENT_RX_RQ_ID(events[e]))),
                    0);
        }
      }
    }
    ++by_member[went_to];
  }
  EXPECT_EQ(by_member.size(), 4u);
  EXPECT_EQ(by_member.count(4), 0u);
  ASSERT_EQ(ef_vi_set_filter_del(&set, owner.dh, &cookie), 0);
  for (ef_vi& vi : members) EXPECT_EQ(ef_vi_free(&vi, owner.dh), 0);
  EXPECT_EQ(ef_vi_set_free(&set, owner.dh), 0);
}

}  // namespace
}  // namespace xnic::nic::vi
