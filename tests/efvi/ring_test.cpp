// SPDX-License-Identifier: Apache-2.0
// Rings, order and events of plain sending and receiving: what docs/ef_vi.md calls the rules, by their numbers there.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <atomic>
#include <thread>

#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;

TEST_F(ViTest, CarriesAFrameFromOnePortToTheOther) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  const Bytes frame = make_frame();
  ASSERT_EQ(left.send(frame, 3), 0);
  EXPECT_THAT(right.receive(), ElementsAre(frame));
  const auto events = left.poll();
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_TX);
  EXPECT_EQ(EF_EVENT_TX_CTPIO(events[0]), 0u);
  ef_request_id ids[EF_VI_TRANSMIT_BATCH];
  ASSERT_EQ(ef_vi_transmit_unbundle(&left.vi, &events[0], ids), 1);
  EXPECT_EQ(ids[0], 3);
}

TEST_F(ViTest, LeavesFramesThatNoFilterWantsToNobody) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  FrameSpec other;
  other.to_port = 2001;
  ASSERT_EQ(left.send(make_frame(other)), 0);
  EXPECT_TRUE(right.receive().empty());
  EXPECT_EQ(service_->unclaimed("right"), 1u);
  EXPECT_EQ(left.poll().size(), 1u);
}

TEST_F(ViTest, FillsShortFramesUpAsAWireDoes) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  FrameSpec empty;
  empty.payload = 0;
  Bytes frame = make_frame(empty);
  ASSERT_EQ(left.send(frame), 0);
  frame.resize(60);
  EXPECT_THAT(right.receive(), ElementsAre(frame));
}

// Rule 1.
TEST_F(ViTest, ARingOf512Holds511AndAFullOneRefusesWithoutAChange) {
  Endpoint::Options options;
  options.receive_buffers = 512;
  options.post = false;
  Endpoint right("right", options);
  EXPECT_EQ(ef_vi_receive_capacity(&right.vi), 511);
  EXPECT_EQ(ef_vi_transmit_capacity(&right.vi), 511);
  for (size_t i = 0; i < 511; ++i) ASSERT_EQ(ef_vi_receive_init(&right.vi, right.receive_address(i), 7), 0);
  EXPECT_EQ(ef_vi_receive_space(&right.vi), 0);
  EXPECT_EQ(ef_vi_receive_init(&right.vi, right.receive_address(511), 7), -EAGAIN);
  EXPECT_EQ(ef_vi_receive_fill_level(&right.vi), 511);
  for (int i = 0; i < 511; ++i) ASSERT_EQ(ef_vi_transmit_init(&right.vi, right.transmit_address(0), 64, i), 0);
  EXPECT_EQ(ef_vi_transmit_init(&right.vi, right.transmit_address(0), 64, 511), -EAGAIN);
  EXPECT_EQ(ef_vi_transmit_fill_level(&right.vi), 511);
  ef_vi_transmit_init_undo(&right.vi);
  EXPECT_EQ(ef_vi_transmit_fill_level(&right.vi), 0);
}

// Rule 2.
TEST_F(ViTest, FillsBuffersInTheOrderOfPosting) {
  Endpoint left("left");
  Endpoint::Options options;
  options.post = false;
  Endpoint right("right", options);
  ASSERT_EQ(right.take_flow(), 0);
  for (const size_t buffer : {5u, 2u, 9u}) ASSERT_EQ(right.post(buffer), 0);
  for (uint8_t i = 0; i < 3; ++i) {
    FrameSpec spec;
    spec.seed = i;
    ASSERT_EQ(left.send(make_frame(spec), i), 0);
  }
  std::vector<unsigned> ids;
  for (const ef_event& event : right.poll()) ids.push_back(EF_EVENT_RX_RQ_ID(event));
  EXPECT_THAT(ids, ElementsAre(5u, 2u, 9u));
  EXPECT_EQ(right.receive_buffer(2)[42], 1);
  EXPECT_EQ(ef_vi_receive_fill_level(&right.vi), 0);
  // Nothing is posted: dropped and counted.
  ASSERT_EQ(left.send(make_frame()), 0);
  EXPECT_TRUE(right.poll().empty());
  uint32_t statistics[4];
  ASSERT_EQ(ef_vi_stats_query(&right.vi, right.dh, statistics, 1), 0);
  EXPECT_EQ(statistics[2], 1u);
  ASSERT_EQ(ef_vi_stats_query(&right.vi, right.dh, statistics, 0), 0);
  EXPECT_EQ(statistics[2], 0u);
}

