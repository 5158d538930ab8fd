// SPDX-License-Identifier: Apache-2.0
// Ways to send: checksum offload, PIO, CTPIO, TX alternatives, warming, time stamps.
#include <gmock/gmock.h>

#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;

std::vector<unsigned> types(const std::vector<ef_event>& events) {
  std::vector<unsigned> all;
  for (const ef_event& event : events) all.push_back(EF_EVENT_TYPE(event));
  return all;
}

class SendTest : public ViTest {
 protected:
  void open(uint64_t flags) {
    left_ = std::make_unique<Endpoint>("left", Endpoint::Options{.flags = flags});
    right_ = std::make_unique<Endpoint>("right");
    ASSERT_EQ(right_->take_flow(), 0);
    frame_ = make_frame();
    std::memcpy(left_->transmit_buffer(0), frame_.data(), frame_.size());
  }
  void TearDown() override {
    left_.reset();
    right_.reset();
    ViTest::TearDown();
  }
  void ctpio(unsigned threshold = 32) { ef_vi_transmit_ctpio(&left_->vi, frame_.data(), frame_.size(), threshold); }
  int fallback(int id) {
    return ef_vi_transmit_ctpio_fallback(&left_->vi, left_->transmit_address(0), frame_.size(), id);
  }
  // Ids of the TX events that are waiting, and whether they went by CTPIO.
  std::vector<std::pair<int, bool>> completions() {
    std::vector<std::pair<int, bool>> all;
    for (const ef_event& event : left_->poll()) {
      ef_request_id ids[EF_VI_TRANSMIT_BATCH];
      const int count = EF_EVENT_TYPE(event) == EF_EVENT_TYPE_TX ? ef_vi_transmit_unbundle(&left_->vi, &event, ids) : 0;
      for (int i = 0; i < count; ++i) all.emplace_back(ids[i], EF_EVENT_TX_CTPIO(event) != 0);
    }
    return all;
  }
  std::unique_ptr<Endpoint> left_, right_;
  Bytes frame_;
};

TEST_F(SendTest, FillsInChecksumsUnlessToldNotTo) {
  open(0);
  Bytes blank = frame_;
  for (const size_t at : {24u, 25u, 40u, 41u}) blank[at] = 0;
  ASSERT_EQ(left_->send(blank), 0);
  EXPECT_THAT(right_->receive(), ElementsAre(frame_));
  EXPECT_EQ(Bytes(left_->transmit_buffer(0), left_->transmit_buffer(0) + 64), blank);
  Endpoint plain("left", {.flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS});
  ASSERT_EQ(plain.send(blank), 0);
  // The receiver finds the IP checksum wrong; a UDP checksum of zero is none.
  EXPECT_THAT(types(right_->poll()), ElementsAre(EF_EVENT_TYPE_RX_DISCARD));
}

TEST_F(SendTest, DropsWhatIsNeitherTcpNorUdpWhenAskedTo) {
  open(EF_VI_TX_TCPUDP_ONLY);
  Bytes arp(60, 1);
  arp[12] = 8, arp[13] = 6;
  ASSERT_EQ(right_->add([](ef_filter_spec* spec) { return ef_filter_spec_set_unicast_all(spec); }), 0);
  arp[0] = 2;
  ASSERT_EQ(left_->send(arp), 0);
  EXPECT_TRUE(right_->receive().empty());
  ASSERT_EQ(left_->send(frame_), 0);
  EXPECT_EQ(right_->receive().size(), 1u);
}

TEST_F(SendTest, SendsFromProgrammedIo) {
  open(0);
  EXPECT_EQ(ef_vi_transmit_pio(&left_->vi, 0, 64, 1), -EOPNOTSUPP);
  ef_pio pio;
  ASSERT_EQ(ef_pio_alloc(&pio, left_->dh, &left_->pd, static_cast<unsigned>(-1), left_->dh), 0);
  EXPECT_EQ(pio.pio_len, 2048u);
  ASSERT_EQ(ef_pio_link_vi(&pio, left_->dh, &left_->vi, left_->dh), 0);
  EXPECT_EQ(ef_pio_link_vi(&pio, left_->dh, &left_->vi, left_->dh), -EBUSY);
  EXPECT_EQ(ef_pio_free(&pio, left_->dh), -EBUSY);
  EXPECT_EQ(ef_vi_get_pio_size(&left_->vi), 2048);
  ASSERT_EQ(ef_pio_memcpy(&left_->vi, frame_.data(), 64, 64), 0);
  EXPECT_EQ(ef_pio_memcpy(&left_->vi, frame_.data(), 2000, 64), -EINVAL);
  ASSERT_EQ(ef_vi_transmit_pio(&left_->vi, 64, 64, 5), 0);
  EXPECT_EQ(ef_vi_transmit_pio(&left_->vi, 32, 64, 5), -EINVAL);
  EXPECT_EQ(ef_vi_transmit_pio(&left_->vi, 64, 15, 5), -EINVAL);
  ASSERT_EQ(ef_vi_transmit_copy_pio(&left_->vi, 128, frame_.data(), 64, 6), 0);
  EXPECT_THAT(right_->receive(), ElementsAre(frame_, frame_));
  EXPECT_THAT(completions(), ElementsAre(std::pair(5, false), std::pair(6, false)));
  ASSERT_EQ(ef_pio_unlink_vi(&pio, left_->dh, &left_->vi, left_->dh), 0);
  ASSERT_EQ(ef_pio_free(&pio, left_->dh), 0);
}

