// SPDX-License-Identifier: Apache-2.0
// Sockets over fork, exec and posix_spawn: sharing, inheriting, closing.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void finish(Case& c, pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  c.note("child %s %d", WIFEXITED(status) ? "exits" : "is killed by",
         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

void child_uses(Case& c, bool parent_closes) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    char bytes[8];
    if (::recv(made.fd, bytes, 4, MSG_WAITALL) != 4 || std::memcmp(bytes, "data", 4) != 0) ::_exit(1);
    ::_exit(::send(made.fd, "reply", 5, 0) == 5 ? 0 : 2);
  }
  if (parent_closes) ::close(made.fd);
  c.peer.send(made.slot, "data");
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
  finish(c, child);
  if (!parent_closes) {
    c.ret("parent send", ::send(made.fd, "more", 4, 0));
    ::close(made.fd);
  }
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

// A child that closes its copies, or ends, takes nothing from the parent.
void child_closes(Case& c, bool explicitly) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    if (explicitly) ::close(made.fd);
    ::_exit(0);
  }
  finish(c, child);
  c.peer.send(made.slot, "data");
  char bytes[8];
  c.data("parent recv", ::recv(made.fd, bytes, 4, MSG_WAITALL), bytes);
  c.ret("parent send", ::send(made.fd, "reply", 5, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
}

void child_shuts_down(Case& c) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    ::shutdown(made.fd, SHUT_WR);
    ::_exit(0);
  }
  finish(c, child);
  c.ret("parent send", ::send(made.fd, "x", 1, MSG_NOSIGNAL));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void takes_turns(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  const pid_t child = ::fork();
  char bytes[8];
  if (child == 0) {
    for (int i = 0; i < 3; ++i) {
      char go;
      if (::read(pipe[0], &go, 1) != 1) ::_exit(1);
      if (::recv(made.fd, bytes, 2, MSG_WAITALL) != 2 || bytes[0] != 'c') ::_exit(2);
      if (::send(made.fd, "c", 1, 0) != 1) ::_exit(3);
    }
    ::_exit(0);
  }
  for (int i = 0; i < 3; ++i) {
    c.peer.send(made.slot, "p" + std::to_string(i));
    c.data("parent", ::recv(made.fd, bytes, 2, MSG_WAITALL), bytes);
    ::send(made.fd, "p", 1, 0);
    c.note("peer: %s", c.peer.receive(made.slot, 1).c_str());
    c.peer.send(made.slot, "c" + std::to_string(i));
    if (::write(pipe[1], "g", 1) < 0) return;
    c.note("peer: %s", c.peer.receive(made.slot, 1).c_str());
  }
  finish(c, child);
}

void child_connects(Case& c) {
  const Connection made = c.active();
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  const pid_t child = ::fork();
  if (child == 0) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(fd, where.get(), where.length) < 0) ::_exit(1);
    ::_exit(::send(fd, "child's own", 11, 0) == 11 ? 0 : 2);
  }
  const int slot = c.peer.accept();
  c.note("peer: %s", c.peer.drain(slot).c_str());
  finish(c, child);
  c.ret("parent send", ::send(made.fd, "parent's own", 12, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 12).c_str());
}

// The parent listens, children accept: each connection is served by exactly one.
void workers(Case& c, int count) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 16, port);
  pid_t children[4];
  for (int i = 0; i < count; ++i) {
    children[i] = ::fork();
    if (children[i] != 0) continue;
    for (;;) {
      const int fd = ::accept(listener, nullptr, nullptr);
      if (fd < 0) ::_exit(1);
      char bytes[16];
      const ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n > 0 && bytes[0] == 'q') ::_exit(0);
      if (n > 0) ::send(fd, bytes, static_cast<size_t>(n), 0);
      ::close(fd);
    }
  }
  int good = 0;
  for (int i = 0; i < 12; ++i) {
    const int slot = c.peer.connect(AF_INET, port);
    c.peer.send(slot, "echo");
    good += c.peer.drain(slot) == "\"echo\" end";
  }
  c.note("good %d", good);
  for (int i = 0; i < count; ++i) c.peer.send(c.peer.connect(AF_INET, port), "q");
  for (int i = 0; i < count; ++i) finish(c, children[i]);
}

void epoll_set_is_shared(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  epoll_event event{EPOLLIN, {}};
  event.data.u32 = 5;
  ::epoll_ctl(set, EPOLL_CTL_ADD, made.fd, &event);
  const pid_t child = ::fork();
  if (child == 0) {
    epoll_event found{};
    c.ret("child epoll_wait", ::epoll_wait(set, &found, 1, 2000));
    c.note("data %u %s", found.data.u32, epoll_names(found.events).c_str());
    ::_exit(0);
  }
  c.peer.send(made.slot, "data");
  finish(c, child);
  epoll_event found{};
  c.ret("parent epoll_wait", ::epoll_wait(set, &found, 1, 2000));
  c.note("data %u %s", found.data.u32, epoll_names(found.events).c_str());
}