// Rule 2: several buffers.
TEST_F(ViTest, SpreadsALongFrameOverBuffersAndCountsUpItsLength) {
  options_.ports[0].mtu = options_.ports[1].mtu = 9000;
  service_.reset();
  auto service = CardService::start(options_);
  ASSERT_TRUE(service);
  service_ = std::move(*service);
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  FrameSpec spec;
  spec.payload = 4000;
  const Bytes frame = make_frame(spec);
  std::memcpy(left.transmit_buffer(0), frame.data(), frame.size());
  // In three pieces, with one id.
  const ef_iovec pieces[] = {{left.transmit_address(0), 20},
                             {left.transmit_address(0) + 20, 2000},
                             {left.transmit_address(0) + 2020, static_cast<unsigned>(frame.size() - 2020)}};
  ASSERT_EQ(ef_vi_transmitv(&left.vi, pieces, 3, 17), 0);
  const auto events = right.poll();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(EF_EVENT_RX_SOP(events[0]) && EF_EVENT_RX_CONT(events[0]));
  EXPECT_TRUE(!EF_EVENT_RX_SOP(events[1]) && EF_EVENT_RX_CONT(events[1]));
  EXPECT_TRUE(!EF_EVENT_RX_SOP(events[2]) && !EF_EVENT_RX_CONT(events[2]));
  EXPECT_EQ(EF_EVENT_RX_BYTES(events[0]), 1792u);
  EXPECT_EQ(EF_EVENT_RX_BYTES(events[1]), 3584u);
  EXPECT_EQ(EF_EVENT_RX_BYTES(events[2]), frame.size());
  Bytes got;
  for (size_t i = 0, at = 0; i < 3; at = EF_EVENT_RX_BYTES(events[i++]))
    got.insert(got.end(), right.receive_buffer(i), right.receive_buffer(i) + EF_EVENT_RX_BYTES(events[i]) - at);
  EXPECT_EQ(got, frame);
  const auto sent = left.poll();
  ASSERT_EQ(sent.size(), 1u);
  ef_request_id ids[EF_VI_TRANSMIT_BATCH];
  ASSERT_EQ(ef_vi_transmit_unbundle(&left.vi, &sent[0], ids), 1);
  EXPECT_EQ(ids[0], 17);
  EXPECT_EQ(ef_vi_transmit_fill_level(&left.vi), 0);
}

// Rule 2: the buffers end before the frame does.
TEST_F(ViTest, SaysWhenBuffersRanOutInTheMiddleOfAFrame) {
  Endpoint left("left");
  Endpoint::Options options;
  options.post = false;
  Endpoint right("right", options);
  ASSERT_EQ(right.take_flow(), 0);
  ef_vi_receive_set_buffer_len(&right.vi, 256);
  ASSERT_EQ(right.post(0), 0);
  FrameSpec spec;
  spec.payload = 1000;
  ASSERT_EQ(left.send(make_frame(spec)), 0);
  const auto events = right.poll();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_RX);
  EXPECT_TRUE(EF_EVENT_RX_CONT(events[0]));
  EXPECT_EQ(EF_EVENT_TYPE(events[1]), EF_EVENT_TYPE_RX_NO_DESC_TRUNC);
}

