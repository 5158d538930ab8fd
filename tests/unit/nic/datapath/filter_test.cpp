// SPDX-License-Identifier: Apache-2.0
#include "nic/datapath/filter.hpp"

#include "card_fixture.hpp"
#include "frames.hpp"

namespace xnic::nic::datapath {
namespace {

const port::MacAddress kOwn = {2, 0, 0, 0, 0, 2};  // of ip_frame's receiver

Filter filter(Match match, FilterMode mode, uint32_t to) { return {match, mode, {DestinationKind::kPort, to}}; }

Match local(const std::string& address, uint8_t protocol, uint16_t port) {
  Match match;
  match.fields = kMatchProtocol | kMatchDestinationIp | kMatchDestinationPort;
  match.version = address.find(':') == std::string::npos ? 4 : 6;
  match.destination_ip = address_of(address);
  match.destination_port = port;
  match.protocol = protocol;
  return match;
}
Match full(const std::string& source, uint16_t source_port, const std::string& address, uint8_t protocol,
           uint16_t port) {
  Match match = local(address, protocol, port);
  match.fields |= kMatchSourceIp | kMatchSourcePort;
  match.source_ip = address_of(source);
  match.source_port = source_port;
  return match;
}
Match mac(port::MacAddress address) {
  Match match;
  match.fields = kMatchDestinationMac;
  match.destination_mac = address;
  return match;
}

// Who takes the frame (0: nobody), and who gets copies, in the order of precedence.
struct Outcome {
  uint32_t taken = 0;
  std::vector<uint32_t> copies;
  bool operator==(const Outcome&) const = default;
};
Outcome outcome(const std::vector<Filter>& filters, const Frame& frame) {
  auto table = FilterTable::make(filters);
  EXPECT_TRUE(table) << table.error().message();
  if (!table) return {};
  const exec::packet::Packet packet = packet_of(frame);
  FilterTable::Decision decision;
  (*table)->decide(packet, read_headers(packet), kOwn, decision);
  Outcome result;
  if (decision.taken != nullptr) result.taken = decision.taken->destination.number;
  for (uint32_t i = 0; i < decision.copy_count; ++i) result.copies.push_back(decision.copies[i]->destination.number);
  return result;
}
uint32_t taken(const std::vector<Filter>& filters, const Frame& frame) { return outcome(filters, frame).taken; }

TEST(Filter, MatchesEachFieldAndNothingElse) {
  const Frame tcp = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1000, 80);
  const auto one = [&](uint16_t field, auto set) {
    Match match;
    match.fields = field;
    set(match);
    return taken({filter(match, FilterMode::kSteal, 5)}, tcp) == 5;
  };
  EXPECT_TRUE(one(0, [](Match&) {}));
  EXPECT_TRUE(one(kMatchVlan, [](Match&) {}));  // no tag
  EXPECT_FALSE(one(kMatchVlan, [](Match& m) { m.vlan = 1; }));
  EXPECT_TRUE(one(kMatchMulticast, [](Match& m) { m.multicast = false; }));
  EXPECT_FALSE(one(kMatchMulticast, [](Match& m) { m.multicast = true; }));
  EXPECT_TRUE(one(kMatchOwnAddress, [](Match& m) { m.own_address = true; }));
  EXPECT_FALSE(one(kMatchOwnAddress, [](Match& m) { m.own_address = false; }));
  EXPECT_TRUE(one(kMatchEtherType, [](Match& m) { m.ether_type = 0x800; }));
  EXPECT_FALSE(one(kMatchEtherType, [](Match& m) { m.ether_type = 0x806; }));
  EXPECT_TRUE(one(kMatchProtocol, [](Match& m) { m.protocol = 6; }));
  EXPECT_FALSE(one(kMatchProtocol, [](Match& m) { m.protocol = 17; }));
  EXPECT_TRUE(one(kMatchSourceMac, [](Match& m) { m.source_mac = {2, 0, 0, 0, 0, 1}; }));
  EXPECT_FALSE(one(kMatchSourceMac, [](Match& m) { m.source_mac = {2, 0, 0, 0, 0, 2}; }));
  EXPECT_TRUE(one(kMatchDestinationMac, [](Match& m) { m.destination_mac = {2, 0, 0, 0, 0, 2}; }));
  EXPECT_FALSE(one(kMatchDestinationMac, [](Match& m) { m.destination_mac = {2, 0, 0, 0, 0, 1}; }));
  EXPECT_TRUE(one(kMatchSourceIp, [](Match& m) { m.source_ip = address_of("10.0.0.1"); }));
  EXPECT_FALSE(one(kMatchSourceIp, [](Match& m) { m.source_ip = address_of("10.0.0.2"); }));
  EXPECT_TRUE(one(kMatchDestinationIp, [](Match& m) { m.destination_ip = address_of("10.0.0.2"); }));
  EXPECT_FALSE(one(kMatchDestinationIp, [](Match& m) { m.destination_ip = address_of("10.0.0.1"); }));
  EXPECT_TRUE(one(kMatchSourcePort | kMatchProtocol, [](Match& m) { m.source_port = 1000, m.protocol = 6; }));
  EXPECT_FALSE(one(kMatchSourcePort | kMatchProtocol, [](Match& m) { m.source_port = 80, m.protocol = 6; }));
  EXPECT_TRUE(one(kMatchDestinationPort | kMatchProtocol, [](Match& m) { m.destination_port = 80, m.protocol = 6; }));
  EXPECT_FALSE(
      one(kMatchDestinationPort | kMatchProtocol, [](Match& m) { m.destination_port = 1000, m.protocol = 6; }));
}

TEST(Filter, GoesFromExactToWildcardWhateverTheOrderOfAdding) {
  std::vector<Filter> filters = {
      filter({}, FilterMode::kSteal, 1),
      filter(mac(kOwn), FilterMode::kSteal, 2),
      filter(local("10.0.0.2", wire::kUdp, 80), FilterMode::kSteal, 3),
      filter(full("10.0.0.1", 1000, "10.0.0.2", wire::kUdp, 80), FilterMode::kSteal, 4),
  };
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(taken(filters, ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1000, 80)), 4u);
    EXPECT_EQ(taken(filters, ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1001, 80)), 3u);
    EXPECT_EQ(taken(filters, ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1000, 80)), 2u);
    Frame other = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1000, 80);
    other[5] = 9;
    EXPECT_EQ(taken(filters, other), 1u);
    std::reverse(filters.begin(), filters.end());
  }
}

