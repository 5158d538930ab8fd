// SPDX-License-Identifier: Apache-2.0
// One sample a packet: order and loss case by case, then campaigns small enough for every day.
#include <gtest/gtest.h>
#include <unistd.h>

#include "campaign.hpp"
#include "changepoint/stream_card.hpp"
#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"

namespace xnic::apps::changepoint {
namespace {

constexpr const char* kSums = XNIC_PROGRAMS "/changepoint_stream.bpf.o";
constexpr const char* kSampling = XNIC_PROGRAMS "/changepoint_sample.bpf.o";

StreamParameters small() {
  StreamParameters parameters;
  parameters.step = 4;
  parameters.window_steps = 2;
  parameters.epsilon = 10;
  return parameters;
}

class ChangepointStream : public testing::Test {
 protected:
  void open(const StreamParameters& parameters, uint32_t queues = 1) {
    auto opened = StreamCard::open(kSums, "interp", parameters, queues);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    card = std::make_unique<StreamCard>(std::move(*opened));
  }
  StreamAnswer send(uint32_t sequence, uint32_t sample, uint32_t queue = 0, uint32_t stream = 7) {
    std::vector<StreamAnswer> answers;
    const StreamPacket packet{0x0a000001, stream, sequence, sample};
    EXPECT_TRUE(card->run(queue, std::span(&packet, 1), answers).has_value());
    return answers.at(0);
  }
  StreamCounts counts() { return *card->counts(); }
  std::unique_ptr<StreamCard> card;
};

TEST_F(ChangepointStream, a_step_that_moves_away_splits_and_begins_a_window) {
  open(small());
  for (uint32_t i = 0; i < 11; ++i) EXPECT_EQ(send(i, 100).tag, StreamTag::kTaken) << i;
  EXPECT_EQ(send(11, 100), (StreamAnswer{StreamTag::kNoSplit, 0, 100, 0}));
  for (uint32_t i = 12; i < 15; ++i) EXPECT_EQ(send(i, 110).tag, StreamTag::kTaken);
  EXPECT_EQ(send(15, 110), (StreamAnswer{StreamTag::kSplit, 4, 100, 0}));
  // The step at 110 is the first of the new window; one more fills it, the next is tested.
  for (uint32_t i = 16; i < 23; ++i) EXPECT_EQ(send(i, 110).tag, StreamTag::kTaken) << i;
  EXPECT_EQ(send(23, 110), (StreamAnswer{StreamTag::kNoSplit, 0, 110, 0}));
  std::vector<StreamResult> results;
  card->drain([&](const StreamResult& r) { results.push_back(r); });
  ASSERT_EQ(results.size(), 3u);
  EXPECT_EQ(results[1].stream, 7u);
  EXPECT_EQ(results[1].address, 0x0a000001u);
  EXPECT_EQ(results[1].sequence, 15u);
  EXPECT_EQ(results[1].answer, (StreamAnswer{StreamTag::kSplit, 4, 100, 0}));
  EXPECT_EQ(counts().splits, 1u);
  EXPECT_EQ(counts().decisions, 3u);
}

TEST_F(ChangepointStream, reordered_samples_are_used_and_doubles_are_not) {
  open(small());
  EXPECT_EQ(send(0, 100).tag, StreamTag::kTaken);
  EXPECT_EQ(send(3, 100).tag, StreamTag::kTaken);
  EXPECT_EQ(send(1, 100).tag, StreamTag::kTaken);
  EXPECT_EQ(send(1, 100).tag, StreamTag::kDuplicate);
  EXPECT_EQ(send(3, 100).tag, StreamTag::kDuplicate);
  EXPECT_EQ(send(80, 100).tag, StreamTag::kTaken);
  EXPECT_EQ(send(17, 100).tag, StreamTag::kTaken);  // 63 back
  EXPECT_EQ(send(16, 100).tag, StreamTag::kLate);   // 64 back
  const StreamCounts c = counts();
  EXPECT_EQ(c.taken, 5u);
  EXPECT_EQ(c.missing, 2u + 76u);
  EXPECT_EQ(c.reordered, 2u);
  EXPECT_EQ(c.duplicates, 2u);
  EXPECT_EQ(c.late, 1u);
}

TEST_F(ChangepointStream, a_sender_that_begins_anew_begins_a_window) {
  open(small());
  for (uint32_t i = 0; i < 12; ++i) send(i, 100);
  EXPECT_EQ(send(1'000'000, 500).tag, StreamTag::kTaken);
  EXPECT_EQ(send(1'000'000, 500).tag, StreamTag::kDuplicate);
  EXPECT_EQ(send(999'999, 500).tag, StreamTag::kTaken);
  for (uint32_t i = 1; i < 10; ++i) EXPECT_EQ(send(1'000'000 + i, 500).tag, StreamTag::kTaken) << i;
  EXPECT_EQ(send(1'000'010, 500), (StreamAnswer{StreamTag::kNoSplit, 0, 500, 0}));
  EXPECT_EQ(counts().restarts, 1u);
}

TEST_F(ChangepointStream, refuses_and_counts_what_it_cannot_take) {
  open(small(), 2);
  EXPECT_EQ(send(0, kStreamLimit).tag, StreamTag::kRefused);
  EXPECT_EQ(send(0, kStreamLimit - 1, 1).tag, StreamTag::kTaken);
  EXPECT_EQ(send(1, 5, 0).tag, StreamTag::kForeign);
  EXPECT_EQ(send(1, 5, 1).tag, StreamTag::kTaken);
  for (uint32_t stream = 0; stream < 16384 + 10; ++stream) send(0, 1, 0, 100 + stream);
  EXPECT_EQ(send(0, 1, 0, 99).tag, StreamTag::kNoRoom);
  EXPECT_EQ(counts().refused, 1u);
  EXPECT_EQ(counts().foreign, 1u);
  EXPECT_EQ(counts().no_room, 12u);
}

TEST_F(ChangepointStream, takes_no_window_that_would_overflow) {
  StreamParameters parameters = small();
  parameters.step = 256, parameters.window_steps = 5;
  EXPECT_FALSE(StreamCard::open(kSums, "interp", parameters, 1).has_value());
  parameters.step = 64, parameters.window_steps = 9;
  EXPECT_FALSE(StreamCard::open(kSums, "interp", parameters, 1).has_value());
}

// The largest samples in the largest window, where one bit more would overflow.
TEST_F(ChangepointStream, holds_the_largest_sums) {
  StreamParameters parameters;
  parameters.step = 128, parameters.window_steps = 8, parameters.epsilon = (1 << 26) - 1;
  open(parameters);
  OfflineStream plain(parameters, 7);
  for (uint32_t i = 0; i < 3000; ++i) {
    const uint32_t sample = i % 3 == 0 ? 0 : kStreamLimit - 1;
    EXPECT_EQ(send(i, sample), plain.take(i, sample)) << i;
  }
  EXPECT_GT(plain.counts().decisions, 10u);
}

void expect_equal(const Campaign& campaign) {
  const CampaignResult r = run_campaign(campaign);
  EXPECT_EQ(r.error, "");
  EXPECT_EQ(r.different, 0u) << campaign.engine << ": " << r.first_difference;
  EXPECT_TRUE(r.card == r.plain) << campaign.engine;
  EXPECT_GT(r.card.splits, 0u);
  EXPECT_GT(r.card.decisions, r.card.splits);
  EXPECT_EQ(r.sent, r.card.taken + r.card.late + r.card.duplicates);
  if (campaign.engine != "kernel") {
    EXPECT_EQ(r.results, r.card.decisions - r.card.untold);
    EXPECT_EQ(r.wrong_results, 0u);
  }
}

std::vector<std::string> engines() {
  std::vector<std::string> names;
  for (std::string_view name : exec::engine_names())
    if (name != "nfp" && (name != "kernel" || geteuid() == 0)) names.emplace_back(name);  // that card refuses it
  return names;
}

TEST(ChangepointCampaign, every_engine_answers_as_the_plain_computation) {
  device::install_hxdp();
  device::install_native();
  for (const std::string& engine : engines()) {
    Campaign campaign{.object = kSums, .engine = engine, .parameters = {}};
    campaign.streams = 12, campaign.samples = 1600;
    expect_equal(campaign);
    campaign.loss_per_mille = 10, campaign.reorder_per_mille = 20, campaign.late_per_mille = 2;
    campaign.duplicate_per_mille = 5;
    expect_equal(campaign);
  }
}

TEST(ChangepointCampaign, four_queues_lose_and_reorder_and_are_still_equal) {
  Campaign campaign{.object = kSums, .parameters = {}};
  campaign.queues = 4, campaign.streams = 80, campaign.samples = 1600;
  campaign.loss_per_mille = 10, campaign.reorder_per_mille = 20, campaign.late_per_mille = 2;
  campaign.duplicate_per_mille = 5;
  expect_equal(campaign);
}

// Rows of the four cores interleave; the dispatcher keeps a stream's packets on one of them.
TEST(ChangepointCampaign, four_cores_of_the_hxdp_card_are_still_equal) {
  compile::HxdpOptions options;
  options.parameters.cores = 4;
  device::install_hxdp(options);
  Campaign campaign{.object = kSums, .engine = "hxdp", .parameters = {}};
  campaign.cores = 4, campaign.streams = 24, campaign.samples = 1600;
  campaign.loss_per_mille = 10, campaign.reorder_per_mille = 20, campaign.duplicate_per_mille = 5;
  expect_equal(campaign);
  device::install_hxdp();
}

TEST(ChangepointCampaign, sampling_answers_as_the_plain_computation) {
  device::install_hxdp();
  device::install_native();
  for (const std::string& engine : engines()) {
    Campaign campaign{.object = kSampling, .engine = engine, .parameters = {}};
    campaign.parameters.kind = StreamKind::kSampling;
    campaign.streams = 4, campaign.samples = 1600, campaign.loss_per_mille = 10, campaign.reorder_per_mille = 10;
    expect_equal(campaign);
  }
}

}  // namespace
}  // namespace xnic::apps::changepoint
