// SPDX-License-Identifier: Apache-2.0
// Runs every case on two sides and compares the transcripts. A side is a command that the case is started with
// (nothing: kernel TCP; `xnic offload --`: the offload), and the network namespaces that the case and its peer live in.
// A run is bounded in time; one that is cut off is a difference. A differing case is run again, up to --tries times: a
// machine under load may delay what a case waits for, but only a case that is equal once is equal.
//
//   offload_runner PROGRAM [--left CMD] [--right CMD] [--left-netns P] [--right-netns P] [--peer-netns P]
//                  [--addresses V4,V6] [--differences FILE] [--jobs N] [--repeat N] [--tries N] [--every N] [--only
//                  TEXT]
//                  [--verbose]
//
// A difference is accepted when FILE has a line "CASE  reason"; an accepted case that is equal is told, so that the
// list shrinks.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "peer.hpp"

namespace xnic::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(15);

struct Side {
  std::vector<std::string> command;  // before the program's name
  std::string netns;                 // path; empty: this one
};

struct Options {
  std::string program;
  Side left, right;
  std::string peer_netns;
  std::string addresses;  // of the peer and of the case's own sockets: IPv4,IPv6
  std::string differences;
  std::string only;
  int jobs = 4;
  int repeat = 1;
  int tries = 3;
  int every = 1;  // 1: all cases; N: each N-th
  bool verbose = false;
};

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> found;
  for (std::string word; in >> word;) found.push_back(word);
  return found;
}

bool enter(const std::string& netns) {
  if (netns.empty()) return true;
  const int fd = open(netns.c_str(), O_RDONLY | O_CLOEXEC);
  return fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
}

Addresses addresses_of(const Options& options) {
  Addresses found;
  const size_t comma = options.addresses.find(',');
  if (comma == std::string::npos) return found;
  found.host4 = found.peer4 = options.addresses.substr(0, comma);
  found.host6 = found.peer6 = options.addresses.substr(comma + 1);
  return found;
}