TEST(Filter, TellsIpv6FromIpv4AndVlansApart) {
  Match vlan = local("2001:db8::2", wire::kTcp, 80);
  vlan.fields |= kMatchVlan;
  vlan.vlan = 7;
  const std::vector<Filter> filters = {
      filter(local("2001:db8::2", wire::kTcp, 80), FilterMode::kSteal, 6),
      filter(vlan, FilterMode::kSteal, 7),
      // The same first four bytes as the IPv6 address.
      filter(local("32.1.13.184", wire::kTcp, 80), FilterMode::kSteal, 4),
  };
  const Frame six = ip_frame("2001:db8::1", "2001:db8::2", wire::kTcp, 9, 80);
  EXPECT_EQ(taken(filters, six), 6u);
  EXPECT_EQ(taken(filters, with_vlan(six, 7)), 7u);
  EXPECT_EQ(taken(filters, with_vlan(six, 8)), 6u);  // a filter without a VLAN does not care
  EXPECT_EQ(taken(filters, ip_frame("10.0.0.1", "32.1.13.184", wire::kTcp, 9, 80)), 4u);
}

TEST(Filter, WithPortsMatchesNoFragment) {
  Frame fragment = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1000, 80);
  fragment[14 + 6] = 0x20;
  EXPECT_EQ(taken({filter(local("10.0.0.2", wire::kUdp, 80), FilterMode::kSteal, 3)}, fragment), 0u);
  Match addresses;
  addresses.fields = kMatchDestinationIp;
  addresses.destination_ip = address_of("10.0.0.2");
  EXPECT_EQ(taken({filter(addresses, FilterMode::kSteal, 3)}, fragment), 3u);
  // Ports 0 of a filter are not what an absent port looks like.
  EXPECT_EQ(taken({filter(local("10.0.0.2", wire::kUdp, 0), FilterMode::kSteal, 3)}, fragment), 0u);
}

TEST(Filter, CopiesGoToEverySubscriberUnlessAMoreExactFilterSteals) {
  const Frame frame = ip_frame("10.0.0.1", "10.0.0.2", wire::kUdp, 1000, 80);
  const Filter wide = filter(mac(kOwn), FilterMode::kCopy, 1);
  const Filter wide_too = filter(mac(kOwn), FilterMode::kCopy, 2);
  const Filter sniff = filter({}, FilterMode::kSniff, 9);
  const Filter exact = filter(local("10.0.0.2", wire::kUdp, 80), FilterMode::kCopy, 3);
  EXPECT_EQ(outcome({wide, wide_too, exact, sniff}, frame), (Outcome{0, {3, 1, 2, 9}}));
  const Filter thief = filter(local("10.0.0.2", wire::kUdp, 80), FilterMode::kSteal, 4);
  EXPECT_EQ(outcome({wide, wide_too, exact, sniff, thief}, frame), (Outcome{4, {3, 9}}));
  const Filter late_thief = filter({}, FilterMode::kSteal, 5);
  EXPECT_EQ(outcome({wide, exact, late_thief}, frame), (Outcome{5, {3, 1}}));
}

