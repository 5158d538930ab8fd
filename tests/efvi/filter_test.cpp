// SPDX-License-Identifier: Apache-2.0
// Filters: every pair of kinds with every class of traffic against a model written from docs/ef_vi.md, the errors of
// the setters and of adding, and what the kernel's side gets.
#include <gmock/gmock.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <set>
#include <thread>

#include "base/bytes.hpp"
#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const uint8_t kStation[6] = {2, 0, 0, 0, 0, 2};
const uint8_t kGroup[6] = {1, 0, 0x5e, 1, 2, 3};
constexpr uint32_t kHost = 0x0a000002, kGroupHost = 0xef010203;
const Bytes kGroupMac(kGroup, kGroup + 6);

struct Traffic {
  const char* name;
  Bytes frame;
  bool group = false;
  // What filters may look at; 0 where there is none.
  bool udp = false;  // whole, from 10.0.0.1:1000 to `to`:2000
  uint32_t to = 0;
  bool other_port = false;
  uint16_t ether_type = 0;
  uint8_t protocol = 0;
  int vlan = -1;
};

Traffic udp(const char* name, const FrameSpec& spec) {
  return {.name = name,
          .frame = make_frame(spec),
          .group = (spec.destination[0] & 1) != 0,
          .udp = true,
          .to = spec.to,
          .other_port = spec.from_port != 1000,
          .ether_type = 0x0800,
          .protocol = 17,
          .vlan = spec.vlan};
}

std::vector<Traffic> all_traffic() {
  std::vector<Traffic> all = {
      udp("unicast", {}),
      udp("from another port", {.from_port = 1001}),
      udp("to another host", {.to = 0x0a000063}),
      udp("VLAN 5", {.vlan = 5}),
      udp("VLAN 6", {.vlan = 6}),
      udp("to a group", {.destination = kGroupMac, .to = kGroupHost}),
      udp("to a group, VLAN 5", {.destination = kGroupMac, .to = kGroupHost, .vlan = 5}),
      udp("broadcast to the host's address", {.destination = Bytes(6, 0xff)}),
      udp("to another station", {.destination = {2, 0, 0, 0, 0, 9}}),
  };
  Traffic fragment = udp("first fragment", {});
  fragment.frame[20] = 0x20;
  fragment.udp = false;
  all.push_back(fragment);
  Traffic icmp = udp("ICMP", {});
  icmp.frame[23] = 1;
  icmp.udp = false;
  icmp.protocol = 1;
  all.push_back(icmp);
  Bytes arp(60, 0);
  std::memcpy(arp.data(), kStation, 6);
  arp[12] = 8, arp[13] = 6;
  all.push_back({.name = "ARP", .frame = arp, .ether_type = 0x0806});
  return all;
}

struct Kind {
  const char* name;
  std::function<int(ef_filter_spec*)> set;
  int rank;  // 0: the most exact
  std::function<bool(const Traffic&)> matches;
  bool one_taker;  // an equal one of another interface is refused
  enum Role { kTakes, kMismatch, kSniffs, kSniffsWanted } role = kTakes;
};

bool local(const Traffic& traffic, uint32_t host) { return traffic.udp && traffic.to == host; }
bool at_station(const Traffic& traffic) { return std::memcmp(traffic.frame.data(), kStation, 6) == 0; }

int set_local(ef_filter_spec* spec, uint32_t host) {
  return ef_filter_spec_set_ip4_local(spec, IPPROTO_UDP, htonl(host), htons(2000));
}

