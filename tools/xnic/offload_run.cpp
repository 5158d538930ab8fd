// SPDX-License-Identifier: Apache-2.0
// The library goes into dynamic programs only. A program that it cannot get into (static, or with the rights of another
// user) is told of and run as it is; so is every program when no agent is there, since its sockets then are the
// kernel's.
#include "xnic/offload_run.hpp"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "xnic/command.hpp"
#include "xnic/preload_library.hpp"

namespace xnic::tools {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr const char* kLibrary = "libxnic-socket.so";

// As execvp() finds it; empty when it does not.
std::string path_of(const std::string& command) {
  if (command.find('/') != std::string::npos) return command;
  const char* const folders = getenv("PATH");
  std::string rest = folders == nullptr ? "/usr/bin:/bin" : folders;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string path = rest.substr(0, colon) + "/" + command;
    if (access(path.c_str(), X_OK) == 0) return path;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return "";
}

// Why the loader would not put the library into the program; empty when it would, or when that cannot be seen.
std::string why_not(const std::string& path) {
  struct stat about{};
  if (stat(path.c_str(), &about) != 0) return "";
  if ((about.st_mode & (S_ISUID | S_ISGID)) != 0 && geteuid() != about.st_uid)
    return "it runs with another user's rights";
  std::ifstream file(path, std::ios::binary);
  Elf64_Ehdr header{};
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "";  // a script: its interpreter is what counts
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return "it is no 64-bit program";
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    file.seekg(static_cast<std::streamoff>(header.e_phoff + static_cast<uint64_t>(i) * header.e_phentsize));
    if (!file.read(reinterpret_cast<char*>(&part), sizeof part)) return "";
    if (part.p_type == PT_INTERP) return "";
  }
  return "it is linked statically";
}

base::Result<void> become(const OffloadRunOptions& options) {
  const std::string path = path_of(options.command.front());
  const std::string reason = why_not(path);
  const std::string agent = std::filesystem::absolute(options.agent).string();
  if (!reason.empty()) {
    std::fprintf(stderr, "xnic: %s cannot be offloaded: %s; it uses kernel TCP\n", options.command.front().c_str(),
                 reason.c_str());
  } else {
    XNIC_ASSIGN(const std::string library, find_preload_library(kLibrary));
    if (access(agent.c_str(), R_OK | W_OK) != 0)
      std::fprintf(stderr, "xnic: no agent serves %s; %s uses kernel TCP until one does\n", agent.c_str(),
                   options.command.front().c_str());
    const char* before = getenv("LD_PRELOAD");
    setenv("LD_PRELOAD", before == nullptr ? library.c_str() : (library + ":" + before).c_str(), 1);
    setenv("XNIC_OFFLOAD_SOCKET", agent.c_str(), 1);
    std::string rules;
    for (const std::string& rule : options.rules) rules += rule + ";";
    if (!rules.empty()) setenv("XNIC_OFFLOAD_POLICY", rules.c_str(), 1);
    if (options.spin_us >= 0) setenv("XNIC_OFFLOAD_SPIN_US", std::to_string(options.spin_us).c_str(), 1);
  }
  std::vector<char*> arguments;
  for (const std::string& word : options.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  return make_error(ErrorKind::kIo, options.command.front(), "cannot be run: {}", std::strerror(errno));
}

}  // namespace

void add_offload(CLI::App& app, OffloadRunOptions& options) {
  CLI::App* command = app.add_subcommand("offload", "Run a program, unchanged, with its TCP at the agent");
  command->add_option("--agent", options.agent, "Unix socket of xnic-agent")->capture_default_str();
  command->add_option(
      "--rule", options.rules,
      "offload|kernel [connect|listen] [PREFIX] [port P[-Q]]; the first that matches decides, none: offload");
  command->add_option("--spin-us", options.spin_us, "Microseconds that a call looks before it sleeps");
  command->footer(
      "Loopback, UNIX and UDP sockets are always the kernel's.\n"
      "Example:\n  xnic offload --rule 'offload listen port 6379' --rule kernel -- redis-server");
  command->add_option("COMMAND", options.command, "The program; what follows is its own");
  command->prefix_command();
  command->callback([command, &options] {
    const std::vector<std::string> rest = command->remaining();
    options.command.insert(options.command.end(), rest.begin(), rest.end());
    if (!options.command.empty() && options.command[0] == "--") options.command.erase(options.command.begin());
    if (options.command.empty()) throw CLI::RequiredError("COMMAND");
    options.job = [&options] { return report(become(options).error()); };
  });
}

}  // namespace xnic::tools
