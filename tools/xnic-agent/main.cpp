// SPDX-License-Identifier: Apache-2.0
// xnic-agent: owns the TCP sockets of host processes. Serves until SIGTERM or SIGINT; with --stats it
// asks the agent that serves the socket what it has done.
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <bit>
#include <cstdio>

#include "transport/agent/agent.hpp"

namespace {

using xnic::base::Error;
using xnic::transport::agent::Agent;
using xnic::transport::agent::Options;

Agent* serving = nullptr;

void on_signal(int) { serving->stop(); }

int fail(const Error& error) {
  std::fprintf(stderr, "xnic-agent: %s\n", error.message().c_str());
  return error.kind == xnic::base::ErrorKind::kIo ? 3 : 2;
}

// A descriptor for each connection: as many as the system lets us have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(const Options& options) {
  raise_descriptor_limit();
  auto agent = Agent::make(options);
  if (!agent) return fail(agent.error());
  serving = agent->get();
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::printf("xnic-agent serves %s\n", options.path.c_str());
  std::fflush(stdout);
  (*agent)->run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"xnic-agent: TCP for host processes, on the card's application processor"};
  Options options;
  options.path = "/run/xnic/agent.sock";
  bool stats = false;
  std::string mode = "0600";
  app.add_option("--socket", options.path, "Unix socket where processes attach")->capture_default_str();
  app.add_option("--mode", mode, "permissions of the socket, octal: who may attach")->capture_default_str();
  app.add_option("--spin-us", options.spin_us, "microseconds without work before it sleeps")->capture_default_str();
  app.add_option("--sessions", options.max_sessions, "processes at once")->capture_default_str();
  app.add_option("--sockets", options.max_sockets, "sockets of one process")->capture_default_str();
  app.add_option("--window", options.window_bytes, "bytes under way of one connection, each way")
      ->capture_default_str();
  app.add_option("--frames", options.memory.entries, "frames of a link, each way; a power of two")
      ->capture_default_str();
  app.add_option("--frame-bytes", options.memory.frame_bytes, "bytes of a frame")
      ->check(CLI::Range(1500, 65535))
      ->capture_default_str();
  app.add_option("--interface", options.interface, "one process may have its link over XDP sockets on it");
  app.add_flag("--any-port", options.any_port, "processes of any user may bind ports below 1024");
  app.add_flag("--stats", stats, "print what the agent at --socket has done, as JSON, and end");
  CLI11_PARSE(app, argc, argv);
  char* end = nullptr;
  options.socket_mode = static_cast<uint32_t>(std::strtoul(mode.c_str(), &end, 8));
  if (*end != 0 || options.socket_mode > 0777) {
    std::fprintf(stderr, "xnic-agent: --mode %s: it is an octal number up to 0777\n", mode.c_str());
    return 2;
  }
  if (!std::has_single_bit(options.memory.entries) || options.memory.entries > 1u << 16) {
    std::fprintf(stderr, "xnic-agent: --frames %u: it is a power of two up to 65536\n", options.memory.entries);
    return 2;
  }
  if (!stats) return serve(options);
  const auto text = xnic::transport::agent::ask_statistics(options.path);
  if (!text) return fail(text.error());
  std::printf("%s\n", text->c_str());
  return 0;
}
