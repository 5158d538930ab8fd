// SPDX-License-Identifier: Apache-2.0
// fork, exec, and one loop over three pipes, so that no side waits for the other however much is written.
#include "process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace xnic::tests::cli {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

void must(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::abort();
}

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  explicit Pipe(bool terminal = false) {
    int ends[2];
    if (terminal)
      must(openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) == 0, "openpty");
    else
      must(pipe(ends) == 0, "pipe");
    read_end = ends[0];
    write_end = ends[1];
    fcntl(read_end, F_SETFD, FD_CLOEXEC);
    fcntl(write_end, F_SETFD, FD_CLOEXEC);
  }
  ~Pipe() {
    finish(read_end);
    finish(write_end);
  }
  static void finish(int& end) {
    if (end >= 0) close(end);
    end = -1;
  }
};

[[noreturn]] void become_xnic(const Command& command, const Pipe& in, const Pipe& out, const Pipe& err) {
  dup2(in.read_end, STDIN_FILENO);
  dup2(out.write_end, STDOUT_FILENO);
  dup2(err.write_end, STDERR_FILENO);
  if (command.as_nobody && geteuid() == 0)
    if (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(126);
  std::vector<std::string> arguments = {XNIC_PROGRAM};
  arguments.insert(arguments.end(), command.arguments.begin(), command.arguments.end());
  std::vector<char*> list;
  for (std::string& argument : arguments) list.push_back(argument.data());
  list.push_back(nullptr);
  execv(XNIC_PROGRAM, list.data());
  _exit(127);
}

// Appends what there is to `text`; closes the end when there will be no more (a terminal says EIO then).
void take(int& end, std::string& text) {
  char buffer[1 << 16];
  const ssize_t got = read(end, buffer, sizeof buffer);
  if (got > 0)
    text.append(buffer, static_cast<size_t>(got));
  else if (got == 0 || errno != EINTR)
    Pipe::finish(end);
}

void give(int& end, const std::string& text, size_t& given) {
  const ssize_t wrote = write(end, text.data() + given, text.size() - given);
  if (wrote > 0) given += static_cast<size_t>(wrote);
  if (given == text.size() || (wrote < 0 && errno == EPIPE)) Pipe::finish(end);
}

}  // namespace

Finished run(const Command& command) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  Pipe err(command.terminal);
  const pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    become_xnic(command, in, out, err);
  }
  Pipe::finish(in.read_end);
  Pipe::finish(out.write_end);
  Pipe::finish(err.write_end);
  Finished finished;
  size_t given = 0;
  if (command.input.empty()) Pipe::finish(in.write_end);
  while (out.read_end >= 0 || err.read_end >= 0) {
    pollfd wanted[] = {{in.write_end, POLLOUT, 0}, {out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}};
    if (poll(wanted, 3, -1) < 0) continue;
    if (wanted[0].revents != 0) give(in.write_end, command.input, given);
    if (wanted[1].revents != 0) take(out.read_end, finished.out);
    if (wanted[2].revents != 0) take(err.read_end, finished.err);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  return finished;
}

std::string scratch(const std::string& file) {
  struct Folder {
    std::string path;
    Folder() {
      std::string pattern = (fs::temp_directory_path() / "xnic-cli-XXXXXX").string();
      must(mkdtemp(pattern.data()) != nullptr, "mkdtemp");
      path = pattern;
      fs::permissions(path, fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    }
    ~Folder() { fs::remove_all(path); }
  };
  static const Folder folder;
  return folder.path + "/" + file;
}

void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string object(const std::string& name) { return std::string(XNIC_CLI_OBJECTS) + "/" + name + ".bpf.o"; }
std::string trace() { return std::string(XNIC_SOURCE) + "/data/traces/5_flows_64_bytes.pcap"; }

}  // namespace xnic::tests::cli