std::vector<Kind> all_kinds() {
  using T = const Traffic&;
  return {
      {"full",
       [](ef_filter_spec* s) {
         return ef_filter_spec_set_ip4_full(s, IPPROTO_UDP, htonl(kHost), htons(2000), htonl(0x0a000001), htons(1000));
       },
       0, [](T t) { return local(t, kHost) && !t.other_port; }, true},
      {"local, VLAN 5", [](ef_filter_spec* s) { return ef_filter_spec_set_vlan(s, 5) | set_local(s, kHost); }, 1,
       [](T t) { return local(t, kHost) && t.vlan == 5; }, true},
      {"local", [](ef_filter_spec* s) { return set_local(s, kHost); }, 2, [](T t) { return local(t, kHost); }, true},
      {"local group", [](ef_filter_spec* s) { return set_local(s, kGroupHost); }, 2,
       [](T t) { return local(t, kGroupHost); }, false},
      {"MAC, VLAN 5", [](ef_filter_spec* s) { return ef_filter_spec_set_eth_local(s, 5, kStation); }, 4,
       [](T t) { return at_station(t) && t.vlan == 5; }, true},
      {"MAC, ICMP",
       [](ef_filter_spec* s) {
         return ef_filter_spec_set_ip_proto(s, 1) | ef_filter_spec_set_eth_local(s, EF_FILTER_VLAN_ID_ANY, kStation);
       },
       5, [](T t) { return at_station(t) && t.protocol == 1; }, true},
      {"MAC", [](ef_filter_spec* s) { return ef_filter_spec_set_eth_local(s, EF_FILTER_VLAN_ID_ANY, kStation); }, 6,
       [](T t) { return at_station(t); }, true},
      {"group MAC", [](ef_filter_spec* s) { return ef_filter_spec_set_eth_local(s, EF_FILTER_VLAN_ID_ANY, kGroup); }, 6,
       [](T t) { return t.group && t.to == kGroupHost; }, false},
      {"ARP", [](ef_filter_spec* s) { return ef_filter_spec_set_eth_type(s, htons(0x0806)); }, 8,
       [](T t) { return t.ether_type == 0x0806; }, true},
      {"ICMP", [](ef_filter_spec* s) { return ef_filter_spec_set_ip_proto(s, 1); }, 8,
       [](T t) { return t.protocol == 1; }, true},
      {"UDP, VLAN 5",
       [](ef_filter_spec* s) { return ef_filter_spec_set_vlan(s, 5) | ef_filter_spec_set_ip_proto(s, 17); }, 7,
       [](T t) { return t.protocol == 17 && t.vlan == 5; }, true},
      {"all unicast", ef_filter_spec_set_unicast_all, 9, [](T t) { return !t.group; }, true},
      {"all multicast", ef_filter_spec_set_multicast_all, 9, [](T t) { return t.group; }, false},
      {"unicast mismatch", ef_filter_spec_set_unicast_mismatch, 11, [](T t) { return !t.group; }, true,
       Kind::kMismatch},
      {"unicast mismatch, VLAN 5",
       [](ef_filter_spec* s) { return ef_filter_spec_set_unicast_mismatch(s) | ef_filter_spec_set_vlan(s, 5); }, 10,
       [](T t) { return !t.group && t.vlan == 5; }, true, Kind::kMismatch},
      {"multicast mismatch", ef_filter_spec_set_multicast_mismatch, 10, [](T t) { return t.group; }, false,
       Kind::kMismatch},
      {"sniff", [](ef_filter_spec* s) { return ef_filter_spec_set_port_sniff(s, 1); }, 12, [](T) { return true; },
       false, Kind::kSniffs},
      {"sniff, not promiscuous", [](ef_filter_spec* s) { return ef_filter_spec_set_port_sniff(s, 0); }, 12,
       [](T) { return true; }, false, Kind::kSniffsWanted},
  };
}

// Who gets it, of two interfaces with one filter each: the rules of docs/ef_vi.md, in its order.
std::set<size_t> model(const std::vector<const Kind*>& kinds, const Traffic& traffic) {
  std::set<size_t> takers;
  const auto choose = [&](Kind::Role role) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      if (kinds[i]->role != role || !kinds[i]->matches(traffic)) continue;
      if (traffic.group || takers.empty())
        takers.insert(i);
      else if (kinds[i]->rank < kinds[*takers.begin()]->rank)
        takers = {i};
    }
  };
  choose(Kind::kTakes);
  if (takers.empty()) choose(Kind::kMismatch);
  const bool wanted = !takers.empty();
  for (size_t i = 0; i < kinds.size(); ++i)
    if (kinds[i]->role == Kind::kSniffs || (kinds[i]->role == Kind::kSniffsWanted && wanted)) takers.insert(i);
  return takers;
}