// Rule 5.
TEST_F(SendTest, CtpioSendsAtOnceAndTheFallbackOnlyCompletes) {
  open(EF_VI_TX_CTPIO);
  ctpio();
  EXPECT_THAT(right_->receive(), ElementsAre(frame_));
  EXPECT_TRUE(left_->poll().empty());
  ASSERT_EQ(fallback(9), 0);
  EXPECT_TRUE(right_->receive().empty());
  EXPECT_THAT(completions(), ElementsAre(std::pair(9, true)));
}

TEST_F(SendTest, CtpioBehindUnpushedDescriptorsFallsBackInOrder) {
  open(EF_VI_TX_CTPIO);
  ASSERT_EQ(ef_vi_transmit_init(&left_->vi, left_->transmit_address(0), 64, 1), 0);
  ctpio();
  EXPECT_TRUE(right_->receive().empty());
  ASSERT_EQ(fallback(2), 0);
  EXPECT_EQ(right_->receive().size(), 2u);
  EXPECT_THAT(completions(), ElementsAre(std::pair(1, false), std::pair(2, false)));
  ctpio();
  ASSERT_EQ(fallback(3), 0);
  EXPECT_THAT(completions(), ElementsAre(std::pair(3, true)));
}

TEST_F(SendTest, AnUnderrunPoisonsTheFrameAndTheFallbackFollows) {
  open(EF_VI_TX_CTPIO);
  service_->provoke_underruns("left", 1);
  ctpio(32);
  const auto events = right_->poll();
  ASSERT_THAT(types(events), ElementsAre(EF_EVENT_TYPE_RX_DISCARD));
  EXPECT_EQ(EF_EVENT_RX_DISCARD_TYPE(events[0]), unsigned{EF_EVENT_RX_DISCARD_CRC_BAD});
  ASSERT_EQ(fallback(1), 0);
  EXPECT_THAT(right_->receive(), ElementsAre(frame_));
  EXPECT_THAT(completions(), ElementsAre(std::pair(1, false)));
  // Not with store and forward: the frame is not begun before it is whole.
  service_->provoke_underruns("left", 1);
  ctpio(EF_VI_CTPIO_CT_THRESHOLD_SNF);
  EXPECT_TRUE(right_->poll().empty());
  ASSERT_EQ(fallback(2), 0);
  EXPECT_EQ(right_->receive().size(), 1u);
  uint32_t statistics[4];
  ASSERT_EQ(ef_vi_stats_query(&right_->vi, right_->dh, statistics, 0), 0);
  EXPECT_EQ(statistics[0], 1u);
}

TEST_F(SendTest, WithoutPoisonOnlyTheFallbackArrives) {
  open(EF_VI_TX_CTPIO | EF_VI_TX_CTPIO_NO_POISON);
  service_->provoke_underruns("left", 1);
  ctpio(32);
  EXPECT_TRUE(right_->poll().empty());
  ASSERT_EQ(fallback(1), 0);
  EXPECT_EQ(right_->receive().size(), 1u);
}

TEST_F(SendTest, CtpioWithoutItsFlagAndWithAFullRingIsRefused) {
  open(0);
  ctpio();
  EXPECT_TRUE(right_->receive().empty());
  EXPECT_EQ(fallback(1), -EOPNOTSUPP);
  Endpoint full("left", {.flags = EF_VI_TX_CTPIO});
  for (int i = 0; i < 511; ++i) {
    ef_vi_transmit_ctpio(&full.vi, frame_.data(), frame_.size(), 64);
    ASSERT_EQ(ef_vi_transmit_ctpio_fallback(&full.vi, full.transmit_address(0), 64, i), 0);
    right_->receive();
  }
  // No place for its completion: the frame is not sent, so the program may send it again.
  ef_vi_transmit_ctpio(&full.vi, frame_.data(), frame_.size(), 64);
  EXPECT_EQ(ef_vi_transmit_ctpio_fallback(&full.vi, full.transmit_address(0), 64, 600), -EAGAIN);
  EXPECT_TRUE(right_->receive().empty());
}

