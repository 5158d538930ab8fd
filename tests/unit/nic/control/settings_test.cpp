// SPDX-License-Identifier: Apache-2.0
// Features, RSS, filters and bad links in the configuration, and that each mistake is told with its line.
#include "nic/control/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nic/control/config.hpp"

namespace xnic::nic::control {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kPort = "[[port]]\nname = \"a\"\nkind = \"memory\"\npath = \"/a\"\nrx_queues = 4\n";

std::string error_of(std::string_view more) {
  const auto config = parse_config(std::string(kPort) + std::string(more), "f.toml", "");
  return config ? "accepted" : config.error().message();
}

constexpr std::string_view kEveryKey = R"(
[port.features]
check_checksums = "drop"
fill_checksums = true
time_stamps = true
strip_vlan = "any"
insert_vlan = 5
[port.rss]
key = "000102030405060708090a0b0c0d0e0f:101112131415161718191a1b1c1d1e1f2021222324252627"
types = ["tcp4", "ipv6"]
table = [0, 3]
[[port.filter]]
vlan = "none"
src_mac = "02:00:00:00:00:01"
dst_mac = "ff:ff:ff:ff:ff:ff"
ethertype = 0x800
protocol = "udp"
src = "10.0.0.1"
dst = "10.0.0.2"
sport = 53
dport = 54
multicast = true
own_address = false
to_queue = 3
[[port.filter]]
vlan = 7
protocol = 58
src = "fd00::1"
mode = "sniff"
to_port = "b"
[port.faults]
seed = 9
receive = { drop_ppm = 1, duplicate_ppm = 2, reorder_ppm = 3 }
transmit = { corrupt_ppm = 4, delay_ppm = 5, stall_ppm = 6, delay_us = 7, stall_us = 8 }
[[port]]
name = "b"
kind = "memory"
path = "/b"
)";

TEST(Settings, ReadEveryKeyOfFeaturesAndRss) {
  const auto config = parse_config(std::string(kPort) + std::string(kEveryKey), "f.toml", "");
  ASSERT_TRUE(config) << config.error().message();
  const PortConfig& port = config->ports[0];
  const datapath::Features& features = *port.settings.features;
  EXPECT_EQ(features.check, datapath::ChecksumCheck::kDrop);
  EXPECT_TRUE(features.fill_checksums && features.time_stamps && features.strip_vlan);
  EXPECT_EQ(features.strip_vlan_id, datapath::kNoVlan);
  EXPECT_EQ(features.insert_vlan_id, 5);
  const datapath::RssOptions& rss = *port.settings.rss;
  for (uint8_t i = 0; i < rss.key.size(); ++i) EXPECT_EQ(rss.key[i], i);
  EXPECT_EQ(rss.types, uint32_t{datapath::kRssTcp4 | datapath::kRssIpv6});
  for (size_t i = 0; i < rss.table.size(); ++i) EXPECT_EQ(rss.table[i], i % 2 * 3);
}

