// SPDX-License-Identifier: Apache-2.0
// A card of virtual interfaces to try ef_vi programs on: serves pairs of ports, each joined by a wire, until it is told
// to stop or the command that it was given ends.
#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "nic/vi/protocol.hpp"
#include "nic/vi/service/card_service.hpp"

namespace {

using namespace xnic::nic::vi;

constexpr int kExitUse = 2;

// The command's exit code; as a shell has it when a signal ended it.
int run(const std::vector<std::string>& command, const std::string& socket) {
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setenv("XNIC_CARD", socket.c_str(), 1);
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    fmt::print(stderr, "{}: cannot run: {}\n", command[0], std::strerror(errno));
    _exit(kExitUse);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Serves a card of virtual interfaces: ports in pairs, each joined by a wire, for programs that use ef_vi");
  CardOptions options;
  std::vector<std::string> pairs = {"efvi0:efvi1"}, command;
  uint32_t mtu = 1500;
  bool bare = geteuid() != 0;
  app.add_option("--socket", options.socket, "where clients connect; default: " + std::string(kDefaultSocket));
  app.add_option("--ports", pairs, "names of two ports: NAME:NAME; several pairs, one after the other");
  app.add_option("--mtu", mtu, "of all ports")->check(CLI::Range(68, 65535 - 22));
  app.add_flag("--no-kernel", bare, "no network interfaces for the ports (always so without root)");
  app.footer("-- COMMAND ...: what to run, with XNIC_CARD set; without it the card is served until a signal comes");
  // What follows "--" is not for CLI11: it would take a command's options for ours.
  const int own = static_cast<int>(std::find(argv, argv + argc, std::string_view("--")) - argv);
  CLI11_PARSE(app, own, argv);
  command.assign(argv + std::min(own + 1, argc), argv + argc);

  const bool own_socket = options.socket.empty() && !command.empty();
  if (own_socket) options.socket = "/tmp/xnic-efvi-" + std::to_string(getpid()) + ".sock";
  if (options.socket.empty()) options.socket = kDefaultSocket;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(options.socket).parent_path(), ignored);
  for (const std::string& pair : pairs) {
    const size_t colon = pair.find(':');
    if (colon == std::string::npos) {
      fmt::print(stderr, "{}: two names are joined by a colon\n", pair);
      return kExitUse;
    }
    PortOptions one;
    one.name = pair.substr(0, colon);
    one.peer = pair.substr(colon + 1);
    one.mtu = mtu;
    one.kernel_side = !bare;
    PortOptions other = one;
    std::swap(other.name, other.peer);
    options.ports.push_back(one);
    options.ports.push_back(other);
  }

  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM}) sigaddset(&signals, signal);
  if (command.empty()) sigprocmask(SIG_BLOCK, &signals, nullptr);
  auto service = CardService::start(options);
  if (!service) {
    fmt::print(stderr, "{}\n", service.error().message());
    return kExitUse;
  }
  if (!command.empty()) return run(command, options.socket);
  fmt::print("serving at {}\n", options.socket);
  std::fflush(stdout);
  int signal;
  sigwait(&signals, &signal);
  return 0;
}
