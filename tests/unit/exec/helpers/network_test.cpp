// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/socket.h>

#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/host_network.hpp"

namespace xnic::exec::helpers {
namespace {

NetworkAddress ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) { return {a, b, c, d}; }

class FibLookup : public testing::Test {
 protected:
  FibLookup() {
    network_.interfaces = {{2, {2, 2, 2, 2, 2, 2}, 1500, 14, true, true, ip4(10, 0, 0, 1), std::nullopt},
                           {3, {3, 3, 3, 3, 3, 3}, 1400, 14, true, true, ip4(10, 1, 0, 1), std::nullopt},
                           {4, {}, 1500, 14, false, false, std::nullopt, std::nullopt}};
    Route wide;
    wide.prefix = ip4(10, 0, 0, 0);
    wide.prefix_bits = 8;
    wide.ifindex = 2;
    Route narrow = wide;
    narrow.prefix = ip4(10, 1, 0, 0);
    narrow.prefix_bits = 17;
    narrow.ifindex = 3;
    narrow.metric = 7;
    narrow.gateway = ip4(10, 1, 0, 9);
    Route hole = wide;
    hole.prefix = ip4(10, 2, 0, 0);
    hole.prefix_bits = 16;
    hole.kind = RouteKind::kBlackhole;
    Route other_table = wide;
    other_table.table = 100;
    other_table.ifindex = 3;
    network_.routes = {wide, narrow, hole, other_table};
    network_.neighbours = {{3, false, ip4(10, 1, 0, 9), {9, 9, 9, 9, 9, 9}}};
    run_.network = &network_;
    context_.run = &run_;
    context_.packet = &packet_;
  }
  int64_t lookup(const NetworkAddress& destination, uint32_t flags = 0, uint32_t ifindex = 2, uint16_t length = 0) {
    params_ = {};
    params_.family = AF_INET;
    params_.ifindex = ifindex;
    params_.tot_len = length;
    std::memcpy(&params_.ipv4_dst, destination.data(), 4);
    return static_cast<int64_t>(fib_lookup(context_, 0, address(&params_), sizeof params_, flags, 0));
  }

  HostNetwork network_;
  RunContext run_;
  packet::Packet packet_;
  HelperContext context_;
  bpf_fib_lookup params_{};
};

TEST_F(FibLookup, TakesTheLongestPrefixAndFillsTheNextHop) {
  ASSERT_EQ(lookup(ip4(10, 1, 1, 1)), BPF_FIB_LKUP_RET_SUCCESS);
  EXPECT_EQ(params_.ifindex, 3u);
  EXPECT_EQ(params_.rt_metric, 7u);
  EXPECT_EQ(params_.mtu_result, 1400);
  EXPECT_EQ(params_.dmac[0], 9);
  EXPECT_EQ(params_.smac[5], 3);
  EXPECT_EQ(std::memcmp(&params_.ipv4_dst, ip4(10, 1, 0, 9).data(), 4), 0);
}

TEST_F(FibLookup, NamesWhyAPacketIsNotForwarded) {
  EXPECT_EQ(lookup(ip4(10, 1, 128, 1)), BPF_FIB_LKUP_RET_NO_NEIGH) << "bit 17 differs: the wide route";
  EXPECT_EQ(params_.ifindex, 2u);
  EXPECT_EQ(lookup(ip4(10, 2, 0, 1)), BPF_FIB_LKUP_RET_BLACKHOLE);
  EXPECT_EQ(lookup(ip4(11, 0, 0, 1)), BPF_FIB_LKUP_RET_NOT_FWDED);
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 0, 4), BPF_FIB_LKUP_RET_FWD_DISABLED);
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 0, 5), -ENODEV);
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 0, 2, 1401), BPF_FIB_LKUP_RET_FRAG_NEEDED);
  EXPECT_EQ(params_.mtu_result, 1400);
}

TEST_F(FibLookup, HonoursItsFlags) {
  EXPECT_EQ(lookup(ip4(10, 1, 128, 1), 4), BPF_FIB_LKUP_RET_SUCCESS) << "skip the neighbour";
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 16), BPF_FIB_LKUP_RET_SUCCESS);
  EXPECT_EQ(std::memcmp(&params_.ipv4_src, ip4(10, 1, 0, 1).data(), 4), 0);
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 64), -EINVAL);
}

TEST_F(FibLookup, ChecksSizeAndFamilyFirst) {
  EXPECT_EQ(static_cast<int64_t>(fib_lookup(context_, 0, address(&params_), sizeof params_ - 1, 0, 0)), -EINVAL);
  params_.family = 3;
  EXPECT_EQ(static_cast<int64_t>(fib_lookup(context_, 0, address(&params_), sizeof params_, 0, 0)), -EAFNOSUPPORT);
}

TEST_F(FibLookup, LoopbackAloneHasForwardingOff) {
  run_.network = nullptr;
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 0, 1), BPF_FIB_LKUP_RET_FWD_DISABLED);
  EXPECT_EQ(lookup(ip4(10, 1, 1, 1), 0, 77), -ENODEV);
}

TEST_F(FibLookup, NeverForwardsConfinedIpv6Addresses) {
  network_.routes[0].six = true;
  network_.routes[0].prefix_bits = 0;
  for (const auto& [first, second, result] : {std::tuple{0xfe, 0x80, BPF_FIB_LKUP_RET_NOT_FWDED},
                                              {0xff, 0x02, BPF_FIB_LKUP_RET_NOT_FWDED},
                                              {0x20, 0x01, BPF_FIB_LKUP_RET_NO_NEIGH}}) {
    params_ = {};
    params_.family = AF_INET6;
    params_.ifindex = 2;
    auto* bytes = reinterpret_cast<uint8_t*>(params_.ipv6_dst);
    bytes[0] = static_cast<uint8_t>(first);
    bytes[1] = static_cast<uint8_t>(second);
    reinterpret_cast<uint8_t*>(params_.ipv6_src)[0] = 0x20;
    EXPECT_EQ(static_cast<int64_t>(fib_lookup(context_, 0, address(&params_), sizeof params_, 0, 0)), result);
  }
}

}  // namespace
}  // namespace xnic::exec::helpers