void grandchild(Case& c) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    const pid_t inner = ::fork();
    if (inner == 0) ::_exit(::send(made.fd, "hello", 5, 0) == 5 ? 0 : 1);
    int status = 0;
    ::waitpid(inner, &status, 0);
    ::_exit(WEXITSTATUS(status));
  }
  ::close(made.fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  finish(c, child);
}

void detached(Case& c) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    if (::daemon(1, 1) < 0) ::_exit(1);
    char bytes[8];
    if (::recv(made.fd, bytes, 2, MSG_WAITALL) != 2) ::_exit(1);
    ::send(made.fd, "served", 6, 0);
    ::_exit(0);
  }
  ::close(made.fd);
  finish(c, child);
  c.peer.send(made.slot, "go");
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

pid_t fork_program(const char* const* arguments) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::execv(arguments[0], const_cast<char* const*>(arguments));
  ::_exit(9);
}
pid_t vfork_program(const char* const* arguments) {
  const pid_t child = ::vfork();
  if (child != 0) return child;
  ::execv(arguments[0], const_cast<char* const*>(arguments));
  ::_exit(9);
}

enum class Start { kExec, kSpawn, kVfork };

void started_program(Case& c, Start how, const char* role, bool close_on_exec) {
  Connection made;
  uint16_t port = 0;
  if (std::strcmp(role, "accept") == 0)
    made.fd = c.listener(Family::kV4, 4, port);
  else
    made = c.active();
  if (close_on_exec) ::fcntl(made.fd, F_SETFD, FD_CLOEXEC);
  const std::string number = std::to_string(made.fd);
  const char* arguments[] = {"/proc/self/exe", "--child", role, number.c_str(), nullptr};
  pid_t child = -1;
  if (how == Start::kSpawn) {
    ::posix_spawn(&child, arguments[0], nullptr, nullptr, const_cast<char**>(arguments), environ);
  } else {
    child = how == Start::kVfork ? vfork_program(arguments) : fork_program(arguments);
  }
  if (port != 0) made.slot = c.peer.connect(AF_INET, port);
  if (!close_on_exec) {
    c.peer.send(made.slot, "to the program");
    c.note("peer: %s", c.peer.receive(made.slot, 10).c_str());
  }
  finish(c, child);
  if (port != 0) return;
  c.ret("parent send", ::send(made.fd, "parent", 6, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 6).c_str());
}

// The process itself becomes another program, and its socket goes with it.
void becomes_program(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "to the program");
  c.await_bytes(made.fd, 14);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string number = std::to_string(made.fd);
    ::execl("/proc/self/exe", "/proc/self/exe", "--child", "echo", number.c_str(), nullptr);
    ::_exit(9);
  }
  ::close(made.fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  finish(c, child);
}

// As inetd does: the socket is the program's standard input and output.
void standard_streams(Case& c) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(made.fd, STDIN_FILENO);
    ::dup2(made.fd, STDOUT_FILENO);
    ::execl("/bin/cat", "cat", nullptr);
    ::_exit(9);
  }
  ::close(made.fd);
  c.peer.send(made.slot, "through cat");
  c.peer.shutdown(made.slot, SHUT_WR);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  finish(c, child);
}

}  // namespace

int run_child(const std::string& role, int fd) {
  alarm(8);
  if (role == "accept") fd = ::accept(fd, nullptr, nullptr);
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return errno == EBADF ? 77 : 1;
  char bytes[32];
  if (::recv(fd, bytes, 14, MSG_WAITALL) != 14 || std::memcmp(bytes, "to the program", 14) != 0) return 2;
  return ::send(fd, "understood", 10, 0) == 10 ? 0 : 3;
}

void add_processes(Suite& suite) {
  suite.add("process.child_uses", [](Case& c) { child_uses(c, false); });
  suite.add("process.child_uses_alone", [](Case& c) { child_uses(c, true); });
  suite.add("process.child_closes", [](Case& c) { child_closes(c, true); });
  suite.add("process.child_exits", [](Case& c) { child_closes(c, false); });
  suite.add("process.child_shuts_down", child_shuts_down);
  suite.add("process.takes_turns", takes_turns);
  suite.add("process.child_connects", child_connects);
  for (const int count : {1, 2, 4})
    suite.add("process.workers." + std::to_string(count), [count](Case& c) { workers(c, count); });
  suite.add("process.epoll_set_is_shared", epoll_set_is_shared);
  suite.add("process.grandchild", grandchild);
  suite.add("process.daemon", detached);
  static constexpr struct {
    const char* name;
    Start how;
  } kStarts[] = {{"exec", Start::kExec}, {"spawn", Start::kSpawn}, {"vfork", Start::kVfork}};
  for (const auto& start : kStarts) {
    suite.add(std::string("process.") + start.name + ".inherits",
              [&start](Case& c) { started_program(c, start.how, "echo", false); });
    suite.add(std::string("process.") + start.name + ".close_on_exec",
              [&start](Case& c) { started_program(c, start.how, "echo", true); });
    suite.add(std::string("process.") + start.name + ".listener",
              [&start](Case& c) { started_program(c, start.how, "accept", false); });
  }
  suite.add("process.becomes_program", becomes_program);
  suite.add("process.standard_streams", standard_streams);
}

}  // namespace xnic::conformance
