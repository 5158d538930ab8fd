// SPDX-License-Identifier: Apache-2.0
// Two hosts in namespaces talk through the card's af_xdp ports; needs root.
#include "daemon/network.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

namespace xnic::tests::daemon {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(Network, HostsTalkThroughTheCardAndItComesBackAfterKill9) {
  Daemon daemon(forwarding_ports(), "metrics = \"127.0.0.1:0\"\n");
  write_programs(daemon);
  const cli::Finished started = up(daemon);
  ASSERT_EQ(started.exit_code, 0) << started.err;
  const cli::Finished first = ping(10);
  EXPECT_THAT(first.out, HasSubstr(" 0% packet loss")) << first.out << first.err << daemon.must({"stats"});
  const auto stats = daemon.stats();
  EXPECT_GE(stats["ports"][0]["queues"][0]["verdicts"]["redirect"].get<int>(), 10);

  kill(daemon.pid(), SIGKILL);
  while (daemon.pid() != 0) usleep(10'000);
  const cli::Finished links = run_on("card", {"ip", "link", "show"});
  EXPECT_THAT(links.out, Not(HasSubstr("xdp"))) << "a program is left in the kernel";
  const cli::Finished again = up(daemon);
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(ping(5).out, HasSubstr(" 0% packet loss")) << daemon.log();
  daemon.must({"down"});
  EXPECT_THAT(run_on("card", {"ip", "link", "show"}).out, Not(HasSubstr("xdp")));
}

TEST_F(Network, AnInterfaceThatGoesTakesItsPortDownAndNothingElse) {
  Daemon daemon(forwarding_ports(), "frames = 8192\n");  // more memory than a process may usually lock
  write_programs(daemon);
  const cli::Finished started = up(daemon);
  ASSERT_EQ(started.exit_code, 0) << started.err;
  ASSERT_EQ(run_on("card", {"ip", "link", "del", "h2"}).exit_code, 0);
  std::string shown;
  for (int i = 0; i < 500 && shown.find("down") == std::string::npos; ++i) {
    usleep(10'000);
    shown = daemon.must({"ports"});
  }
  EXPECT_THAT(shown, testing::ContainsRegex("h1 .* up .*\nh2 .* down "));
  EXPECT_THAT(daemon.log(), HasSubstr("port h2: down: "));
  daemon.must({"ports", "remove", "h2"});
  daemon.must({"attach", "h1", program("pass")});
  daemon.must({"down"});
}

TEST_F(Network, APortIsAddedWithTheRightsThatAreLeft) {
  Daemon daemon("");
  const cli::Finished started = up(daemon);
  ASSERT_EQ(started.exit_code, 0) << started.err;
  write_programs(daemon);
  for (int i = 1; i <= 2; ++i) {
    const std::string file = daemon.path("port.toml");
    cli::write_file(
        file, fmt::format("name = \"h{0}\"\nkind = \"af_xdp\"\ninterface = \"h{0}\"\nentries = 128\nifindex = {1}\n", i,
                          9 + i));
    daemon.must({"ports", "add", file});
    daemon.must({"attach", fmt::format("h{}", i), daemon.path(fmt::format("to{}.o", 12 - i)), "--map",
                 ".rodata=" + daemon.path(fmt::format("to{}.json", 12 - i))});
  }
  EXPECT_THAT(ping(5).out, HasSubstr(" 0% packet loss")) << daemon.log();
  // The card has no buffers for a queue with more entries.
  const std::string greedy = daemon.path("greedy.toml");
  cli::write_file(greedy, "name = \"x\"\nkind = \"af_xdp\"\ninterface = \"lo\"\nentries = 1024\n");
  const cli::Finished refused = daemon.xnic({"ports", "add", greedy});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr("raise [card] frames"));
}

}  // namespace
}  // namespace xnic::tests::daemon
