// SPDX-License-Identifier: Apache-2.0
// Each daemon has a folder of its own for configuration, sockets, log and compiled code.
#include "daemon/daemon.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "base/bytes.hpp"

namespace xnic::tests::daemon {

using nic::port::MemoryPeer;

std::string program(const std::string& name) { return std::string(XNIC_PROGRAMS) + "/" + name + ".bpf.o"; }

Daemon::Daemon(const std::string& ports, const std::string& card) {
  static int number = 0;
  folder_ = cli::scratch("daemon" + std::to_string(number++));
  std::filesystem::create_directories(folder_);
  prctl(PR_SET_CHILD_SUBREAPER, 1);                        // daemons that end are reaped in pid(), whoever is process 1
  setenv("XNIC_CACHE", cli::scratch("cache").c_str(), 1);  // of native code, shared by the daemons of this run
  const std::string frames = card.find("frames") == std::string::npos ? "frames = 1024\n" : "";
  std::string text = "[card]\ncontrol = \"control\"\nspin_polls = 0\n" + frames + card + "\n" + ports;
  for (size_t at; (at = text.find('@')) != text.npos;) text.replace(at, 1, folder_);
  cli::write_file(config(), text);
}

Daemon::~Daemon() {
  const pid_t running = pid();
  if (running == 0) return;
  xnic({"down"});
  if (kill(running, 0) == 0 && pid() == running) kill(running, SIGKILL);
}

cli::Finished Daemon::up(std::vector<std::string> in) {
  in.insert(in.end(), {"up", config()});
  return cli::run(std::move(in));
}

cli::Finished Daemon::xnic(std::vector<std::string> arguments) const {
  arguments.insert(arguments.end(), {"--socket", socket()});
  return cli::run(std::move(arguments));
}

std::string Daemon::must(std::vector<std::string> arguments) const {
  std::string line;
  for (const std::string& argument : arguments) line += argument + " ";
  const cli::Finished finished = xnic(std::move(arguments));
  EXPECT_EQ(finished.exit_code, 0) << line << ": " << finished.err << log();
  return finished.out;
}

nlohmann::ordered_json Daemon::stats() const {
  return nlohmann::ordered_json::parse(must({"stats", "--json"}), nullptr, false);
}

pid_t Daemon::pid() const {
  const std::string text = cli::read_file(socket() + ".lock");
  const pid_t pid = std::atoi(text.c_str());
  if (pid > 0) waitpid(pid, nullptr, WNOHANG);
  return pid > 0 && kill(pid, 0) == 0 ? pid : 0;
}

std::string Daemon::log() const { return cli::read_file(socket() + ".log"); }

nic::control::Client Daemon::client() const {
  auto client = nic::control::Client::connect(socket());
  EXPECT_TRUE(client) << client.error().message();
  return std::move(*client);
}

MemoryPeer Daemon::peer(const std::string& port) const {
  auto peer = MemoryPeer::attach(path(port + ".sock"));
  EXPECT_TRUE(peer) << peer.error().message();
  return std::move(*peer);
}

std::string memory_port(const std::string& name, uint32_t ifindex) {
  return fmt::format("[[port]]\nname = \"{0}\"\nkind = \"memory\"\nifindex = {1}\npath = \"{0}.sock\"\n", name,
                     ifindex);
}

std::vector<uint8_t> frame(uint32_t id) {
  std::vector<uint8_t> bytes = {2, 0,  0,  0, 0, 2,  2, 0, 0, 0,  0, 1, 8, 0, 0x45, 0, 0, 46, 0,  0, 0,
                                0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 7,    0, 9, 0,  26, 0, 0};
  bytes.resize(60);
  base::store_be(bytes.data() + 42, id);
  return bytes;
}

std::vector<uint32_t> pass(MemoryPeer& from, MemoryPeer& to, uint32_t first, uint32_t count) {
  std::vector<uint32_t> ids;
  for (uint32_t i = 0; i < count; ++i) {
    const std::vector<uint8_t> bytes = frame(first + i);
    const base::Bytes one = bytes;
    EXPECT_EQ(from.send(0, {&one, 1}), 1u);
    // One at a time: no ring is ever full, whatever else the machine does.
    for (int tries = 0; to.available(0, 1) == 0 && tries < 50; ++tries) EXPECT_TRUE(to.wait(0, 100));
    if (to.available(0, 1) == 0) break;
    ids.push_back(base::load_be<uint32_t>(to.frame(0, 0).data() + 42));
    to.release(0, 1);
  }
  return ids;
}

}  // namespace xnic::tests::daemon