TEST(Filter, FindsOneOfManyOfAKind) {
  std::vector<Filter> filters;
  for (uint32_t i = 0; i < 2000; ++i)
    filters.push_back(filter(local("10.0.0.2", wire::kTcp, static_cast<uint16_t>(i)), FilterMode::kSteal, i + 1));
  auto table = FilterTable::make(filters);
  ASSERT_TRUE(table);
  for (uint32_t i = 0; i < 2100; i += 37) {
    const auto packet = packet_of(ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 5, static_cast<uint16_t>(i)));
    FilterTable::Decision decision;
    (*table)->decide(packet, read_headers(packet), kOwn, decision);
    EXPECT_EQ(decision.taken == nullptr ? 0 : decision.taken->destination.number, i < 2000 ? i + 1 : 0);
  }
}

TEST(Filter, ThatMakesNoSenseIsRefused) {
  Match ports;
  ports.fields = kMatchDestinationPort;
  EXPECT_FALSE(FilterTable::make({filter(ports, FilterMode::kSteal, 1)}));
  Match version;
  version.version = 5;
  EXPECT_FALSE(FilterTable::make({filter(version, FilterMode::kSteal, 1)}));
  EXPECT_FALSE(FilterTable::make({filter({}, FilterMode::kSteal, 1), filter({}, FilterMode::kSteal, 2)}));
  EXPECT_TRUE(FilterTable::make({filter({}, FilterMode::kCopy, 1), filter({}, FilterMode::kCopy, 2)}));
  EXPECT_FALSE(FilterTable::make({{{}, FilterMode::kCopy, {DestinationKind::kDrop, 0}}}));
}

TEST_F(CardTest, FiltersStealCopyAndDropBeforeTheProgram) {
  auto wire = add_port(2);
  auto side = add_port(8, {.side_of = 2});
  auto tap = add_port(9, {.side_of = 2});
  ASSERT_GE(attach(2, "obey"), 0);
  Match ipv4;
  ipv4.fields = kMatchEtherType;
  ipv4.ether_type = 0x800;
  Match arp = ipv4;
  arp.ether_type = 0x806;
  ASSERT_TRUE(card_->set_filters(2, {filter(ipv4, FilterMode::kSteal, 8),
                                     filter({}, FilterMode::kSniff, 9),
                                     {arp, FilterMode::kSteal, {DestinationKind::kDrop, 0}}}));
  const Frame ip = ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, 1, 2);
  Frame request = order(kReturn, XDP_TX);
  request[12] = 8;
  request[13] = 6;
  for (int i = 0; i < 20; ++i) {
    wire->put(ip);
    wire->put(order(kReturn, XDP_TX));
    wire->put(request);
  }
  poll_all();
  EXPECT_EQ(side->take(), std::vector<Frame>(20, ip));
  EXPECT_EQ(tap->sent(), 60u);
  EXPECT_EQ(wire->sent(), 20u);
  EXPECT_EQ(dropped(Drop::kFilter), 20u);
  EXPECT_EQ(card_->totals().copied, 60u);
  EXPECT_EQ(card_->queue_totals(2)[0].packets, 20u);
  EXPECT_FALSE(card_->set_filters(2, {filter({}, FilterMode::kSteal, 77)}));
  EXPECT_FALSE(card_->set_filters(2, {{{}, FilterMode::kSteal, {DestinationKind::kQueue, 1}}}));
  EXPECT_FALSE(card_->set_filters(8, {filter({}, FilterMode::kSteal, 9)}));
  ASSERT_TRUE(card_->remove_port(8));  // the filter stays, and what it steals has nowhere to go
  wire->put(ip);
  poll_all();
  EXPECT_EQ(dropped(Drop::kNoTarget), 1u);
  ASSERT_TRUE(card_->set_filters(2, {}));
  wire->put(ip);
  poll_all();
  EXPECT_EQ(card_->queue_totals(2)[0].packets, 21u);
}

}  // namespace
}  // namespace xnic::nic::datapath