TEST_F(SendTest, CtpioCopyFillsTheFallbackBuffer) {
  open(EF_VI_TX_CTPIO);
  const iovec pieces[] = {{frame_.data(), 20}, {frame_.data() + 20, frame_.size() - 20}};
  std::memset(left_->transmit_buffer(1), 0, 64);
  ef_vi_transmitv_ctpio_copy(&left_->vi, frame_.size(), pieces, 2, 64, left_->transmit_buffer(1));
  EXPECT_EQ(Bytes(left_->transmit_buffer(1), left_->transmit_buffer(1) + 64), frame_);
  EXPECT_THAT(right_->receive(), ElementsAre(frame_));
  ASSERT_EQ(fallback(1), 0);
}

// Rule 6.
TEST_F(SendTest, AnAlternativeHoldsFramesUntilItGoes) {
  open(EF_VI_TX_ALT);
  ASSERT_EQ(ef_vi_transmit_alt_alloc(&left_->vi, left_->dh, 2, 4096), 0);
  EXPECT_EQ(ef_vi_transmit_alt_alloc(&left_->vi, left_->dh, 2, 4096), -EALREADY);
  EXPECT_EQ(ef_vi_transmit_alt_num_ids(&left_->vi), 2u);
  EXPECT_EQ(ef_vi_transmit_alt_select(&left_->vi, 2), -EINVAL);
  ASSERT_EQ(ef_vi_transmit_alt_select(&left_->vi, 1), 0);
  ASSERT_EQ(left_->send(frame_, 0), 0);
  ASSERT_EQ(left_->send(frame_, 1), 0);
  EXPECT_TRUE(right_->receive().empty());
  EXPECT_THAT(completions(), ElementsAre(std::pair(0, false), std::pair(1, false)));
  // Others go out past it.
  ASSERT_EQ(ef_vi_transmit_alt_select_normal(&left_->vi), 0);
  ASSERT_EQ(left_->send(frame_, 2), 0);
  EXPECT_EQ(right_->receive().size(), 1u);
  EXPECT_EQ(completions().size(), 1u);
  ASSERT_EQ(ef_vi_transmit_alt_go(&left_->vi, 1), 0);
  EXPECT_EQ(right_->receive().size(), 2u);
  auto events = left_->poll();
  ASSERT_THAT(types(events), ElementsAre(EF_EVENT_TYPE_TX_ALT, EF_EVENT_TYPE_TX_ALT));
  EXPECT_EQ(EF_EVENT_TX_ALT_ALT_ID(events[0]), 1u);
  // In GO, frames pass through, with both events.
  ASSERT_EQ(ef_vi_transmit_alt_select(&left_->vi, 1), 0);
  ASSERT_EQ(left_->send(frame_, 3), 0);
  EXPECT_EQ(right_->receive().size(), 1u);
  EXPECT_THAT(types(left_->poll()), ElementsAre(EF_EVENT_TYPE_TX, EF_EVENT_TYPE_TX_ALT));
  // DISCARD drops what is held.
  ASSERT_EQ(ef_vi_transmit_alt_stop(&left_->vi, 1), 0);
  ASSERT_EQ(left_->send(frame_, 4), 0);
  ASSERT_EQ(ef_vi_transmit_alt_discard(&left_->vi, 1), 0);
  EXPECT_TRUE(right_->receive().empty());
  EXPECT_THAT(types(left_->poll()), ElementsAre(EF_EVENT_TYPE_TX, EF_EVENT_TYPE_TX_ALT));
  ASSERT_EQ(ef_vi_transmit_alt_free(&left_->vi, left_->dh), 0);
}

TEST_F(SendTest, AnAlternativeHoldsAsManyFramesAsItsSpaceSays) {
  open(EF_VI_TX_ALT);
  ef_vi_transmit_alt_overhead overhead;
  ASSERT_EQ(ef_vi_transmit_alt_query_overhead(&left_->vi, &overhead), 0);
  const uint32_t usage = ef_vi_transmit_alt_usage(&overhead, 64);
  EXPECT_GE(usage, 64u);
  ASSERT_EQ(ef_vi_transmit_alt_alloc(&left_->vi, left_->dh, 1, 3 * usage), 0);
  ASSERT_EQ(ef_vi_transmit_alt_select(&left_->vi, 0), 0);
  for (size_t i = 0; i < 5; ++i) ASSERT_EQ(left_->send(frame_, i), 0);
  ASSERT_EQ(ef_vi_transmit_alt_go(&left_->vi, 0), 0);
  EXPECT_EQ(right_->receive().size(), 3u);
}

