// SPDX-License-Identifier: Apache-2.0
#include "exec/packet/packet.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace xnic::exec::packet {
namespace {

std::vector<uint8_t> counting(size_t size) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), uint8_t{1});
  return bytes;
}

TEST(Packet, KeepsAFrameBehindTheHeadroom) {
  Packet packet;
  packet.assign(counting(60));
  EXPECT_EQ(packet.data - packet.frame(), 256);
  EXPECT_EQ(packet.data_meta, packet.data);
  EXPECT_EQ(packet.data_end - packet.data, 60);
  EXPECT_EQ(packet.bytes(), counting(60));
}

TEST(Packet, SplitsAJumboFrameAsTheKernelsTestRunDoes) {
  Packet packet;
  packet.assign(counting(9000));
  EXPECT_EQ(packet.data_end - packet.data, 3520);
  ASSERT_EQ(packet.fragments.size(), 2u);
  EXPECT_EQ(packet.fragments[0].size, 4096u);
  EXPECT_EQ(packet.fragments[1].size, 9000u - 3520 - 4096);
  EXPECT_EQ(packet.size(), 9000u);
  EXPECT_EQ(packet.bytes(), counting(9000));
}

TEST(Packet, ForgetsEarlierFramesWhenReused) {
  Packet packet;
  packet.assign(counting(9000));
  packet.data_meta -= 8;
  std::fill(packet.data_meta, packet.data, uint8_t{0xee});
  packet.assign(counting(64));
  EXPECT_TRUE(packet.fragments.empty());
  EXPECT_EQ(packet.data_meta, packet.data);
  EXPECT_EQ(std::count(packet.frame(), packet.data, 0), 256);
  EXPECT_TRUE(std::all_of(packet.data_end, packet.frame_end(), [](uint8_t byte) { return byte == 0; }));
}

}  // namespace
}  // namespace xnic::exec::packet
