// SPDX-License-Identifier: Apache-2.0
// The published vectors ("Verifying the RSS Hash Calculation"): source and destination, with and without ports.
#include "nic/datapath/rss.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <set>

#include "frames.hpp"

namespace xnic::nic::datapath {
namespace {

struct Vector {
  const char *source, *destination;
  uint16_t source_port, destination_port;
  uint32_t addresses, with_ports;
};
constexpr Vector kIpv4[] = {
    {"66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178},
    {"199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea},
    {"24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
    {"38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f},
    {"153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2},
};
constexpr Vector kIpv6[] = {
    {"3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d},
    {"3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf},
    {"3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024, 0x4b61e985, 0x02d1feef},
};

uint32_t hash_of(const Frame& frame, uint32_t types) {
  RssOptions options;
  options.types = types;
  const exec::packet::Packet packet = packet_of(frame);
  return Rss(options).hash(packet, read_headers(packet));
}

TEST(Rss, GivesThePublishedHashesOfIpv4) {
  for (const Vector& vector : kIpv4) {
    for (const uint8_t protocol : {wire::kTcp, wire::kUdp}) {
      const Frame frame =
          ip_frame(vector.source, vector.destination, protocol, vector.source_port, vector.destination_port);
      EXPECT_EQ(hash_of(frame, kRssAllTypes), vector.with_ports) << vector.source;
      EXPECT_EQ(hash_of(frame, kRssIpv4), vector.addresses) << vector.source;
    }
  }
}

TEST(Rss, GivesThePublishedHashesOfIpv6) {
  for (const Vector& vector : kIpv6) {
    for (const uint8_t protocol : {wire::kTcp, wire::kUdp}) {
      const Frame frame =
          ip_frame(vector.source, vector.destination, protocol, vector.source_port, vector.destination_port);
      EXPECT_EQ(hash_of(frame, kRssAllTypes), vector.with_ports) << vector.source;
      EXPECT_EQ(hash_of(frame, kRssIpv6), vector.addresses) << vector.source;
    }
  }
}

TEST(Rss, HashesByTheChosenTypesOnly) {
  const Frame tcp = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1, 2);
  const Frame udp = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1, 2);
  EXPECT_EQ(hash_of(tcp, kRssTcp4), hash_of(udp, kRssUdp4));
  EXPECT_EQ(hash_of(tcp, kRssUdp4), 0u);
  EXPECT_EQ(hash_of(tcp, kRssUdp4 | kRssIpv4), hash_of(ip_frame("10.0.0.1", "10.0.0.2", wire::kIcmp, 0, 0), kRssIpv4));
  EXPECT_EQ(hash_of(tcp, kRssIpv6 | kRssTcp6), 0u);
}

TEST(Rss, KeepsFragmentsOfOneDatagramTogether) {
  Frame first = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 7, 8);
  first[14 + 6] = 0x20;  // more fragments: the ports are there, but not in the others
  Frame second = first;
  second[14 + 6] = 0x20;
  second[14 + 7] = 0x10;
  const Frame whole = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 7, 8);
  EXPECT_EQ(hash_of(first, kRssAllTypes), hash_of(second, kRssAllTypes));
  EXPECT_NE(hash_of(first, kRssAllTypes), hash_of(whole, kRssAllTypes));
}

TEST(Rss, LooksBehindVlanTags) {
  const Frame plain = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1, 2);
  EXPECT_EQ(hash_of(with_vlan(plain, 7), kRssAllTypes), hash_of(plain, kRssAllTypes));
  EXPECT_EQ(hash_of(with_vlan(with_vlan(plain, 7), 8), kRssAllTypes), hash_of(plain, kRssAllTypes));
}

TEST(Rss, SpreadsFlowsOverAllQueuesOfTheTable) {
  const Rss rss(RssOptions::spread(4));
  std::set<uint32_t> queues;
  for (uint16_t port = 1; port < 200; ++port) {
    const exec::packet::Packet packet = packet_of(ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, port, 80));
    const uint32_t queue = rss.queue(packet, read_headers(packet));
    EXPECT_EQ(queue, rss.hash(packet, read_headers(packet)) % 128 % 4);
    queues.insert(queue);
  }
  EXPECT_EQ(queues, (std::set<uint32_t>{0, 1, 2, 3}));
}

TEST(Headers, OfCutOffFramesAreReadWithoutReachingBeyond) {
  const Frame whole = with_vlan(ip_frame("2001:db8::1", "2001:db8::2", wire::kTcp, 1, 2), 7);
  for (size_t size = 0; size <= whole.size(); ++size) {
    // A packet of its own size, so that a read beyond it is seen by the sanitizers' build.
    exec::packet::Packet packet;
    packet.assign({whole.data(), std::max<size_t>(size, 1)});
    packet.data_end = packet.data + size;
    const Headers headers = read_headers(packet);
    EXPECT_EQ(headers.version, size >= 18 + 40 ? 6 : 0) << size;
    EXPECT_EQ(headers.ports, size >= 18 + 40 + 4) << size;
    EXPECT_LE(headers.transport_at, size);
  }
}

TEST(Headers, OfIpv6AreFoundBehindExtensionHeaders) {
  // Hop-by-hop options of 16 bytes, then UDP.
  Frame frame = ip_frame("2001:db8::1", "2001:db8::2", wire::kUdp, 5, 6);
  const Frame options = {wire::kUdp, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  frame[14 + 6] = 0;
  frame.insert(frame.begin() + 54, options.begin(), options.end());
  const Headers headers = read_headers(packet_of(frame));
  EXPECT_EQ(headers.protocol, wire::kUdp);
  EXPECT_EQ(headers.transport_at, 54 + 16);
  EXPECT_TRUE(headers.ports);
  // The same as the second of two fragments: no transport header.
  frame[14 + 6] = 44;
  frame[54 + 1] = 0;
  frame[54 + 3] = 8;
  const Headers fragment = read_headers(packet_of(frame));
  EXPECT_TRUE(fragment.fragment);
  EXPECT_EQ(fragment.transport_at, 0);
  EXPECT_FALSE(fragment.ports);
}

}  // namespace
}  // namespace xnic::nic::datapath
