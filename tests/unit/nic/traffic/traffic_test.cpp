// SPDX-License-Identifier: Apache-2.0
#include "nic/traffic/traffic.hpp"

#include <gtest/gtest.h>

#include <set>

#include "wire/checksum.hpp"
#include "wire/headers.hpp"

namespace xnic::nic::traffic {
namespace {

using base::Bytes;

TEST(Generator, RepeatsFromItsSeed) {
  Options options{.seed = 5, .protocols = {Protocol::kUdp, Protocol::kTcp6, Protocol::kArp}, .malformed_percent = 30};
  Generator a(options);
  Generator b(options);
  std::vector<uint8_t> x;
  std::vector<uint8_t> y;
  for (int i = 0; i < 500; ++i) {
    a.next(x);
    b.next(y);
    ASSERT_EQ(x, y);
  }
}

TEST(Generator, MakesFramesWhoseHeadersAndChecksumsHold) {
  Options options{.flows = 50, .sizes = {false, 60, 1514}, .protocols = {Protocol::kUdp}, .vlan_tags = 2};
  Generator generator(options);
  std::vector<uint8_t> frame;
  std::set<uint16_t> ports;
  for (int i = 0; i < 2000; ++i) {
    generator.next(frame);
    const Bytes all(frame);
    ASSERT_EQ(wire::Ethernet::parse(all)->ether_type, wire::kEtherTypeQinq);
    ASSERT_EQ(wire::Vlan::parse(all.subspan(14))->ether_type, wire::kEtherTypeVlan);
    ASSERT_EQ(wire::Vlan::parse(all.subspan(18))->ether_type, wire::kEtherTypeIpv4);
    const auto ip = wire::Ipv4::parse(all.subspan(22));
    ASSERT_TRUE(ip);
    ASSERT_EQ(ip->total_bytes, frame.size() - 22);
    const Bytes datagram = all.subspan(42);
    ASSERT_EQ(wire::checksum_finish(
                  wire::checksum_add(ip->pseudo_header_sum(static_cast<uint32_t>(datagram.size())), datagram)),
              0);
    ports.insert(wire::Udp::parse(datagram)->source_port);
  }
  EXPECT_EQ(ports.size(), 50u);
}

TEST(Generator, StartsEachTcpFlowWithASyn) {
  Generator generator({.flows = 1, .protocols = {Protocol::kTcp}});
  std::vector<uint8_t> frame;
  generator.next(frame);
  EXPECT_EQ(wire::Tcp::parse(Bytes(frame).subspan(34))->flags, 0x02);
  generator.next(frame);
  EXPECT_EQ(wire::Tcp::parse(Bytes(frame).subspan(34))->flags, 0x18);
}

TEST(Generator, KeepsDamagedFramesWithinTheLimits) {
  Generator generator(
      {.sizes = {false, 14, 200}, .protocols = {Protocol::kOther, Protocol::kUdp6}, .malformed_percent = 100});
  std::vector<uint8_t> frame;
  for (int i = 0; i < 5000; ++i) {
    generator.next(frame);
    ASSERT_GE(frame.size(), kMinFrameBytes);
    ASSERT_LE(frame.size(), kMaxFrameBytes);
  }
}

TEST(ParseSizes, TakesNumbersRangesAndImix) {
  EXPECT_EQ(parse_sizes("64")->max_bytes, 64u);
  EXPECT_EQ(parse_sizes("60-1514")->max_bytes, 1514u);
  EXPECT_TRUE(parse_sizes("imix")->imix);
  EXPECT_FALSE(parse_sizes("13"));
  EXPECT_FALSE(parse_sizes("100-60"));
  EXPECT_FALSE(parse_sizes("64k"));
  EXPECT_FALSE(parse_sizes(""));
}

TEST(ParseProtocols, NamesTheUnknownOne) {
  EXPECT_EQ(parse_protocols("udp,tcp6")->size(), 2u);
  EXPECT_NE(parse_protocols("udp,sctp").error().message().find("'sctp'"), std::string::npos);
}

}  // namespace
}  // namespace xnic::nic::traffic
