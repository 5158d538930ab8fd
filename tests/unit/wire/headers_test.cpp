// SPDX-License-Identifier: Apache-2.0
// parse(emit(x)) == x, checksums against values worked out by hand, and every truncation refused.
#include "wire/headers.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "wire/checksum.hpp"

namespace xnic::wire {
namespace {

TEST(Checksum, MatchesTheExampleOfRfc1071) {
  const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum(words), static_cast<uint16_t>(~0xddf2));
}

TEST(Checksum, PadsAnOddLastByte) {
  const uint8_t odd[] = {0x12, 0x34, 0x56};
  const uint8_t even[] = {0x12, 0x34, 0x56, 0x00};
  EXPECT_EQ(checksum(odd), checksum(even));
}

TEST(Ipv4, EmitsAHeaderWhoseChecksumVerifies) {
  std::vector<uint8_t> buffer(20);
  Ipv4 ip{.total_bytes = 115,
          .fragment = 0x4000,
          .ttl = 64,
          .protocol = kUdp,
          .source = 0xc0a80001,
          .destination = 0xc0a800c7};
  ip.emit(buffer);
  EXPECT_EQ(base::load_be<uint16_t>(&buffer[10]), 0xb861);  // the well-known worked example
  auto back = Ipv4::parse(buffer);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->destination, 0xc0a800c7u);
  buffer[8] ^= 1;
  EXPECT_FALSE(Ipv4::parse(buffer));
}

TEST(Udp, ChecksumOfPseudoHeaderHeaderAndPayloadIsZeroWhenVerified) {
  Ipv6 ip{.payload_bytes = 11, .next_header = kUdp};
  ip.source[15] = 1;
  ip.destination[15] = 2;
  std::vector<uint8_t> datagram = {0, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c'};
  const uint32_t pseudo = ip.pseudo_header_sum(kUdp, 11);
  Udp{1000, 2000, 11}.emit(datagram, pseudo);
  EXPECT_EQ(checksum_finish(checksum_add(pseudo, datagram)), 0);
  auto back = Udp::parse(datagram);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->destination_port, 2000);
}

TEST(Tcp, RoundTripsItsFields) {
  std::vector<uint8_t> segment(24);
  Tcp{80, 4000, 7, 9, 24, 0x12, 512}.emit(segment, 0);
  auto back = Tcp::parse(segment);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->header_bytes, 24);
  EXPECT_EQ(back->flags, 0x12);
  EXPECT_EQ(back->window, 512);
}

TEST(Headers, RefuseEveryTruncation) {
  std::vector<uint8_t> bytes(64, 0);
  Ipv4{.total_bytes = 20}.emit(bytes);
  for (size_t size = 0; size < 20; ++size) {
    EXPECT_FALSE(Ipv4::parse(base::Bytes(bytes).first(size))) << size;
    EXPECT_FALSE(Tcp::parse(base::Bytes(bytes).first(size))) << size;
    EXPECT_FALSE(Ipv6::parse(base::Bytes(bytes).first(size))) << size;
    EXPECT_TRUE(size >= 14 || !Ethernet::parse(base::Bytes(bytes).first(size))) << size;
    EXPECT_TRUE(size >= 8 || !Udp::parse(base::Bytes(bytes).first(size))) << size;
  }
}

TEST(Arp, RoundTripsAndRefusesOtherHardware) {
  std::vector<uint8_t> bytes(28);
  Arp{.operation = 2, .sender_ip = 0x0a000001, .target_ip = 0x0a000002}.emit(bytes);
  auto back = Arp::parse(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->operation, 2);
  EXPECT_EQ(back->target_ip, 0x0a000002u);
  bytes[1] = 6;
  EXPECT_FALSE(Arp::parse(bytes));
}

}  // namespace
}  // namespace xnic::wire