TEST_F(SendTest, AlternativesNeedTheirFlagAndNoTimeStamps) {
  open(0);
  EXPECT_EQ(ef_vi_transmit_alt_alloc(&left_->vi, left_->dh, 2, 4096), -EINVAL);
  EXPECT_EQ(ef_vi_transmit_alt_query_buffering(&left_->vi, 71, left_->dh, 2), -EINVAL);
  ef_vi vi;
  EXPECT_EQ(ef_vi_alloc_from_pd(&vi, left_->dh, &left_->pd, left_->dh, -1, 0, -1, nullptr, -1,
                                static_cast<enum ef_vi_flags>(EF_VI_TX_ALT | EF_VI_TX_TIMESTAMPS)),
            -EOPNOTSUPP);
}

// Rule 12.
TEST_F(SendTest, WarmingReachesNobodyAndLeavesNoTrace) {
  open(EF_VI_TX_CTPIO);
  ASSERT_EQ(left_->send(frame_, 1), 0);
  const ef_vi_state before = *left_->vi.ep_state;
  ef_vi_tx_warm_state saved;
  ef_vi_start_transmit_warm(&left_->vi, &saved, nullptr);
  EXPECT_EQ(ef_vi_transmit_space(&left_->vi), 0);
  EXPECT_EQ(ef_vi_transmit(&left_->vi, left_->transmit_address(0), 64, 7), -EAGAIN);
  ctpio();
  EXPECT_EQ(fallback(8), -EAGAIN);
  ef_vi_stop_transmit_warm(&left_->vi, &saved);
  EXPECT_EQ(right_->receive().size(), 1u);
  EXPECT_EQ(before.txq.added, left_->vi.ep_state->txq.added);
  EXPECT_EQ(before.txq.removed, left_->vi.ep_state->txq.removed);
  EXPECT_THAT(completions(), ElementsAre(std::pair(1, false)));
  ctpio();
  EXPECT_EQ(right_->receive().size(), 1u);
  ASSERT_EQ(fallback(2), 0);
}

// Rule 4, with time stamps.
TEST_F(SendTest, EveryFrameGetsATimeStampWhenAsked) {
  open(EF_VI_TX_TIMESTAMPS | EF_VI_TX_CTPIO);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(ef_vi_transmit(&left_->vi, left_->transmit_address(0), 64, 40 + i), 0);
  ctpio();
  ASSERT_EQ(fallback(43), 0);
  const auto events = left_->poll();
  ASSERT_EQ(events.size(), 4u);
  uint64_t last = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(EF_EVENT_TYPE(events[i]), EF_EVENT_TYPE_TX_WITH_TIMESTAMP);
    EXPECT_EQ(EF_EVENT_TX_WITH_TIMESTAMP_RQ_ID(events[i]), 40 + i);
    EXPECT_EQ(EF_EVENT_TX_WITH_TIMESTAMP_SYNC_FLAGS(events[i]), unsigned{EF_VI_SYNC_FLAG_CLOCK_SET});
    const uint64_t when =
        EF_EVENT_TX_WITH_TIMESTAMP_SEC(events[i]) * 1000000000ull + EF_EVENT_TX_WITH_TIMESTAMP_NSEC(events[i]);
    EXPECT_GE(when, last);
    last = when;
  }
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  EXPECT_LT(static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec) - last, 5'000'000'000u);
  EXPECT_EQ(ef_vi_transmit_fill_level(&left_->vi), 0);
}

TEST_F(SendTest, RefusesFramesLongerThanThePort) {
  open(0);
  ASSERT_EQ(ef_vi_transmit(&left_->vi, left_->transmit_address(0), 1537, 1), 0);
  const auto events = left_->poll();
  ASSERT_THAT(types(events), ElementsAre(EF_EVENT_TYPE_TX_ERROR));
  EXPECT_EQ(EF_EVENT_TX_ERROR_TYPE(events[0]), unsigned{EF_EVENT_TX_ERROR_2BIG});
  EXPECT_EQ(ef_vi_mtu(&left_->vi, left_->dh), 1514u);
}

}  // namespace
}  // namespace xnic::nic::vi
