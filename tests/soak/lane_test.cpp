// SPDX-License-Identifier: Apache-2.0
// The judge of the soak: it has to see each thing that can go wrong with a frame.
#include "lane.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace xnic::tests::soak {
namespace {

using Frame = std::vector<uint8_t>;

std::vector<Frame> frames(Lane& lane, size_t count) {
  std::vector<Frame> all;
  for (size_t i = 0; i < count; ++i) {
    Frame frame(Lane::kMaxFrameBytes);
    frame.resize(lane.write(frame.data()));
    all.push_back(std::move(frame));
  }
  return all;
}

TEST(SoakLane, WhatArrivesInOrderIsGoodAndMacAddressesMayBeSwapped) {
  Lane lane(1, 3);
  for (Frame& frame : frames(lane, 300)) {
    std::swap_ranges(frame.begin(), frame.begin() + 6, frame.begin() + 6);
    lane.judge(frame);
  }
  EXPECT_EQ(lane.seen().sent, 300u);
  EXPECT_EQ(lane.seen().in_order, 300u);
  EXPECT_EQ(lane.missing(), 0u);
}

TEST(SoakLane, SeesMissingLateAndRepeatedFramesOfEachFlow) {
  Lane lane(1, 2);
  auto all = frames(lane, 40);  // flow i % 2
  std::swap(all[4], all[6]);
  for (size_t i = 0; i < all.size(); ++i)
    if (i != 21) lane.judge(all[i]);
  lane.judge(all[30]);
  EXPECT_EQ(lane.seen().late, 1u);
  EXPECT_EQ(lane.seen().duplicates, 1u);
  EXPECT_EQ(lane.missing(), 1u);
  EXPECT_EQ(lane.seen().received, 40u);
}

TEST(SoakLane, SeesEveryFlippedBitAndCutFrames) {
  Lane lane(1, 2);
  const Frame good = frames(lane, 100)[50];  // its neighbours' numbers are good ones too
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Frame frame = good;
    frame[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    lane.judge(frame);
    EXPECT_EQ(lane.seen().changed, bit + 1);
  }
  lane.judge(base::Bytes(good).first(59));
  Lane other(2, 2);
  other.judge(good);
  EXPECT_EQ(lane.seen().changed, good.size() * 8 + 1);
  EXPECT_EQ(other.seen().changed, 1u);
  EXPECT_EQ(lane.seen().in_order, 0u);
}

TEST(SoakLane, RemembersAWindowAndTakesNothingOlder) {
  Lane lane(1, 1);
  const Frame first = frames(lane, 1)[0];
  lane.judge(first);
  Frame last;
  for (uint64_t i = 0; i < Lane::kWindow; ++i) last = frames(lane, 1)[0];
  lane.judge(last);  // all between are missing
  EXPECT_EQ(lane.seen().in_order, 2u);
  EXPECT_EQ(lane.missing(), Lane::kWindow - 1);
  lane.judge(first);
  EXPECT_EQ(lane.seen().changed, 1u);
}

}  // namespace
}  // namespace xnic::tests::soak
