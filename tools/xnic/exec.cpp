// SPDX-License-Identifier: Apache-2.0
// `xnic exec -- COMMAND`: runs a program so that its bpf(2) and XDP over rtnetlink reach the card (docs/toolchain.md).
#include <sys/stat.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "xnic/command.hpp"
#include "xnic/exec.hpp"
#include "xnic/preload_library.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr const char* kLibrary = "libxnic-preload.so";

base::Result<void> become(const DaemonOptions& daemon, const ExecOptions& options) {
  XNIC_ASSIGN(const std::string library, find_preload_library(kLibrary));
  const std::string socket = std::filesystem::absolute(socket_of(daemon)).string();
  if (access((socket + ".bpf").c_str(), F_OK) != 0)
    return make_error(ErrorKind::kIo, socket + ".bpf", "no daemon serves there: start one with xnic up");
  const char* before = getenv("LD_PRELOAD");
  setenv("LD_PRELOAD", before == nullptr ? library.c_str() : (library + ":" + before).c_str(), 1);
  setenv("XNIC_SOCKET", socket.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& word : options.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  return make_error(ErrorKind::kIo, options.command.front(), "cannot be run: {}", std::strerror(errno));
}

}  // namespace

void add_exec(CLI::App& app, DaemonOptions& daemon, ExecOptions& options) {
  CLI::App* command = app.add_subcommand("exec", "Run a program (bpftool, ip, any that uses libbpf) against the card");
  command->add_option("--socket", daemon.socket,
                      "Control socket; without it $XNIC_SOCKET, else /run/xnic/control.sock");
  command->footer(
      "Examples:\n  xnic exec -- bpftool prog show\n  xnic exec -- ip link set dev lan xdp obj firewall.o sec xdp");
  command->add_option("COMMAND", options.command, "The program; what follows is its own");
  command->prefix_command();
  command->callback([command, &daemon, &options] {
    std::vector<std::string> rest = command->remaining();
    if (!rest.empty() && rest[0] == "--") rest.erase(rest.begin());  // the mark itself
    options.command.insert(options.command.end(), rest.begin(), rest.end());
    if (options.command.empty()) throw CLI::RequiredError("COMMAND");
    daemon.job = [&daemon, &options] { return report(become(daemon, options).error()); };
  });
}

}  // namespace xnic::tools