// Rule 4.
TEST_F(ViTest, CompletesInTheOrderOfSendingUpTo64AtOnce) {
  Endpoint left("left");
  for (int i = 0; i < 200; ++i) ASSERT_EQ(ef_vi_transmit_init(&left.vi, left.transmit_address(0), 64, 1000 + i), 0);
  EXPECT_TRUE(left.poll().empty());
  ef_vi_transmit_push(&left.vi);
  EXPECT_EQ(ef_vi_transmit_fill_level(&left.vi), 200);
  int next = 1000;
  while (next < 1200) {
    const auto events = left.poll(2);
    ASSERT_FALSE(events.empty());
    for (const ef_event& event : events) {
      ef_request_id ids[EF_VI_TRANSMIT_BATCH];
      const int count = ef_vi_transmit_unbundle(&left.vi, &event, ids);
      ASSERT_LE(count, 64);
      for (int i = 0; i < count; ++i) EXPECT_EQ(ids[i], next++);
    }
  }
  EXPECT_EQ(ef_vi_transmit_fill_level(&left.vi), 0);
}

// The memory of another domain.
TEST_F(ViTest, StopsAtAnAddressOutsideTheDomainAndGoesOnAfterReinit) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  const Bytes frame = make_frame();
  std::memcpy(left.transmit_buffer(0), frame.data(), frame.size());
  ASSERT_EQ(ef_vi_transmit_init(&left.vi, left.transmit_address(0), 64, 1), 0);
  ASSERT_EQ(ef_vi_transmit_init(&left.vi, right.transmit_address(0), 64, 2), 0);
  ASSERT_EQ(ef_vi_transmit_init(&left.vi, left.transmit_address(0), 64, 3), 0);
  ef_vi_transmit_push(&left.vi);
  EXPECT_EQ(right.receive().size(), 1u);
  const auto events = left.poll();
  ASSERT_EQ(events.size(), 2u);
  ef_request_id ids[EF_VI_TRANSMIT_BATCH];
  ASSERT_EQ(ef_vi_transmit_unbundle(&left.vi, &events[0], ids), 1);
  ASSERT_EQ(EF_EVENT_TYPE(events[1]), EF_EVENT_TYPE_TX_ERROR);
  EXPECT_EQ(EF_EVENT_TX_ERROR_TYPE(events[1]), unsigned{EF_EVENT_TX_ERROR_BUS});
  std::vector<int> failed;
  uint32_t i;
  ef_request_id id;
  ef_vi_for_each_tx_error_failed_transmit(&left.vi, i, id) failed.push_back(id);
  EXPECT_THAT(failed, ElementsAre(2, 3));
  ASSERT_EQ(ef_vi_reinit_txq_post_error(&left.vi), 0);
  EXPECT_EQ(ef_vi_transmit_fill_level(&left.vi), 0);
  ASSERT_EQ(left.send(frame), 0);
  EXPECT_EQ(right.receive().size(), 1u);
}

TEST_F(ViTest, DiscardsAFrameForABufferOutsideTheDomain) {
  Endpoint left("left");
  Endpoint::Options options;
  options.post = false;
  Endpoint right("right", options);
  ASSERT_EQ(right.take_flow(), 0);
  const Bytes before(left.transmit_buffer(9), left.transmit_buffer(9) + 64);
  ASSERT_EQ(ef_vi_receive_post(&right.vi, left.transmit_address(9), 4), 0);
  ASSERT_EQ(left.send(make_frame()), 0);
  const auto events = right.poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_RX_DISCARD);
  EXPECT_EQ(EF_EVENT_RX_DISCARD_TYPE(events[0]), unsigned{EF_EVENT_RX_DISCARD_RIGHTS});
  EXPECT_EQ(EF_EVENT_RX_DISCARD_RQ_ID(events[0]), 4u);
  EXPECT_EQ(Bytes(left.transmit_buffer(9), left.transmit_buffer(9) + 64), before);
}