[[noreturn]] void become_case(const Options& options, const Side& side, const std::string& name, int control) {
  if (!enter(side.netns)) _exit(125);
  const Addresses addresses = addresses_of(options);
  setenv("XNIC_CONFORMANCE_PEER", std::to_string(control).c_str(), 1);
  setenv("XNIC_CONFORMANCE_HOST4", addresses.host4.c_str(), 1);
  setenv("XNIC_CONFORMANCE_HOST6", addresses.host6.c_str(), 1);
  setenv("XNIC_CONFORMANCE_PEER4", addresses.peer4.c_str(), 1);
  setenv("XNIC_CONFORMANCE_PEER6", addresses.peer6.c_str(), 1);
  std::vector<char*> arguments;
  for (const std::string& word : side.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(const_cast<char*>(options.program.c_str()));
  arguments.push_back(const_cast<char*>(name.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(126);
}

// Forks happen one at a time, so that no child inherits another run's descriptors.
std::mutex fork_lock;

struct Run {
  pid_t program = -1, peer = -1;
  int output = -1;
};

Run start(const Options& options, const Side& side, const std::string& name) {
  const std::lock_guard guard(fork_lock);
  int control[2], output[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 || pipe2(output, O_CLOEXEC) < 0) return {};
  Run run;
  run.peer = fork();
  if (run.peer == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(control[1]);
    close(output[0]);
    close(output[1]);
    if (!enter(options.peer_netns)) _exit(125);
    serve_peer(control[0], addresses_of(options));
  }
  run.program = fork();
  if (run.program == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    dup2(output[1], STDOUT_FILENO);
    dup2(output[1], STDERR_FILENO);
    const int kept = fcntl(control[1], F_DUPFD, 900);  // out of the way of the numbers a case makes
    become_case(options, side, name, kept);
  }
  close(control[0]);
  close(control[1]);
  close(output[1]);
  run.output = output[0];
  return run;
}

std::string transcript(const Options& options, const Side& side, const std::string& name) {
  const Run run = start(options, side, name);
  if (run.program < 0) return "cannot start\n";
  const auto deadline = Clock::now() + kPatience;
  std::string text;
  char piece[4096];
  bool cut_off = false;
  int status = 0;
  // Reads to the end of the program, and not of its output: what a case leaves behind may still have the pipe open.
  for (bool ended = false;;) {
    pollfd one{run.output, POLLIN, 0};
    poll(&one, 1, ended ? 0 : 5);
    const ssize_t n = (one.revents != 0) ? read(run.output, piece, sizeof piece) : 0;
    if (n > 0) {
      text.append(piece, static_cast<size_t>(n));
      continue;
    }
    if (ended) break;
    ended = waitpid(run.program, &status, WNOHANG) == run.program;
    if (!ended && one.revents != 0) usleep(200);
    if (ended || Clock::now() < deadline) continue;
    cut_off = true;
    kill(-run.program, SIGKILL);
    waitpid(run.program, &status, 0);
    break;
  }
  kill(-run.program, SIGKILL);
  kill(run.peer, SIGKILL);
  waitpid(run.peer, nullptr, 0);
  close(run.output);
  if (cut_off) return text + "did not end\n";
  if (WIFSIGNALED(status)) text += std::string("killed by ") + strsignal(WTERMSIG(status)) + "\n";
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) text += "exit code " + std::to_string(WEXITSTATUS(status)) + "\n";
  return text;
}

std::vector<std::string> names_of(const Options& options) {
  std::vector<std::string> found;
  FILE* list = popen((options.program + " --list").c_str(), "r");
  if (list == nullptr) return found;
  char line[256];
  int number = 0;
  while (std::fgets(line, sizeof line, list) != nullptr) {
    if (number++ % options.every != 0) continue;
    std::string name = line;
    name.erase(name.find_last_not_of('\n') + 1);
    if (name.find(options.only) != std::string::npos) found.push_back(name);
  }
  pclose(list);
  return found;
}

std::map<std::string, std::string> accepted_of(const std::string& path, bool& readable) {
  std::map<std::string, std::string> found;
  if (path.empty()) return found;
  std::ifstream in(path);
  readable = in.good();
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.find(' ');
    found[line.substr(0, space)] = space == std::string::npos ? "" : line.substr(space + 1);
  }
  return found;
}

// The two transcripts, lines that differ marked.
void print_difference(const std::string& name, const std::string& left, const std::string& right) {
  std::printf("--- %s\n", name.c_str());
  std::istringstream a(left), b(right);
  std::string from, to;
  for (;;) {
    const bool more_a = static_cast<bool>(std::getline(a, from));
    const bool more_b = static_cast<bool>(std::getline(b, to));
    if (!more_a && !more_b) return;
    if (more_a && more_b && from == to)
      std::printf("    %s\n", from.c_str());
    else
      std::printf("  ! %-56s | %s\n", more_a ? from.c_str() : "(nothing)", more_b ? to.c_str() : "(nothing)");
  }
}

struct Verdict {
  bool equal = false;
  int tries = 0;
  std::string left, right;
};

Verdict compare(const Options& options, const std::string& name) {
  Verdict verdict;
  for (int repeat = 0; repeat < options.repeat; ++repeat) {
    verdict.equal = false;
    for (verdict.tries = 1; verdict.tries <= options.tries; ++verdict.tries) {
      verdict.left = transcript(options, options.left, name);
      verdict.right = transcript(options, options.right, name);
      verdict.equal = verdict.left == verdict.right;
      if (verdict.equal) break;
    }
    if (!verdict.equal) break;
  }
  return verdict;
}

int run(const Options& options) {
  bool readable = true;
  const std::map<std::string, std::string> accepted = accepted_of(options.differences, readable);
  const std::vector<std::string> names = names_of(options);
  if (names.empty() || !readable) {
    std::fprintf(stderr, "offload_runner: %s\n", readable ? "no case to run" : "cannot read the list of differences");
    return 2;
  }
  std::vector<Verdict> verdicts(names.size());
  std::atomic<size_t> next = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < options.jobs; ++i)
    workers.emplace_back([&] {
      for (size_t at = next++; at < names.size(); at = next++) verdicts[at] = compare(options, names[at]);
    });
  for (std::thread& worker : workers) worker.join();

  size_t equal = 0, listed = 0, bad = 0, again = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool known = accepted.count(names[i]) != 0;
    equal += verdicts[i].equal;
    again += verdicts[i].equal && verdicts[i].tries > 1;
    if (verdicts[i].equal && known) std::printf("%s is equal now: take it off the list\n", names[i].c_str());
    if (verdicts[i].equal && verdicts[i].tries > 1 && options.verbose)
      std::printf("%s tried again\n", names[i].c_str());
    if (verdicts[i].equal) continue;
    listed += known;
    bad += !known;
    if (!known || options.verbose) print_difference(names[i], verdicts[i].left, verdicts[i].right);
  }
  std::printf("%zu cases: %zu equal (%zu at another try), %zu listed differences, %zu unexpected\n", names.size(),
              equal, again, listed, bad);
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::conformance

int main(int argc, char** argv) {
  using namespace xnic::conformance;
  Options options;
  std::signal(SIGPIPE, SIG_IGN);
  const std::map<std::string, std::string*> texts = {
      {"--left-netns", &options.left.netns},   {"--right-netns", &options.right.netns},
      {"--peer-netns", &options.peer_netns},   {"--addresses", &options.addresses},
      {"--differences", &options.differences}, {"--only", &options.only}};
  const std::map<std::string, int*> numbers = {{"--jobs", &options.jobs},
                                               {"--repeat", &options.repeat},
                                               {"--tries", &options.tries},
                                               {"--every", &options.every}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--verbose") {
      options.verbose = true;
    } else if (options.program.empty() && word[0] != '-') {
      options.program = word;
    } else if (i + 1 < argc && texts.count(word) != 0) {
      *texts.at(word) = argv[++i];
    } else if (i + 1 < argc && numbers.count(word) != 0) {
      *numbers.at(word) = std::atoi(argv[++i]);
    } else if (i + 1 < argc && (word == "--left" || word == "--right")) {
      (word == "--left" ? options.left : options.right).command = words(argv[++i]);
    } else {
      std::fprintf(stderr, "offload_runner: what is '%s'?\n", word.c_str());
      return 2;
    }
  }
  return run(options);
}
