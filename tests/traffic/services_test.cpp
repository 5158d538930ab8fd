// SPDX-License-Identifier: Apache-2.0
// The firewall, the NAT and the load balancer of programs/ between real hosts, with their maps set by `xnic map`.
#include <gmock/gmock.h>
#include <unistd.h>

#include "traffic/exchange.hpp"

namespace xnic::tests::traffic {
namespace {

using daemon::program;
using testing::HasSubstr;

std::string name_of(const testing::TestParamInfo<Setting>& info) { return info.param.name; }

// ---- two ports, the firewall on both

class Firewall : public Exchange {
 protected:
  std::string port(const std::string& name, uint32_t ifindex) const {
    return fmt::format(
               "[[port]]\nname = \"{0}\"\nkind = \"af_xdp\"\ninterface = \"{0}\"\nifindex = {1}\nprogram = \"{2}\"\n",
               name, ifindex, program("simple_firewall")) +
           port_keys();
  }
};
INSTANTIATE_TEST_SUITE_P(, Firewall, testing::ValuesIn(settings()), name_of);

TEST_P(Firewall, TheLanReachesTheWanAndNotTheOtherWayRound) {
  const std::string inside = "maps = { \".rodata\" = \"@/inside.json\" }\n";
  daemon_ = std::make_unique<daemon::Daemon>(port("h1", 10) + inside + port("h2", 11),
                                             "frames = 8192\nengine = \"" + GetParam().engine + "\"\n");
  cli::write_file(daemon_->path("inside.json"), R"([{"interior_ifindex": 10}])");
  ASSERT_EQ(up(*daemon_).exit_code, 0) << daemon_->log();
  daemon_->must({"map", "set", "tx_port", "0", "11"});
  daemon_->must({"map", "set", "tx_port", "1", "10"});
  // It lets nothing through but TCP and UDP over IPv4, so the hosts have to know each other.
  shell_on("h1", "ip neigh add 10.77.0.2 dev eth0 lladdr 02:77:00:00:00:02");
  shell_on("h2", "ip neigh add 10.77.0.1 dev eth0 lladdr 02:77:00:00:00:01");
  file();
  const auto in_lan = serve("h1");
  const auto in_wan = serve("h2");
  expect_same_file("h1", "10.77.0.2");
  expect_tcp(iperf("h1", "h2", "10.77.0.2", {"-n", amount(), "-R"}));
  const Json udp = iperf("h1", "h2", "10.77.0.2", {"-u", "-b", "20M", "-n", "2M"});
  expect_udp(udp);
  EXPECT_FALSE(answers("h2", "10.77.0.1"));
  EXPECT_TRUE(answers("h1", "10.77.0.1"));  // it is there
  const auto flows = Json::parse(daemon_->must({"map", "dump", "flows"}));
  EXPECT_GE(flows.size(), 3u);
  expect_nothing_lost();
}

// ---- ports with a host side; the machine routes between them

class Routed : public Exchange {
 protected:
  using Exchange::Exchange;
  void SetUp() override {
    Exchange::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    if (access("/dev/net/tun", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/net/tun";
    if (run_on("card", {"test", "-w", "/proc/sys/net/ipv4/ip_forward"}).exit_code != 0)
      GTEST_SKIP() << "needs the right to let a namespace forward packets (/proc/sys is read-only)";
  }
  // Port and TAP interface of the host NAME, TAP address.
  std::string port(const std::string& name, uint32_t ifindex, const std::string& more = "") const {
    return fmt::format(
               "[[port]]\nname = \"{0}\"\nkind = \"af_xdp\"\ninterface = \"{0}\"\nifindex = {1}\nhost = \"t-{0}\"\n",
               name, ifindex) +
           port_keys() + more;
  }
  void route(const std::vector<std::pair<std::string, std::string>>& networks) const {
    shell_on("card", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    for (const auto& [name, address] : networks) {
      shell_on("card", fmt::format("ip addr add {0} dev t-{1}; ip link set t-{1} up", address, name));
      // Hosts of a testnet take everybody for a neighbour.
      shell_on("card", fmt::format("echo 1 > /proc/sys/net/ipv4/conf/t-{}/proxy_arp", name));
    }
  }
};

class Nat : public Routed {
 protected:
  Nat() : Routed({"--host", "in=192.168.1.2/24", "--host", "out=198.51.100.7/24"}) {}
};
INSTANTIATE_TEST_SUITE_P(, Nat, testing::ValuesIn(settings()), name_of);

TEST_P(Nat, TheInsideIsSeenWithOneAddressAndNobodyComesIn) {
  const std::string nat = "program = \"" + program("nat44") + "\"\n";
  start(port("in", 10, nat) + port("out", 11, nat));
  route({{"in", "192.168.1.1/24"}, {"out", "198.51.100.1/24"}});
  shell_on("card", "ip route add 203.0.113.9/32 dev t-in");
  // 203.0.113.9, in network byte order.
  daemon_->must({"map", "set", "configuration", "0",
                 fmt::format("{{\"external_address\": {}, \"interior_ifindex\": 10}}", 0x097100cb)});
  Json ports = Json::array();
  for (uint32_t i = 0; i < 256; ++i)
    ports.push_back({{"key", Json::array()}, {"value", {"0xc3", fmt::format("0x{:02x}", i)}}});
  cli::write_file(daemon_->path("ports.json"), ports.dump());
  daemon_->must({"map", "set", "free_ports", "--file", daemon_->path("ports.json")});
  file();
  const auto inside = serve("in");
  const auto outside = serve("out");
  EXPECT_THAT(run_on("in", {"ping", "-q", "-c", "5", "-i", "0.02", "198.51.100.7"}).out, HasSubstr(" 0% packet loss"));
  expect_same_file("in", "198.51.100.7");
  Json seen;
  expect_tcp(iperf("in", "out", "198.51.100.7", {"-n", amount()}, &seen));
  EXPECT_EQ(seen["start"]["accepted_connection"]["host"], "203.0.113.9");
  const Json udp = iperf("in", "out", "198.51.100.7", {"-u", "-b", "20M", "-n", "2M"});
  expect_udp(udp);
  EXPECT_FALSE(answers("out", "203.0.113.9"));
  EXPECT_TRUE(answers("in", "192.168.1.2"));
  const auto outcome = Json::parse(daemon_->must({"map", "get", "outcomes", "4"}));  // UNSOLICITED
  EXPECT_THAT(outcome.dump(), testing::Not(HasSubstr("\"formatted\":{\"values\":[{\"cpu\":0,\"value\":0}]}")));
  expect_nothing_lost();
}

class Balancer : public Routed {
 protected:
  Balancer()
      : Routed({"--host", "client=192.168.1.2/24", "--host", "s1=198.51.100.7/24", "--host", "s2=198.51.101.7/24"}) {}
};
INSTANTIATE_TEST_SUITE_P(, Balancer, testing::ValuesIn(settings()), name_of);

Json address_bytes(std::vector<uint8_t> head) {
  Json bytes = Json::array();
  head.resize(16);
  for (const uint8_t byte : head) bytes.push_back(fmt::format("0x{:02x}", byte));
  return bytes;
}

// The client's packets for the service leave where they came from, in a tunnel to the chosen server, through a router,
// for which the client itself stands; servers answer the client directly.
TEST_P(Balancer, ConnectionsAreSpreadOverTheServersAndKeepTheirs) {
  start(port("client", 10, "program = \"" + program("katran_lb") + "\"\n") + port("s1", 11) + port("s2", 12));
  route({{"client", "192.168.1.1/24"}, {"s1", "198.51.100.1/24"}, {"s2", "198.51.101.1/24"}});
  shell_on("card", "ip route add 203.0.113.80/32 dev t-s1");
  shell_on("client",
           "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects; "
           "echo 0 > /proc/sys/net/ipv4/conf/eth0/send_redirects; ip route add 203.0.113.80/32 dev eth0 mtu 1400");
  const auto set = [&](const std::string& map, const Json& elements) {
    cli::write_file(daemon_->path("map.json"), elements.dump());
    daemon_->must({"map", "set", map, "--file", daemon_->path("map.json")});
  };
  Json vip = address_bytes({203, 0, 113, 80});
  for (const char* byte : {"0x1f", "0x90", "0x06", "0x00"}) vip.push_back(byte);  // port 8080, TCP
  set("vips", {{{"key", vip}, {"value", {{"flags", 0}, {"number", 0}}}}});
  Json reals = Json::array(), ring = Json::array();
  for (uint8_t i = 1; i <= 2; ++i) {
    Json real = address_bytes({198, 51, static_cast<uint8_t>(99 + i), 7});
    for (int zero = 0; zero < 4; ++zero) real.push_back("0x00");
    reals.push_back({{"key", i}, {"value", real}});
  }
  for (uint32_t slot = 0; slot < 4093; ++slot) ring.push_back({{"key", slot}, {"value", 1 + slot % 2}});
  set("reals", reals);
  set("ring", ring);
  set("next_hop", {{{"key", 0}, {"value", {"0x02", "0x77", "0x00", "0x00", "0x00", "0x01", "0x00", "0x00"}}}});
  file();
  const auto one = serve("s1", "203.0.113.80");
  const auto two = serve("s2", "203.0.113.80");
  for (int tries = 0; tries < 100 && !(answers("s1", "127.0.0.1") && answers("s2", "127.0.0.1")); ++tries)
    usleep(20'000);
  for (int i = 0; i < (is_long() ? 20 : 4); ++i) expect_same_file("client", "203.0.113.80");
  for (const char* real : {"1", "2"}) {
    const auto traffic = Json::parse(daemon_->must({"map", "get", "real_traffic", real}));
    uint64_t packets = 0;
    for (const Json& copy : traffic["formatted"]["values"]) packets += copy["value"]["packets"].get<uint64_t>();
    EXPECT_GT(packets, 5u) << "server " << real;
  }
  expect_nothing_lost();
}

}  // namespace
}  // namespace xnic::tests::traffic
