// SPDX-License-Identifier: Apache-2.0
// Two hosts on one network that the card is the cable of.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "nic/control/client.hpp"
#include "traffic/exchange.hpp"

namespace xnic::tests::traffic {
namespace {

using daemon::Running;
using testing::HasSubstr;

class Forwarding : public Exchange {
 protected:
  using Exchange::Exchange;
};
INSTANTIATE_TEST_SUITE_P(, Forwarding, testing::ValuesIn(settings()), [](const auto& info) { return info.param.name; });

TEST_P(Forwarding, PingTcpUdpAndFilesOverIpv4AndIpv6) {
  start(forwarding_ports(port_keys()));
  file();
  const auto server = serve("h2");
  EXPECT_THAT(ping(20).out, HasSubstr(" 0% packet loss"));
  EXPECT_THAT(ping(20, "fd77::2").out, HasSubstr(" 0% packet loss"));
  expect_tcp(iperf("h1", "h2", "10.77.0.2", {"-n", amount()}));
  expect_tcp(iperf("h1", "h2", "fd77::2", {"-n", amount(), "-R", "-P", "2"}));
  const Json udp = iperf("h1", "h2", "10.77.0.2", {"-u", "-b", "20M", "-n", "4M"});
  expect_udp(udp);
  expect_same_file("h1", "10.77.0.2");
  expect_same_file("h1", "[fd77::2]");
  expect_nothing_lost();
}

// Each packet has to pass, whichever program it meets: the one that runs or the one that takes its place. At length, a
// thousand times.
TEST_P(Forwarding, AConnectionSurvivesItsProgramBeingReplacedAgainAndAgain) {
  start(forwarding_ports(port_keys()));
  auto control = daemon_->client();
  const auto replace = [&](const std::string& port, uint32_t target) {
    const std::string elf = cli::read_file(daemon_->path(fmt::format("to{}.o", target)));
    const Json request = {{"request", "attach"},
                          {"ports", {port}},
                          {"file", "redirect.o"},
                          {"maps", {{".rodata", {{{"target_ifindex", target}}}}}}};
    const auto reply = control.call(request, std::vector<uint8_t>(elf.begin(), elf.end()));
    EXPECT_TRUE(reply) << reply.error().message();
  };
  Running server(on("h2", {"iperf3", "-s"}), daemon_->path("server"));
  for (int tries = 0; tries < 100 && run_on("h1", {"iperf3", "-c", "10.77.0.2", "-n", "1K"}).exit_code != 0; ++tries)
    usleep(20'000);
  Running client(on("h1", {"iperf3", "-c", "10.77.0.2", "-t", "1000", "-i", "0.1", "-f", "k", "--forceflush"}),
                 daemon_->path("client"));
  // Intervals in which something went.
  const auto progress = [&] {
    const std::string out = client.out();
    const auto count = [&](const std::string& what) {
      size_t times = 0;
      for (size_t at = 0; (at = out.find(what, at)) != out.npos; ++at) ++times;
      return times;
    };
    return count("Kbits/sec") - count(" 0.00 Bytes");
  };
  for (int i = 0; i < (is_long() ? 500 : 150); ++i) replace("h1", 11), replace("h2", 10);
  const size_t before = progress();
  EXPECT_GT(before, 3u) << client.out();
  for (int i = 0; i < 500 && progress() < before + 3; ++i) usleep(10'000);
  EXPECT_GE(progress(), before + 3) << client.out();
  EXPECT_THAT(client.out(), testing::Not(HasSubstr("error")));
  expect_nothing_lost();
}

TEST_P(Forwarding, TheDaemonIsKilledAndAnInterfaceDeletedUnderTraffic) {
  start(forwarding_ports(port_keys()));
  Running pinging(on("h1", {"ping", "-q", "-f", "-W", "1", "10.77.0.2"}), daemon_->path("ping"));
  const auto passed = [&] { return daemon_->stats()["card"]["sent"].get<uint64_t>(); };
  const auto traffic = [&] {
    const uint64_t before = passed();
    for (int i = 0; i < 500 && passed() < before + 200; ++i) usleep(10'000);
    EXPECT_GE(passed(), before + 200);
  };
  traffic();
  kill(daemon_->pid(), SIGKILL);
  while (daemon_->pid() != 0) usleep(10'000);
  EXPECT_THAT(run_on("card", {"ip", "link", "show"}).out, testing::Not(HasSubstr("xdp")));
  ASSERT_EQ(up(*daemon_).exit_code, 0) << daemon_->log();
  traffic();
  shell_on("card", "ip link del h2");
  for (int i = 0; i < 500 && daemon_->must({"ports"}).find("down") == std::string::npos; ++i) usleep(10'000);
  EXPECT_THAT(daemon_->must({"ports"}), testing::ContainsRegex("h1 .* up .*\nh2 .* down "));
  daemon_->must({"attach", "h1", daemon::program("tx")});  // the port that is left answers for itself
  traffic();
}

// Two ports of the card joined by a cable on which every frame has a tag, as between two switches.
TEST_P(Forwarding, HostsOfOneVlanTalkOverATrunk) {
  shell_on(
      "card",  // the interfaces have nothing to say themselves
      "ip link add t1 type veth peer name t2 && ip link set t1 addrgenmode none && ip link set t2 addrgenmode none "
      "&& ip link set t1 up && ip link set t2 up");
  const std::string trunk = port_keys() + "[port.features]\nstrip_vlan = 5\ninsert_vlan = 5\n";
  start(forwarding_port("h1", 10, 12, port_keys()) + forwarding_port("t1", 12, 10, trunk) +
            forwarding_port("h2", 11, 13, port_keys()) + forwarding_port("t2", 13, 11, trunk),
        "frames = 16384\n");
  file();
  const auto server = serve("h2");
  EXPECT_THAT(ping(10).out, HasSubstr(" 0% packet loss"));
  EXPECT_THAT(ping(10, "fd77::2").out, HasSubstr(" 0% packet loss"));
  expect_same_file("h1", "10.77.0.2");
  expect_nothing_lost();
  const auto count = [stats = daemon_->stats()](const std::string& port, const char* counter) {
    for (const Json& one : stats["ports"])
      if (one["name"] == port) return one[counter].get<uint64_t>();
    return uint64_t{0};
  };
  EXPECT_GT(count("t2", "received"), 1000u);
  EXPECT_EQ(count("t2", "received_bytes"), count("h2", "transmitted_bytes") + 4 * count("h2", "transmitted"));
  // Hosts do not take frames of a network that is not theirs.
  cli::write_file(daemon_->path("tags.toml"), "[features]\nstrip_vlan = 6\ninsert_vlan = 5\n");
  daemon_->must({"ports", "change", "t2", daemon_->path("tags.toml")});
  EXPECT_NE(run_on("h1", {"ping", "-q", "-W", "0.2", "-c", "1", "10.77.0.2"}).exit_code, 0);
}

class Jumbo : public Exchange {
 protected:
  Jumbo() : Exchange({"--mtu", "9000"}) {}
};
INSTANTIATE_TEST_SUITE_P(, Jumbo, testing::ValuesIn(settings()), [](const auto& info) { return info.param.name; });

TEST_P(Jumbo, FramesOfNineThousandBytesArriveWhole) {
  start(forwarding_ports(port_keys()));
  file();
  const auto server = serve("h2");
  const cli::Finished whole =
      run_on("h1", {"ping", "-q", "-M", "do", "-s", "8972", "-i", "0.02", "-c", "10", "10.77.0.2"});
  EXPECT_THAT(whole.out, HasSubstr(" 0% packet loss"));
  const Json stats = daemon_->stats();
  EXPECT_GE(stats["ports"][0]["received_bytes"].get<uint64_t>(), 10u * 9014);
  expect_tcp(iperf("h1", "h2", "10.77.0.2", {"-n", amount()}));
  expect_same_file("h1", "10.77.0.2");
  expect_nothing_lost();
}

}  // namespace
}  // namespace xnic::tests::traffic
