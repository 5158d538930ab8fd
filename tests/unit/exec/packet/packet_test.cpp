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

TEST(Packet, StandsOnAFrameOfSomebodyElses) {
  std::vector<uint8_t> memory(kFrameBytes, 0xaa);
  Packet packet = Packet::unbound();
  packet.bind(memory.data(), 300, 60);
  EXPECT_EQ(packet.data, memory.data() + 300);
  EXPECT_EQ(packet.size(), 60u);
  Packet moved = std::move(packet);
  EXPECT_EQ(moved.unbind(), memory.data());
  EXPECT_EQ(moved.unbind(), nullptr);
}

TEST(Packet, FillLeavesTheRoomAroundTheFrame) {
  std::vector<uint8_t> memory(kFrameBytes, 0xaa);
  Packet packet = Packet::unbound();
  packet.bind(memory.data(), kHeadroomBytes, 0);
  packet.fill(counting(60));
  EXPECT_EQ(packet.bytes(), counting(60));
  EXPECT_EQ(memory[kHeadroomBytes - 1], 0xaa);
  EXPECT_EQ(memory[kHeadroomBytes + 60], 0xaa);
}

TEST(Packet, ReusesFragmentsWithoutShowingWhatTheyHeld) {
  Packet packet;
  packet.fill(std::vector<uint8_t>(9000, 0xee));
  const uint8_t* last = packet.fragments[1].buffer.get();
  packet.fill(counting(60));
  packet.fill(counting(3600));
  ASSERT_EQ(packet.fragments.size(), 1u);
  EXPECT_EQ(packet.fragments[0].buffer.get(), last);
  EXPECT_EQ(packet.fragments[0].size, 80u);
  EXPECT_EQ(packet.fragments[0].buffer[80], 0);
  EXPECT_EQ(packet.bytes(), counting(3600));
}

}  // namespace
}  // namespace xnic::exec::packet
