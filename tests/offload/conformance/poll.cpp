// SPDX-License-Identifier: Apache-2.0
// poll, ppoll, select and pselect over sockets alone and mixed with other descriptors.
#include <fcntl.h>
#include <poll.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "case.hpp"

namespace xnic::conformance {
namespace {

constexpr int kSoonMs = 2000;

struct Asked {
  const char* name;
  short events;
};
constexpr Asked kAsked[] = {
    {"in", POLLIN},         {"out", POLLOUT},       {"pri", POLLPRI},       {"rdhup", POLLRDHUP},   {"nothing", 0},
    {"rdnorm", POLLRDNORM}, {"rdband", POLLRDBAND}, {"wrnorm", POLLWRNORM}, {"wrband", POLLWRBAND},
};

void asked(Case& c, short events) {
  const Connection made = c.active();
  const auto look = [&](const char* what) {
    pollfd one{made.fd, events, 0x7fff};
    const int n = ::poll(&one, 1, 0);
    c.note("%s = %d %s", what, n, poll_names(static_cast<unsigned>(one.revents)).c_str());
  };
  look("connected");
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  look("data");
  c.peer.urgent(made.slot, '!');
  c.await(made.fd, POLLPRI);
  look("urgent");
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await(made.fd, POLLRDHUP);
  look("ended");
  ::shutdown(made.fd, SHUT_WR);
  c.settle();
  look("both ended");
}

void many(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  pollfd all[5] = {
      {made.fd, POLLIN, 0}, {pipe[0], POLLIN, 0}, {-1, POLLIN, 7}, {999, POLLIN, 0}, {made.fd, POLLOUT, 0}};
  const auto look = [&](const char* what, int timeout_ms) {
    const int n = ::poll(all, 5, timeout_ms);
    c.note("%s = %d %s %s %s %s %s", what, n, poll_names(static_cast<unsigned>(all[0].revents)).c_str(),
           poll_names(static_cast<unsigned>(all[1].revents)).c_str(),
           poll_names(static_cast<unsigned>(all[2].revents)).c_str(),
           poll_names(static_cast<unsigned>(all[3].revents)).c_str(),
           poll_names(static_cast<unsigned>(all[4].revents)).c_str());
  };
  look("at first", 0);
  all[3].fd = -1;
  all[4].events = POLLIN;
  look("quiet", 10);
  c.ret("write", ::write(pipe[1], "x", 1));
  look("pipe", kSoonMs);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  look("both", kSoonMs);
}

void waits(Case& c, int timeout_ms) {
  const Connection made = c.active();
  c.peer.later(30).send(made.slot, "abc");
  pollfd one{made.fd, POLLIN, 0};
  const int n = ::poll(&one, 1, timeout_ms);
  c.note("poll = %d %s", n, poll_names(static_cast<unsigned>(one.revents)).c_str());
}

void waits_on_pipe_beside_socket(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  if (::fork() == 0) {
    usleep(20000);
    if (::write(pipe[1], "x", 1) < 0) ::_exit(1);
    ::_exit(0);
  }
  pollfd all[2] = {{made.fd, POLLIN, 0}, {pipe[0], POLLIN, 0}};
  c.note("poll = %d", ::poll(all, 2, kSoonMs));
  c.note("%s %s", poll_names(static_cast<unsigned>(all[0].revents)).c_str(),
         poll_names(static_cast<unsigned>(all[1].revents)).c_str());
}

void ppoll_signal(Case& c) {
  const Connection made = c.active();
  std::signal(SIGUSR1, [](int) {});
  sigset_t blocked, open;
  sigemptyset(&open);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  ::raise(SIGUSR1);
  pollfd one{made.fd, POLLIN, 0};
  const timespec two{2, 0}, little{0, 10'000'000};
  c.ret("ppoll, signal blocked", ::ppoll(&one, 1, &little, nullptr));
  c.ret("ppoll, signal open", ::ppoll(&one, 1, &two, &open));
}

void select_sets(Case& c, bool pselect) {
  const Connection made = c.active();
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  const auto look = [&](const char* what, bool wait) {
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(made.fd, &in);
    FD_SET(pipe[0], &in);
    FD_SET(made.fd, &out);
    if (wait) FD_CLR(made.fd, &out);
    const int top = (made.fd > pipe[0] ? made.fd : pipe[0]) + 1;
    timeval soon{wait ? 2 : 0, 0};
    timespec soon2{wait ? 2 : 0, 0};
    const int n =
        pselect ? ::pselect(top, &in, &out, nullptr, &soon2, nullptr) : ::select(top, &in, &out, nullptr, &soon);
    c.note("%s = %d in %d %d out %d", what, n, FD_ISSET(made.fd, &in) != 0, FD_ISSET(pipe[0], &in) != 0,
           FD_ISSET(made.fd, &out) != 0);
  };
  look("at first", false);
  c.peer.later(20).send(made.slot, "abc");
  look("data", true);
  c.ret("write", ::write(pipe[1], "x", 1));
  look("both", true);
  c.peer.shutdown(made.slot, SHUT_WR);
  c.settle();
  look("ended", false);
}

void select_urgent(Case& c) {
  const Connection made = c.active();
  c.peer.urgent(made.slot, '!');
  c.await(made.fd, POLLPRI);
  fd_set except;
  FD_ZERO(&except);
  FD_SET(made.fd, &except);
  timeval soon{2, 0};
  c.ret("select", ::select(made.fd + 1, nullptr, nullptr, &except, &soon));
  c.note("except %d", FD_ISSET(made.fd, &except) != 0);
}

void select_timeout(Case& c) {
  const Connection made = c.active();
  fd_set in;
  FD_ZERO(&in);
  FD_SET(made.fd, &in);
  timeval little{0, 30000};
  c.ret("select", ::select(made.fd + 1, &in, nullptr, nullptr, &little));
  c.note("set %d, time left %d", FD_ISSET(made.fd, &in) != 0, little.tv_sec != 0 || little.tv_usec != 0);
  FD_SET(made.fd, &in);
  ::close(made.fd);
  c.ret("select of a closed one", ::select(made.fd + 1, &in, nullptr, nullptr, &little));
}

void select_time_left(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "x");
  fd_set in;
  FD_ZERO(&in);
  FD_SET(made.fd, &in);
  timeval much{100, 0};
  c.ret("select", ::select(made.fd + 1, &in, nullptr, nullptr, &much));
  c.note("time left %d", much.tv_sec >= 97);
}

}  // namespace

void add_poll(Suite& suite) {
  for (const Asked& entry : kAsked)
    suite.add(std::string("poll.asked.") + entry.name, [&entry](Case& c) { asked(c, entry.events); });
  suite.add("poll.many", many);
  for (const int timeout : {-1, 2000, 5})
    suite.add("poll.waits." + std::to_string(timeout), [timeout](Case& c) { waits(c, timeout); });
  suite.add("poll.waits_on_pipe_beside_socket", waits_on_pipe_beside_socket);
  suite.add("poll.ppoll_signal", ppoll_signal);
  suite.add("poll.select", [](Case& c) { select_sets(c, false); });
  suite.add("poll.pselect", [](Case& c) { select_sets(c, true); });
  suite.add("poll.select_urgent", select_urgent);
  suite.add("poll.select_timeout", select_timeout);
  suite.add("poll.select_time_left", select_time_left);
}

}  // namespace xnic::conformance
