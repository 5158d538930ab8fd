// SPDX-License-Identifier: Apache-2.0
// Checksums are compared with those of src/wire, which computes them another way.
#include "nic/datapath/offload.hpp"

#include <gtest/gtest.h>

#include "frames.hpp"

namespace xnic::nic::datapath {
namespace {

TEST(Checksums, OfGoodPacketsAreGoodAndEveryFlippedBitIsSeen) {
  for (const bool six : {false, true}) {
    for (const uint8_t protocol : {wire::kTcp, wire::kUdp}) {
      for (const size_t payload : {0, 1, 7, 100}) {
        const Frame frame =
            ip_frame(six ? "2001:db8::1" : "10.0.0.1", six ? "2001:db8::2" : "10.0.0.2", protocol, 1000, 80, payload);
        EXPECT_EQ(check_checksums(packet_of(frame)), ChecksumState::kGood);
        const size_t transport = six ? 54 : 34;
        for (size_t at = transport; at < frame.size(); ++at) {
          if (protocol == wire::kUdp && (at == transport + 6 || at == transport + 7)) continue;  // may become "no sum"
          Frame bad = frame;
          bad[at] ^= 0x10;
          EXPECT_EQ(check_checksums(packet_of(bad)), ChecksumState::kBad) << at;
        }
      }
    }
  }
}

TEST(Checksums, AreFilledInAsTheyShouldBe) {
  for (const bool six : {false, true}) {
    for (const uint8_t protocol : {wire::kTcp, wire::kUdp}) {
      for (const size_t payload : {0, 1, 7, 1000, 3900, 9000}) {  // in fragments from 3520 on
        const Frame good =
            ip_frame(six ? "2001:db8::1" : "10.0.0.1", six ? "2001:db8::2" : "10.0.0.2", protocol, 1000, 80, payload);
        Frame blank = good;
        const size_t transport = six ? 54 : 34;
        const size_t sum = transport + (protocol == wire::kTcp ? 16 : 6);
        blank[sum] = 0x12;
        blank[sum + 1] = 0x34;
        if (!six) blank[24] = blank[25] = 0;
        exec::packet::Packet packet = packet_of(blank);
        fill_checksums(packet);
        EXPECT_EQ(packet.bytes(), good) << payload;
        EXPECT_EQ(check_checksums(packet), ChecksumState::kGood);
      }
    }
  }
}

TEST(Checksums, OfFragmentsWithOddPiecesAreRight) {
  const Frame good = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1000, 80, 6001);
  exec::packet::Packet packet = packet_of(good);
  ASSERT_EQ(packet.fragments.size(), 1u);
  // One byte less in the linear part makes all that follows odd.
  auto& fragment = packet.fragments[0];
  std::memmove(fragment.buffer.get() + 1, fragment.buffer.get(), fragment.size);
  fragment.buffer[0] = packet.data_end[-1];
  ++fragment.size;
  --packet.data_end;
  ASSERT_EQ(packet.bytes(), good);
  EXPECT_EQ(check_checksums(packet), ChecksumState::kGood);
  fragment.buffer[2] ^= 1;
  EXPECT_EQ(check_checksums(packet), ChecksumState::kBad);
}

TEST(Checksums, ThatAreNotThereOrNotWholeAreNotJudged) {
  Frame udp = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1000, 80);
  udp[40] = udp[41] = 0;  // UDP over IPv4 may have none
  EXPECT_EQ(check_checksums(packet_of(udp)), ChecksumState::kNone);
  Frame udp6 = ip_frame("2001:db8::1", "2001:db8::2", wire::kUdp, 1000, 80);
  udp6[60] = udp6[61] = 0;  // over IPv6 it may not
  EXPECT_EQ(check_checksums(packet_of(udp6)), ChecksumState::kBad);
  EXPECT_EQ(check_checksums(packet_of(Frame(60))), ChecksumState::kNone);
  Frame header = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1000, 80);
  header[22] ^= 1;  // the IPv4 header's own sum
  EXPECT_EQ(check_checksums(packet_of(header)), ChecksumState::kBad);
  Frame short_of = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1000, 80);
  short_of.resize(short_of.size() - 3);  // claims more than there is
  EXPECT_EQ(check_checksums(packet_of(short_of)), ChecksumState::kBad);
}

TEST(Vlan, TagsGoInAndOut) {
  const Frame plain = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1, 2);
  exec::packet::Packet packet = packet_of(plain);
  ASSERT_TRUE(insert_vlan(packet, 0x123));
  EXPECT_EQ(packet.bytes(), with_vlan(plain, 0x123));
  EXPECT_FALSE(strip_vlan(packet, 0x124));
  EXPECT_EQ(packet.bytes(), with_vlan(plain, 0x123));
  EXPECT_TRUE(strip_vlan(packet, 0x123));
  EXPECT_EQ(packet.bytes(), plain);
  EXPECT_FALSE(strip_vlan(packet, kNoVlan));
  ASSERT_TRUE(insert_vlan(packet, 5));
  EXPECT_TRUE(strip_vlan(packet, kNoVlan));
  EXPECT_EQ(packet.bytes(), plain);
  packet.data = packet.data_meta = packet.frame() + exec::packet::kFrameHeaderBytes + 3;
  EXPECT_FALSE(insert_vlan(packet, 5));  // no headroom
}

}  // namespace
}  // namespace xnic::nic::datapath
