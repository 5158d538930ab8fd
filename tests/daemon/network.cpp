// SPDX-License-Identifier: Apache-2.0
// The network is made by `xnic testnet` and goes with the test.
#include "daemon/network.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace xnic::tests::daemon {

Running::Running(std::vector<std::string> arguments, const std::string& out_file) : out_file_(out_file) {
  arguments.insert(arguments.begin(), XNIC_PROGRAM);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const int out = open(out_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  pid_ = fork();
  if (pid_ != 0) {
    close(out);
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(argv[0], argv.data());
  _exit(127);
}

Running::~Running() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  wait();
}

int Running::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = 0;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void Network::SetUp() {
  bool may = geteuid() == 0;
  std::thread([&] { may = may && unshare(CLONE_NEWNET) == 0; }).join();  // root in a container may not
  if (!may) GTEST_SKIP() << "needs root and the right to make network namespaces";
  std::vector<std::string> make = {"testnet", "up", "--net", net_};
  make.insert(make.end(), options_.begin(), options_.end());
  const cli::Finished up = cli::run(make);
  ASSERT_EQ(up.exit_code, 0) << up.err;
  made_ = true;
}

void Network::TearDown() {
  if (made_) cli::run({"testnet", "down", "--net", net_});
}

std::vector<std::string> Network::on(const std::string& host, const std::vector<std::string>& command) const {
  std::vector<std::string> all = {"testnet", "exec", "--net", net_, host};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

cli::Finished Network::run_on(const std::string& host, const std::vector<std::string>& command) const {
  return cli::run(on(host, command));
}

std::string Network::shell_on(const std::string& host, const std::string& line) const {
  const cli::Finished finished = run_on(host, {"sh", "-c", line});
  EXPECT_EQ(finished.exit_code, 0) << line << ": " << finished.err;
  return finished.out;
}

cli::Finished Network::up(Daemon& daemon) const { return daemon.up(on("card", {XNIC_PROGRAM})); }

cli::Finished Network::ping(int count, const std::string& to) const {
  return run_on("h1", {"ping", "-q", "-i", "0.02", "-W", "2", "-c", std::to_string(count), to});
}

std::string Network::forwarding_port(const std::string& name, uint32_t ifindex, uint32_t target,
                                     const std::string& keys) {
  return fmt::format(
      "[[port]]\nname = \"{0}\"\nkind = \"af_xdp\"\ninterface = \"{0}\"\nifindex = {1}\nprogram = \"@/to{2}.o\"\n"
      "maps = {{ \".rodata\" = \"@/to{2}.json\" }}\n{3}",
      name, ifindex, target, keys);
}

std::string Network::forwarding_ports(const std::string& keys) {
  return forwarding_port("h1", 10, 11, keys) + forwarding_port("h2", 11, 10, keys);
}

void Network::write_programs(const Daemon& daemon) {
  for (const int target : {10, 11, 12, 13}) {
    cli::write_file(daemon.path(fmt::format("to{}.o", target)), cli::read_file(program("redirect")));
    cli::write_file(daemon.path(fmt::format("to{}.json", target)), fmt::format("[{{\"target_ifindex\": {}}}]", target));
  }
}

}  // namespace xnic::tests::daemon