TEST_F(ViTest, EveryPairOfFiltersAgreesWithTheModelOnEveryTraffic) {
  Endpoint left("left", {.flags = EF_VI_TX_IP_CSUM_DIS | EF_VI_TX_TCPUDP_CSUM_DIS});
  Endpoint first("right", {.receive_buffers = 200}), second("right", {.receive_buffers = 200});
  Endpoint* const endpoints[] = {&first, &second};
  for (Endpoint* endpoint : endpoints) ASSERT_EQ(ef_vi_receive_set_discards(&endpoint->vi, 0), 0);
  const std::vector<Kind> kinds = all_kinds();
  const std::vector<Traffic> traffic = all_traffic();
  size_t compared = 0;
  for (const Kind& a : kinds) {
    for (const Kind& b : kinds) {
      ef_filter_cookie cookies[2];
      ASSERT_EQ(first.add(a.set, 0, &cookies[0]), 0) << a.name;
      const int added = second.add(b.set, 0, &cookies[1]);
      ASSERT_EQ(added, &a == &b && a.one_taker ? -EEXIST : 0) << a.name << " and " << b.name;
      for (const Traffic& one : traffic) {
        ASSERT_EQ(left.send(one.frame), 0);
        left.vi.ep_state->txq.removed = left.vi.ep_state->txq.added;
        left.poll();
        std::set<size_t> got;
        for (size_t i = 0; i < 2; ++i) {
          const auto frames = endpoints[i]->receive();
          if (frames.empty()) continue;
          EXPECT_EQ(frames.size(), 1u);
          EXPECT_EQ(Bytes(frames[0].begin(), frames[0].begin() + static_cast<long>(one.frame.size())), one.frame);
          got.insert(i);
        }
        std::vector<const Kind*> present = {&a};
        if (added == 0) present.push_back(&b);
        EXPECT_EQ(got, model(present, one)) << a.name << " and " << b.name << " with " << one.name;
        ++compared;
      }
      ASSERT_EQ(ef_vi_filter_del(&first.vi, first.dh, &cookies[0]), 0);
      if (added == 0) {
        ASSERT_EQ(ef_vi_filter_del(&second.vi, second.dh, &cookies[1]), 0);
      }
    }
  }
  std::printf("%zu decisions compared\n", compared);
}

TEST_F(ViTest, MatchesIpv6) {
  Endpoint left("left", {.flags = EF_VI_TX_TCPUDP_CSUM_DIS}), right("right");
  in6_addr here{}, there{};
  here.s6_addr[0] = 0xfd, here.s6_addr[15] = 2;
  there.s6_addr[0] = 0xfd, there.s6_addr[15] = 1;
  ASSERT_EQ(right.add([&](ef_filter_spec* spec) {
    return ef_filter_spec_set_ip6_full(spec, IPPROTO_UDP, &here, htons(2000), &there, htons(1000));
  }),
            0);
  ASSERT_EQ(ef_vi_receive_set_discards(&right.vi, 0), 0);
  Bytes frame(14 + 40 + 8 + 10, 0);
  std::memcpy(frame.data(), kStation, 6);
  frame[12] = 0x86, frame[13] = 0xdd, frame[14] = 0x60, frame[19] = 18, frame[20] = IPPROTO_UDP;
  std::memcpy(&frame[22], &there, 16);
  std::memcpy(&frame[38], &here, 16);
  base::store_be<uint16_t>(&frame[54], 1000);
  base::store_be<uint16_t>(&frame[56], 2000);
  base::store_be<uint16_t>(&frame[58], 18);
  ASSERT_EQ(left.send(frame), 0);
  EXPECT_THAT(right.receive(), ElementsAre(frame));
  frame[37] = 7;
  ASSERT_EQ(left.send(frame), 0);
  EXPECT_THAT(right.receive(), IsEmpty());
}

TEST_F(ViTest, LoopsMulticastBackToThoseWhoAskWhenTheSenderMay) {
  Endpoint sender("left", {.pd_flags = EF_PD_MCAST_LOOP}), mute("left");
  Endpoint asks("left"), does_not("left");
  const auto group = [](ef_filter_spec* spec) { return set_local(spec, kGroupHost); };
  ASSERT_EQ(asks.add(group, EF_FILTER_FLAG_MCAST_LOOP_RECEIVE), 0);
  ASSERT_EQ(does_not.add(group), 0);
  const Bytes frame = make_frame({.destination = kGroupMac, .to = kGroupHost});
  ASSERT_EQ(sender.send(frame), 0);
  ASSERT_EQ(mute.send(frame), 0);
  ASSERT_EQ(sender.send(make_frame()), 0);
  EXPECT_THAT(asks.receive(), ElementsAre(frame));
  EXPECT_THAT(does_not.receive(), IsEmpty());
}

TEST_F(ViTest, TransmitSniffersSeeWhatThePortSends) {
  Endpoint sender("left"), sniffer("left"), right("right");
  ef_filter_cookie cookie;
  ASSERT_EQ(sniffer.add(ef_filter_spec_set_tx_port_sniff, 0, &cookie), 0);
  ASSERT_EQ(right.take_flow(), 0);
  ASSERT_EQ(sender.send(make_frame()), 0);
  EXPECT_EQ(right.receive().size(), 1u);
  EXPECT_THAT(sniffer.receive(), ElementsAre(make_frame()));
  ef_filter_info info;
  ASSERT_EQ(ef_vi_filter_query(&sniffer.vi, sniffer.dh, &cookie, &info, sizeof info), 0);
  EXPECT_EQ(info.valid_fields, 0u);
}