TEST(Settings, ReadEveryKeyOfFiltersAndFaults) {
  const auto config = parse_config(std::string(kPort) + std::string(kEveryKey), "f.toml", "");
  ASSERT_TRUE(config) << config.error().message();
  const PortConfig& port = config->ports[0];
  ASSERT_EQ(port.settings.filters->size(), 2u);
  const FilterRule& first = (*port.settings.filters)[0];
  const datapath::Match& match = first.filter.match;
  EXPECT_EQ(match.fields, 0x7ff);
  EXPECT_EQ(match.vlan, datapath::kNoVlan);
  EXPECT_EQ(match.source_mac, (port::MacAddress{2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(match.destination_mac[5], 0xff);
  EXPECT_EQ(match.ether_type, 0x800);
  EXPECT_EQ(match.protocol, 17);
  EXPECT_EQ(match.version, 4);
  EXPECT_EQ(match.source_ip[3], 1);
  EXPECT_EQ(match.destination_ip[3], 2);
  EXPECT_EQ(match.source_port, 53);
  EXPECT_EQ(match.destination_port, 54);
  EXPECT_TRUE(match.multicast);
  EXPECT_FALSE(match.own_address);
  EXPECT_EQ(first.filter.mode, datapath::FilterMode::kSteal);
  EXPECT_EQ(first.filter.destination.kind, datapath::DestinationKind::kQueue);
  EXPECT_EQ(first.filter.destination.number, 3u);
  const FilterRule& second = (*port.settings.filters)[1];
  EXPECT_EQ(second.filter.match.vlan, 7);
  EXPECT_EQ(second.filter.match.version, 6);
  EXPECT_EQ(second.filter.mode, datapath::FilterMode::kSniff);
  EXPECT_EQ(second.to_port, "b");
  EXPECT_EQ(second.text, "vlan=7 protocol=58 src=fd00::1 mode=sniff to_port=b");
  ASSERT_TRUE(port.faults);
  EXPECT_EQ(port.faults->seed, 9u);
  const port::FaultRates& in = port.faults->receive;
  const port::FaultRates& out = port.faults->transmit;
  EXPECT_EQ((std::vector{in.drop_ppm, in.duplicate_ppm, in.reorder_ppm, out.corrupt_ppm, out.delay_ppm, out.stall_ppm}),
            (std::vector<uint32_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(out.delay_ns, 7000u);
  EXPECT_EQ(out.stall_ns, 8000u);
}

TEST(Settings, WhatIsAbsentIsLeftAlone) {
  const auto config = parse_config(kPort, "f.toml", "");
  ASSERT_TRUE(config);
  const PortConfig& port = config->ports[0];
  EXPECT_FALSE(port.settings.features || port.settings.rss || port.settings.filters || port.faults);
  const auto only = parse_settings("[features]\ninsert_vlan = 0\n", "f", {});
  ASSERT_TRUE(only);
  EXPECT_EQ(only->features->insert_vlan_id, 0);
  EXPECT_FALSE(only->rss || only->filters);
  const auto none = parse_settings("filter = []\n", "f", {});
  ASSERT_TRUE(none) << none.error().message();
  EXPECT_TRUE(none->filters && none->filters->empty());
}

TEST(Settings, MistakesAreToldWithTheirLine) {
  EXPECT_EQ(error_of("[port.features]\n"), "accepted");
  EXPECT_THAT(error_of("features = 1\n"), AllOf(StartsWith("f.toml:6: features"), HasSubstr("a table")));
  EXPECT_THAT(error_of("[port.features]\ncheck = 1\n"),
              AllOf(StartsWith("f.toml:7:"), HasSubstr("[features] has no key"), HasSubstr("check_checksums")));
  EXPECT_THAT(error_of("[port.features]\ncheck_checksums = \"on\"\n"),
              AllOf(StartsWith("f.toml:7: check_checksums"), HasSubstr("\"count\"")));
  EXPECT_THAT(error_of("[port.features]\n\ninsert_vlan = 4095\n"),
              AllOf(StartsWith("f.toml:8: insert_vlan"), HasSubstr("0 to 4094")));
  EXPECT_THAT(error_of("[port.features]\nstrip_vlan = \"all\"\n"),
              AllOf(StartsWith("f.toml:7: strip_vlan"), HasSubstr("\"any\"")));
  EXPECT_THAT(error_of("[port.rss]\nkey = \"6d5a\"\n"), AllOf(StartsWith("f.toml:7: key"), HasSubstr("40 bytes")));
  EXPECT_THAT(error_of("[port.rss]\ntypes = [\"tcp\"]\n"), AllOf(StartsWith("f.toml:7: types"), HasSubstr("\"tcp4\"")));
  EXPECT_THAT(error_of("[port.rss]\ntable = [0, 4]\n"), AllOf(StartsWith("f.toml:7: table"), HasSubstr("0 to 3")));
  EXPECT_THAT(error_of("[port.rss]\ntable = [0, 1, 2]\n"), AllOf(StartsWith("f.toml:7: table"), HasSubstr("power")));
  EXPECT_THAT(error_of("[port.faults]\nreceive = { drop_ppm = 600000, delay_ppm = 600000 }\n"),
              AllOf(StartsWith("f.toml:7: drop_ppm"), HasSubstr("a million together")));
  EXPECT_THAT(error_of("[port.faults]\ntransmit = { drop = 1 }\n"),
              AllOf(StartsWith("f.toml:7:"), HasSubstr("[faults.transmit] has no key \"drop\"")));
  const auto unspread = parse_config("[[port]]\nname = \"a\"\nkind = \"memory\"\npath = \"/a\"\n[port.rss]\n", "f", "");
  ASSERT_FALSE(unspread);
  EXPECT_THAT(unspread.error().message(), AllOf(StartsWith("f:5: rss"), HasSubstr("rx_queues")));
}

TEST(Settings, MistakesInFiltersAreToldWithTheirLine) {
  const auto filter = [](std::string_view keys) { return error_of("[[port.filter]]\n" + std::string(keys)); };
  EXPECT_EQ(filter("protocol = \"tcp\"\ndport = 80\ndrop = true\n"), "accepted");
  EXPECT_THAT(filter("protocol = \"tcp\"\n"), AllOf(StartsWith("f.toml:6: to_port"), HasSubstr("drop = true")));
  EXPECT_THAT(filter("drop = true\nto_queue = 1\n"), AllOf(StartsWith("f.toml:6: to_port"), HasSubstr("one of")));
  EXPECT_THAT(filter("to_queue = 4\n"), AllOf(StartsWith("f.toml:7: to_queue"), HasSubstr("0 to 3")));
  EXPECT_THAT(filter("to_port = \"z\"\n"), AllOf(StartsWith("f.toml:6: to_port"), HasSubstr("no port named \"z\"")));
  EXPECT_THAT(filter("to_host = true\n"), AllOf(StartsWith("f.toml:6: to_host"), HasSubstr("no host side")));
  EXPECT_THAT(filter("src = \"10.0.0\"\ndrop = true\n"), AllOf(StartsWith("f.toml:7: src"), HasSubstr("no IP")));
  EXPECT_THAT(filter("src = \"10.0.0.1\"\ndst = \"::1\"\ndrop = true\n"), StartsWith("f.toml:8: dst"));
  EXPECT_THAT(filter("protocol = \"sctp\"\ndrop = true\n"), AllOf(StartsWith("f.toml:7: protocol"), HasSubstr("udp")));
  EXPECT_THAT(filter("src_mac = \"1\"\ndrop = true\n"), StartsWith("f.toml:7: src_mac"));
  EXPECT_THAT(filter("vlan = 5000\ndrop = true\n"), StartsWith("f.toml:7: vlan"));
  EXPECT_THAT(filter("mode = \"take\"\ndrop = true\n"), AllOf(StartsWith("f.toml:7: mode"), HasSubstr("\"steal\"")));
  EXPECT_THAT(filter("dport = 80\ndrop = true\n"), AllOf(StartsWith("f.toml:6:"), HasSubstr("protocol")));
  EXPECT_THAT(filter("mode = \"copy\"\ndrop = true\n"), StartsWith("f.toml:6:"));
  EXPECT_THAT(filter("vlan = 1\ndrop = true\n[[port.filter]]\nvlan = 1\nto_queue = 1\n"), StartsWith("f.toml:9:"));
  EXPECT_THAT(error_of("filter = 3\n"), AllOf(StartsWith("f.toml:6: filter"), HasSubstr("list of tables")));
}

}  // namespace
}  // namespace xnic::nic::control
