// SPDX-License-Identifier: Apache-2.0
// The daemon's life: configuration, start, stop, death, and what it may still do in between.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "base/file.hpp"
#include "daemon/daemon.hpp"
#include "nic/control/config.hpp"

namespace xnic::tests::daemon {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;

bool wait_for(const std::function<bool()>& condition) {
  for (int i = 0; i < 500 && !condition(); ++i) usleep(10'000);
  return condition();
}

TEST(Life, StartsAnswersAndStopsWithoutATrace) {
  Daemon daemon(memory_port("a", 2) + memory_port("b", 3));
  const cli::Finished up = daemon.up();
  ASSERT_EQ(up.exit_code, 0) << up.err;
  EXPECT_THAT(up.out, HasSubstr(fmt::format("process {}", daemon.pid())));
  EXPECT_THAT(daemon.must({"ports"}), AllOf(HasSubstr("a                memory        2"), HasSubstr("b  ")));
  daemon.must({"down"});
  EXPECT_EQ(daemon.pid(), 0);
  for (const char* file : {"control", "control.lock", "a.sock", "b.sock"})
    EXPECT_FALSE(fs::exists(daemon.path(file))) << file;
  EXPECT_THAT(daemon.log(), HasSubstr("stopped: every packet is out"));
  const cli::Finished ports = daemon.xnic({"ports"});
  EXPECT_EQ(ports.exit_code, 4);
  EXPECT_THAT(ports.err, HasSubstr("xnic up"));
}

TEST(Life, StopsOnSigterm) {
  Daemon daemon(memory_port("a", 2));
  ASSERT_EQ(daemon.up().exit_code, 0);
  kill(daemon.pid(), SIGTERM);
  EXPECT_TRUE(wait_for([&] { return daemon.pid() == 0; }));
  EXPECT_FALSE(fs::exists(daemon.socket()));
}

TEST(Life, ComesBackAfterKill9) {
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n");
  ASSERT_EQ(daemon.up().exit_code, 0);
  const pid_t first = daemon.pid();
  kill(first, SIGKILL);
  ASSERT_TRUE(wait_for([&] { return daemon.pid() == 0; }));
  EXPECT_TRUE(fs::exists(daemon.socket()));
  const cli::Finished again = daemon.up();
  ASSERT_EQ(again.exit_code, 0) << again.err;
  auto peer = daemon.peer("a");
  EXPECT_EQ(pass(peer, peer, 1, 3), (std::vector<uint32_t>{1, 2, 3}));
}

TEST(Life, OneDaemonASocket) {
  Daemon daemon(memory_port("a", 2));
  ASSERT_EQ(daemon.up().exit_code, 0);
  const pid_t first = daemon.pid();
  const cli::Finished second = daemon.up();
  EXPECT_EQ(second.exit_code, 3);
  EXPECT_THAT(second.err, HasSubstr(fmt::format("process {} serves this socket already", first)));
  EXPECT_EQ(daemon.pid(), first);
  daemon.must({"ports"});
}

TEST(Life, TellsMistakesInTheConfigurationWithTheirLine) {
  Daemon daemon("[[port]]\nname = \"a\"\nkind = \"memory\"\npaht = \"a.sock\"\n");
  for (const std::vector<std::string>& command : {std::vector<std::string>{"up", daemon.config()}}) {
    const cli::Finished finished = cli::run(command);
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, AllOf(HasSubstr("card.toml:9: "), HasSubstr("paht"), HasSubstr("path")));
  }
  EXPECT_FALSE(fs::exists(daemon.socket()));
}

TEST(Life, TellsWhichPortOrProgramDoesNotOpen) {
  Daemon missing(memory_port("a", 2) + "program = \"none.o\"\n");
  const cli::Finished no_program = missing.up();
  EXPECT_EQ(no_program.exit_code, 4);
  EXPECT_THAT(no_program.err, AllOf(HasSubstr("card.toml:6: "), HasSubstr("none.o")));
  Daemon wrong(memory_port("a", 2) + "program = \"" + program("tx") + "\"\nprogram_name = \"ty\"\n");
  const cli::Finished no_name = wrong.up();
  EXPECT_EQ(no_name.exit_code, 2);
  EXPECT_THAT(no_name.err, AllOf(HasSubstr("card.toml:6: "), HasSubstr("'ty'")));
  EXPECT_FALSE(fs::exists(wrong.socket()));
  Daemon worker(memory_port("a", 2) + "first_worker = 1\n");
  EXPECT_THAT(worker.up().err, HasSubstr("card.toml:6: first_worker"));
}

std::string run_daemon(const std::string& option, const std::string& file, int& exit_code) {
  const std::string out = cli::scratch("check.out");
  const std::string line = std::string(XNIC_DAEMON) + " " + option + " " + file + " >" + out + " 2>&1";
  const int status = std::system(line.c_str());
  exit_code = WEXITSTATUS(status);
  return cli::read_file(out);
}

TEST(Life, PortsThatShareMapsCannotFillThemTwice) {
  const std::string to = "program = \"" + program("redirect") + "\"\nmaps = { \".rodata\" = \"@/to.json\" }\n";
  Daemon daemon(memory_port("a", 2) + to + memory_port("b", 3) + to);
  cli::write_file(daemon.path("to.json"), "[{\"target_ifindex\": 3}]");
  const cli::Finished up = daemon.up();
  EXPECT_EQ(up.exit_code, 2);
  EXPECT_THAT(up.err, HasSubstr("two ports fill its map '.rodata'"));
  EXPECT_THAT(up.err, HasSubstr("give port b a copy"));
}

TEST(Life, ChecksAConfigurationWithoutStarting) {
  const Daemon daemon(memory_port("a", 2));
  int exit_code = -1;
  EXPECT_THAT(run_daemon("--check-config", daemon.config(), exit_code), EndsWith("good, 1 ports\n"));
  EXPECT_EQ(exit_code, 0);
  const std::string bad = daemon.path("bad.toml");
  cli::write_file(bad, "[card]\n\nworkers = 1000\n");
  EXPECT_THAT(run_daemon("--check-config", bad, exit_code), HasSubstr("bad.toml:3: workers: allowed is"));
  EXPECT_EQ(exit_code, 2);
  run_daemon("--check-config", daemon.path("none"), exit_code);
  EXPECT_EQ(exit_code, 4);
  EXPECT_FALSE(fs::exists(daemon.socket()));
}

TEST(Life, TheExampleInTheDocumentIsRight) {
  const std::string text = cli::read_file(std::string(XNIC_SOURCE) + "/docs/operations.md");
  size_t examples = 0;
  for (size_t at = 0; (at = text.find("```toml\n", at)) != text.npos; ++examples) {
    at += 8;
    const std::string toml = text.substr(at, text.find("```", at) - at);
    const auto config = nic::control::parse_config(toml, "operations.md", "/etc/xnic");
    EXPECT_TRUE(config) << config.error().message();
  }
  EXPECT_GE(examples, 1u);
}

// "Name:\tvalue" of /proc/PID/task/TID/status.
std::string status_of(const fs::path& task, const std::string& name) {
  std::ifstream file(task / "status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  return "";
}

TEST(Life, EveryThreadRunsWithoutTheRightsItDoesNotNeed) {
  Daemon daemon(memory_port("a", 2), "metrics = \"127.0.0.1:0\"\nworkers = 1\n");
  const cli::Finished up = daemon.up();
  ASSERT_EQ(up.exit_code, 0) << up.err;
  // CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF; CAP_IPC_LOCK where locked memory has a limit that cannot be lifted.
  constexpr uint64_t kKept = 1ull << 12 | 1ull << 13 | 1ull << 39 | 1ull << 14;
  size_t threads = 0;
  for (const auto& task : fs::directory_iterator(fmt::format("/proc/{}/task", daemon.pid()))) {
    ++threads;
    for (const char* set : {"CapEff", "CapPrm", "CapInh", "CapAmb"})
      EXPECT_EQ(std::stoull(status_of(task.path(), set), nullptr, 16) & ~kKept, 0u) << set;
    if (geteuid() == 0) {
      EXPECT_EQ(std::stoull(status_of(task.path(), "CapBnd"), nullptr, 16), 0u);
    }
    EXPECT_EQ(status_of(task.path(), "NoNewPrivs"), "1");
    EXPECT_EQ(status_of(task.path(), "Seccomp"), "2");
  }
  EXPECT_GE(threads, 3u);  // control, worker, metrics
}

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  close(fd);
  return ntohs(address.sin_port);
}

std::string http_get(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string text;
  char buffer[4096];
  for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  close(fd);
  return text;
}

TEST(Life, ServesMetrics) {
  const uint16_t port = free_port();
  Daemon daemon(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n",
                fmt::format("metrics = \"127.0.0.1:{}\"\n", port));
  const cli::Finished up = daemon.up();
  ASSERT_EQ(up.exit_code, 0) << up.err;
  auto peer = daemon.peer("a");
  ASSERT_EQ(pass(peer, peer, 1, 4).size(), 4u);
  const std::string text = http_get(port);
  EXPECT_THAT(text, AllOf(HasSubstr("200 OK"), HasSubstr("xnic_port_up{port=\"a\",kind=\"memory\"} 1"),
                          HasSubstr("xnic_port_packets_total{port=\"a\",direction=\"rx\"} 4"),
                          HasSubstr("xnic_port_packets_total{port=\"a\",direction=\"tx\"} 4"),
                          HasSubstr("xnic_verdicts_total{port=\"a\",queue=\"0\",verdict=\"tx\"} 4")));
  // Serving them holds up no end.
  int ends_within_a_second = 0;
  for (int round = 0; round < 3; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    daemon.must({"down"});
    ends_within_a_second += std::chrono::steady_clock::now() - begin < std::chrono::seconds(1);
    ASSERT_EQ(daemon.up().exit_code, 0);
  }
  EXPECT_GE(ends_within_a_second, 2);  // the library's own two seconds would be below one half of the time
}

}  // namespace
}  // namespace xnic::tests::daemon