// Rule 10.
TEST_F(ViTest, SaysOnceThatTheEventQueueOverflowed) {
  Endpoint left("left");
  Endpoint::Options options;
  options.evq = 512;
  options.rxq = 1024;
  options.receive_buffers = 1000;
  Endpoint right("right", options);
  ASSERT_EQ(right.take_flow(), 0);
  for (int i = 0; i < 600; ++i) {
    ASSERT_EQ(left.send(make_frame()), 0);
    for (const ef_event& event : left.poll()) {
      ef_request_id ids[EF_VI_TRANSMIT_BATCH];
      ef_vi_transmit_unbundle(&left.vi, &event, ids);
    }
  }
  int received = 0, overflows = 0;
  for (auto events = right.poll(); !events.empty(); events = right.poll()) {
    for (const ef_event& event : events) {
      received += EF_EVENT_TYPE(event) == EF_EVENT_TYPE_RX;
      overflows += EF_EVENT_TYPE(event) == EF_EVENT_TYPE_OFLOW;
    }
  }
  EXPECT_GE(received, 509);
  EXPECT_LE(received, 511);
  EXPECT_EQ(overflows, 1);
  // And goes on, with the buffers that no frame used.
  ASSERT_EQ(left.send(make_frame()), 0);
  EXPECT_EQ(right.poll().size(), 1u);
}

TEST_F(ViTest, SeesWithoutPollingHowManyEventsWait) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  EXPECT_FALSE(ef_eventq_has_event(&right.vi));
  for (int i = 0; i < 3; ++i) ASSERT_EQ(left.send(make_frame()), 0);
  EXPECT_TRUE(ef_eventq_has_event(&right.vi));
  EXPECT_TRUE(ef_eventq_has_many_events(&right.vi, 2));
  EXPECT_FALSE(ef_eventq_has_many_events(&right.vi, 3));
  EXPECT_EQ(right.receive().size(), 3u);
  EXPECT_FALSE(ef_eventq_has_event(&right.vi));
}

// Two processes: every byte of every frame, in order.
TEST_F(ViTest, CarriesFramesBetweenTwoProcessesUnalteredAndInOrder) {
#ifdef __SANITIZE_ADDRESS__
  constexpr uint32_t kFrames = 5000;
#else
  constexpr uint32_t kFrames = 100000;
#endif
  Endpoint right("right", {.receive_buffers = 400});
  ASSERT_EQ(right.take_flow(), 0);
  const pid_t child = fork();
  if (child == 0) {
    // A child has handles of its own: those of the parent belong to it.
    Endpoint left("left");
    FrameSpec spec;
    spec.payload = 100;
    const Bytes frame = make_frame(spec);
    for (size_t i = 0; i < 64; ++i) std::memcpy(left.transmit_buffer(i), frame.data(), frame.size());
    for (uint32_t sent = 0; sent < kFrames;) {
      const size_t buffer = sent % 64;
      std::memcpy(left.transmit_buffer(buffer) + 42, &sent, 4);
      // The receiver says in the card's memory how far it is only by posting; so a child waits by counting drops.
      if (ef_vi_transmit(&left.vi, left.transmit_address(buffer), static_cast<int>(frame.size()), 1) == 0) ++sent;
      if (sent % 100 == 0) usleep(50);
      for (const ef_event& event : left.poll()) {
        ef_request_id ids[EF_VI_TRANSMIT_BATCH];
        ef_vi_transmit_unbundle(&left.vi, &event, ids);
      }
    }
    _exit(0);
  }
  FrameSpec spec;
  spec.payload = 100;
  const Bytes like = make_frame(spec);
  uint32_t next = 0, got = 0, wrong = 0;
  int status = 0;
  bool ended = false;
  while (!ended || ef_eventq_has_event(&right.vi)) {
    if (!ended && waitpid(child, &status, WNOHANG) == child) ended = true;
    for (const Bytes& frame : right.receive()) {
      uint32_t number;
      std::memcpy(&number, &frame[42], 4);
      wrong += number < next || frame.size() != like.size() ||
               !std::equal(frame.begin() + 46, frame.end(), like.begin() + 46);
      next = number + 1;
      ++got;
    }
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(wrong, 0u);
  uint32_t statistics[4];
  ASSERT_EQ(ef_vi_stats_query(&right.vi, right.dh, statistics, 0), 0);
  EXPECT_EQ(got + statistics[2], kFrames);
  EXPECT_GT(got, kFrames / 10);
}

}  // namespace
}  // namespace xnic::nic::vi
