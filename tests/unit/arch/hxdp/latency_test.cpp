// SPDX-License-Identifier: Apache-2.0
// What calls cost: every helper has a line, and the lines say what the hardware does.
#include "arch/hxdp/latency.hpp"

#include <gtest/gtest.h>

#include <set>

namespace xnic::arch::hxdp {
namespace {

constexpr Parameters kCard;

uint32_t id(std::string_view name) { return ebpf::find_helper(name)->id; }
CallCost lookup(ebpf::MapType map, uint32_t key, uint32_t value = 8) {
  return call_cost({.helper = id("map_lookup_elem"), .map = map, .key_bytes = key, .value_bytes = value}, kCard);
}

TEST(HxdpLatency, EveryHelperThatTheCardCanRunHasOneLine) {
  std::set<std::string_view> names;
  for (const HelperLatency& line : helper_latencies()) {
    EXPECT_TRUE(names.insert(line.helper).second) << line.helper;
    EXPECT_FALSE(line.why.empty()) << line.helper;
    EXPECT_EQ(line.work == Work::kFixed, line.cycles != 0) << line.helper;
  }
  for (const ebpf::HelperSignature& helper : ebpf::all_helpers()) {
    bool runs = helper.status == ebpf::HelperStatus::kImplemented && helper.ret != ebpf::RetType::kNever;
    for (ebpf::ArgType arg : helper.args) runs = runs && arg != ebpf::ArgType::kCallback;
    if (runs) {
      EXPECT_TRUE(has_latency(helper.id)) << helper.name;
    }
  }
}

TEST(HxdpLatency, LookUpsCostWhatTheirMapDoes) {
  EXPECT_EQ(lookup(ebpf::kMapArray, 4).cycles, 1u);
  EXPECT_EQ(lookup(ebpf::kMapArray, 4).map_accesses, 1u);
  EXPECT_EQ(lookup(ebpf::kMapHash, 32).cycles, 1u);
  EXPECT_EQ(lookup(ebpf::kMapHash, 33).cycles, 2u);
  EXPECT_EQ(lookup(ebpf::kMapLruHash, 16).map_accesses, 2u);
  EXPECT_EQ(lookup(ebpf::kMapLpmTrie, 8).cycles, 4u) << "IPv4: four steps of eight bits";
  EXPECT_EQ(lookup(ebpf::kMapLpmTrie, 20).cycles, 16u) << "IPv6";
  EXPECT_EQ(lookup(ebpf::kMapArrayOfMaps, 4).cycles, 2u);
}

TEST(HxdpLatency, BytesMoveAFrameACycle) {
  const auto sum = [](uint32_t bytes) { return call_cost({.helper = id("csum_diff"), .bytes = bytes}, kCard).cycles; };
  EXPECT_EQ(sum(0), 1u);
  EXPECT_EQ(sum(32), 1u);
  EXPECT_EQ(sum(33), 2u);
  const auto update = [](uint32_t value) {
    return call_cost({.helper = id("map_update_elem"), .map = ebpf::kMapHash, .key_bytes = 8, .value_bytes = value},
                     kCard)
        .cycles;
  };
  EXPECT_EQ(update(32), 1u);
  EXPECT_EQ(update(100), 4u);
  const auto bloom = [](uint32_t hashes) {
    return call_cost({.helper = id("map_peek_elem"), .map = ebpf::kMapBloomFilter, .value_bytes = 4, .hashes = hashes},
                     kCard)
        .cycles;
  };
  EXPECT_EQ(bloom(3), 3u);
  EXPECT_EQ(bloom(0), 5u);
}

}  // namespace
}  // namespace xnic::arch::hxdp
