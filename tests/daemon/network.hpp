// SPDX-License-Identifier: Apache-2.0
// Hosts in namespaces and a daemon beside them; needs root, and skips with a plain sentence without.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "daemon/daemon.hpp"

namespace xnic::tests::daemon {

// A command that goes on in the background until it ends or the object goes.
class Running {
 public:
  // `xnic ARGUMENTS...`, standard output into `out_file`.
  Running(std::vector<std::string> arguments, const std::string& out_file);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  // Waits for its end; the exit code.
  int wait();
  std::string out() const { return cli::read_file(out_file_); }

 private:
  pid_t pid_ = 0;
  std::string out_file_;
};

class Network : public testing::Test {
 protected:
  // `options` of `xnic testnet up`.
  explicit Network(std::vector<std::string> options = {}) : options_(std::move(options)) {}
  void SetUp() override;
  void TearDown() override;
  std::vector<std::string> on(const std::string& host, const std::vector<std::string>& command = {}) const;
  cli::Finished run_on(const std::string& host, const std::vector<std::string>& command) const;
  // The same, with the shell, expecting success; its output.
  std::string shell_on(const std::string& host, const std::string& line) const;
  // The commands of the card have to run beside the card.
  cli::Finished up(Daemon& daemon) const;
  cli::Finished ping(int count, const std::string& to = "10.77.0.2") const;

  // Ports h1 (index 10) and h2 (11), each of which sends what it receives out of the other; `keys` go into both.
  static std::string forwarding_ports(const std::string& keys = "entries = 128\n");
  // One such port.
  static std::string forwarding_port(const std::string& name, uint32_t ifindex, uint32_t target,
                                     const std::string& keys);
  // Their programs, for targets 10 to 13. Before up().
  static void write_programs(const Daemon& daemon);

  const std::string net_ = "xd" + std::to_string(getpid() % 10000);
  const std::vector<std::string> options_;

 private:
  bool made_ = false;
};

}  // namespace xnic::tests::daemon
