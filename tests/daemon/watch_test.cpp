// SPDX-License-Identifier: Apache-2.0
// The commands that go on while packets flow: live top, trace into a file, map watch.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.hpp"
#include "daemon/network.hpp"
#include "nic/port/pcap.hpp"

namespace xnic::tests::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Watch : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(daemon_.up().exit_code, 0) << daemon_.log(); }
  std::vector<std::string> command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--socket", daemon_.socket()});
    return arguments;
  }
  Daemon daemon_{memory_port("a", 2) + "program = \"" + program("xdp2") + "\"\n"};
};

TEST_F(Watch, ATraceGoesIntoAFileWithVerdicts) {
  const std::string file = daemon_.path("trace.pcapng");
  Running trace(command({"trace", "--limit", "3", "--out", file}), daemon_.path("trace"));
  auto a = daemon_.peer("a");
  // What passes before the trace is on is in no file.
  uint32_t id = 0;
  for (int i = 0; i < 500 && cli::read_file(file).find("a: tx") == std::string::npos; ++i) pass(a, a, id++, 1);
  for (int i = 0; i < 3; ++i) pass(a, a, id++, 1);
  EXPECT_EQ(trace.wait(), 0) << trace.out();
  auto reader = nic::port::PcapReader::open(file);
  ASSERT_TRUE(reader) << reader.error().message();
  std::vector<uint32_t> ids;
  for (auto packet = reader->next(); packet && *packet; packet = reader->next()) {
    ASSERT_EQ((*packet)->bytes.size(), 60u);
    ids.push_back(base::load_be<uint32_t>((*packet)->bytes.data() + 42));
  }
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[1], ids[0] + 1);
  EXPECT_EQ(ids[2], ids[0] + 2);
  EXPECT_THAT(cli::read_file(file), HasSubstr("a: tx"));
}

TEST_F(Watch, AMapShowsItsElementsAndThenWhatChanges) {
  Running watch(command({"map", "watch", "packets_by_protocol", "--interval", "20", "--limit", "2"}),
                daemon_.path("watch"));
  for (int i = 0; i < 500 && watch.out().find("\"key\":255") == std::string::npos; ++i) usleep(10'000);
  auto a = daemon_.peer("a");
  pass(a, a, 1, 1);
  EXPECT_EQ(watch.wait(), 0) << watch.out();
  const std::string out = watch.out();
  EXPECT_EQ(std::ranges::count(out, '\n'), 256 + 1);
  EXPECT_THAT(out.substr(out.rfind("set ")), AllOf(HasSubstr("\"key\":17"), HasSubstr("\"value\":1")));
}

TEST_F(Watch, TopOnATerminalDrawsAgainUntilQ) {
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(XNIC_PROGRAM, "xnic", "top", "--interval", "50", "--socket", daemon_.socket().c_str(), nullptr);
    _exit(127);
  }
  std::string shown;
  const auto tables = [&] {
    size_t count = 0;
    for (size_t at = 0; (at = shown.find("\033[H\033[J", at)) != shown.npos; ++at) ++count;
    return count;
  };
  char buffer[4096];
  for (int i = 0; i < 500 && tables() < 3; ++i) {
    pollfd out{terminal, POLLIN, 0};
    if (poll(&out, 1, 20) <= 0) continue;
    const ssize_t got = read(terminal, buffer, sizeof buffer);
    if (got > 0) shown.append(buffer, static_cast<size_t>(got));
  }
  EXPECT_GE(tables(), 3u) << shown;
  EXPECT_THAT(shown, AllOf(HasSubstr("RX pkt/s"), HasSubstr("xdp2 (native)")));
  EXPECT_EQ(write(terminal, "q", 1), 1);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  close(terminal);
}

}  // namespace
}  // namespace xnic::tests::daemon