TEST_F(ViTest, SettersRefuseWhatDoesNotGoTogether) {
  ef_filter_spec spec;
  const auto fresh = [&] { ef_filter_spec_init(&spec, EF_FILTER_FLAG_NONE); };
  fresh();
  ASSERT_EQ(set_local(&spec, kHost), 0);
  EXPECT_EQ(ef_filter_spec_set_eth_local(&spec, EF_FILTER_VLAN_ID_ANY, kStation), -EPROTONOSUPPORT);
  EXPECT_EQ(set_local(&spec, kHost), -EPROTONOSUPPORT);
  EXPECT_EQ(ef_filter_spec_set_vlan(&spec, 5), 0);
  fresh();
  EXPECT_EQ(ef_filter_spec_set_ip4_local(&spec, IPPROTO_ICMP, 1, 1), -EPROTONOSUPPORT);
  ASSERT_EQ(ef_filter_spec_set_block_kernel(&spec), 0);
  EXPECT_EQ(ef_filter_spec_set_unicast_all(&spec), -EPROTONOSUPPORT);
  EXPECT_EQ(ef_filter_spec_set_dest(&spec, 3, 0), -EPROTONOSUPPORT);
  fresh();
  EXPECT_EQ(ef_filter_spec_set_dest(&spec, 65536, 0), -EINVAL);
  EXPECT_EQ(ef_filter_spec_set_user_mark(&spec, 1, 0), -EOPNOTSUPP);
  ef_filter_spec_init(&spec, EF_FILTER_FLAG_EXCLUSIVE_RXQ);
  EXPECT_EQ(ef_filter_spec_set_dest(&spec, 0, 0), -EINVAL);
}

TEST_F(ViTest, AddingRefusesWhatIsNoFilter) {
  Endpoint right("right"), other("right");
  const auto add = [&](const std::function<int(ef_filter_spec*)>& set, unsigned flags = 0) {
    return right.add(set, flags);
  };
  EXPECT_EQ(add([](ef_filter_spec*) { return 0; }), -EINVAL);
  EXPECT_EQ(add([](ef_filter_spec* spec) { return ef_filter_spec_set_vlan(spec, 5); }), -EINVAL);
  EXPECT_EQ(
      add([](ef_filter_spec* spec) { return ef_filter_spec_set_vlan(spec, 5) | ef_filter_spec_set_unicast_all(spec); }),
      -EINVAL);
  EXPECT_EQ(add([](ef_filter_spec* spec) { return set_local(spec, kHost); },
                EF_FILTER_FLAG_EXCLUSIVE_RXQ | EF_FILTER_FLAG_SHARED_RXQ),
            -EINVAL);
  ef_filter_cookie cookie;
  ASSERT_EQ(right.add([](ef_filter_spec* spec) { return set_local(spec, kHost) | ef_filter_spec_set_dest(spec, 9, 0); },
                      EF_FILTER_FLAG_EXCLUSIVE_RXQ, &cookie),
            0);
  EXPECT_EQ(other.add([](ef_filter_spec* spec) { return set_local(spec, 7) | ef_filter_spec_set_dest(spec, 9, 0); }),
            -EBUSY);
  ef_filter_info info;
  ASSERT_EQ(ef_vi_filter_query(&right.vi, right.dh, &cookie, &info, sizeof info), 0);
  EXPECT_EQ(info.valid_fields, uint64_t{EF_FILTER_FIELD_ID | EF_FILTER_FIELD_QUEUE});
  EXPECT_EQ(info.filter_id, cookie.filter_id);
  EXPECT_EQ(info.q_id, 9);
  EXPECT_NE(info.flags & EF_FILTER_IS_EXCLUSIVE, 0);
  EXPECT_EQ(ef_vi_filter_query(&right.vi, right.dh, &cookie, &info, sizeof info - 1), -EINVAL);
  ASSERT_EQ(ef_vi_filter_del(&right.vi, right.dh, &cookie), 0);
  EXPECT_EQ(ef_vi_filter_del(&right.vi, right.dh, &cookie), -ENOENT);
  EXPECT_EQ(ef_vi_filter_query(&right.vi, right.dh, &cookie, &info, sizeof info), -EINVAL);
}

TEST_F(ViTest, FreeingAnInterfaceRemovesItsFilters) {
  Endpoint right("right");
  {
    Endpoint other("right");
    ASSERT_EQ(other.take_flow(), 0);
    EXPECT_EQ(right.take_flow(), -EEXIST);
  }
  EXPECT_EQ(right.take_flow(), 0);
}

// The kernel's side, in a network namespace of its own: what a packet socket on the port's interface sees.
class KernelSideTest : public ViTest {
 protected:
  void SetUp() override {
    options_.socket = socket_;
    options_.ports = {{.name = "left", .peer = "right"}, {.name = "right", .peer = "left", .kernel_side = true}};
    std::string failure;
    std::thread([&] {
      if (unshare(CLONE_NEWNET) != 0) return failure = "needs the right to make network namespaces", void();
      auto service = CardService::start(options_);
      if (!service) return failure = service.error().message(), void();
      service_ = std::move(*service);
      kernel_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
      sockaddr_ll address{};
      address.sll_family = AF_PACKET;
      address.sll_protocol = htons(ETH_P_ALL);
      address.sll_ifindex = static_cast<int>(if_nametoindex("right"));
      if (bind(kernel_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) failure = "no packet socket";
    }).join();
    if (!failure.empty()) GTEST_SKIP() << failure;
    setenv("XNIC_CARD", socket_.c_str(), 1);
  }
  void TearDown() override {
    if (kernel_ >= 0) close(kernel_);
    ViTest::TearDown();
  }
  // True when the kernel got this frame, whatever else it did.
  bool kernel_got(const Bytes& frame) {
    Bytes one(2048);
    bool found = false;
    pollfd waiting{kernel_, POLLIN, 0};
    while (poll(&waiting, 1, found ? 0 : 50) == 1) {
      const ssize_t got = recv(kernel_, one.data(), one.size(), 0);
      found |= got >= static_cast<ssize_t>(frame.size()) && std::equal(frame.begin(), frame.end(), one.begin());
    }
    return found;
  }
  int kernel_ = -1;
};

TEST_F(KernelSideTest, GetsExactlyWhatIsNotTaken) {
  Endpoint left("left"), right("right");
  const Bytes unicast = make_frame(), group = make_frame({.destination = kGroupMac, .to = kGroupHost});
  const auto expect = [&](const char* what, const std::function<int(ef_filter_spec*)>& set, bool gets_unicast,
                          bool gets_group) {
    ef_filter_cookie cookie;
    if (set) {
      ASSERT_EQ(right.add(set, 0, &cookie), 0) << what;
    }
    ASSERT_EQ(left.send(unicast), 0);
    EXPECT_EQ(kernel_got(unicast), gets_unicast) << what;
    ASSERT_EQ(left.send(group), 0);
    EXPECT_EQ(kernel_got(group), gets_group) << what;
    right.receive();
    if (set) {
      ASSERT_EQ(ef_vi_filter_del(&right.vi, right.dh, &cookie), 0);
    }
  };
  expect("nothing", nullptr, true, true);
  expect("local", [](ef_filter_spec* s) { return set_local(s, kHost); }, false, true);
  expect("local group", [](ef_filter_spec* s) { return set_local(s, kGroupHost); }, true, true);
  expect("all unicast", ef_filter_spec_set_unicast_all, false, true);
  expect("all multicast", ef_filter_spec_set_multicast_all, true, false);
  expect("sniff", [](ef_filter_spec* s) { return ef_filter_spec_set_port_sniff(s, 1); }, true, true);
  expect("block", ef_filter_spec_set_block_kernel, false, false);
  expect("block unicast", ef_filter_spec_set_block_kernel_unicast, false, true);
  expect("block multicast", ef_filter_spec_set_block_kernel_multicast, true, false);
}

TEST_F(KernelSideTest, WhatTheKernelSendsReachesInterfacesAtTheOtherEnd) {
  Endpoint left("left");
  ASSERT_EQ(left.take_flow(), 0);
  const Bytes frame = make_frame();
  ASSERT_EQ(send(kernel_, frame.data(), frame.size(), 0), static_cast<ssize_t>(frame.size()));
  std::vector<Bytes> frames;
  for (int i = 0; i < 200 && frames.empty(); ++i, usleep(10000)) frames = left.receive();
  EXPECT_THAT(frames, ElementsAre(frame));
}

}  // namespace
}  // namespace xnic::nic::vi
