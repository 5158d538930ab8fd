// SPDX-License-Identifier: Apache-2.0
// epoll: modes × what happens, the errors of epoll_ctl, several sets, nested sets, and sets that mix a socket with
// other descriptors.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

constexpr int kSoonMs = 2000;  // for what must come
constexpr int kQuietMs = 25;   // for what must not

epoll_event event(uint32_t events, uint32_t data) {
  epoll_event made{events, {}};
  made.data.u32 = data;
  return made;
}

void control(Case& c, const char* what, int set, int operation, int fd, uint32_t events, uint32_t data = 1) {
  epoll_event wanted = event(events, data);
  c.ret(what, ::epoll_ctl(set, operation, fd, &wanted));
}

// Waits and writes what came, in the order of the data.
void wait(Case& c, const char* what, int set, int timeout_ms) {
  epoll_event found[8] = {};
  const int n = ::epoll_wait(set, found, 8, timeout_ms);
  if (n < 0) {
    c.ret(what, n);
    return;
  }
  std::string text;
  for (uint32_t data = 0; data < 32; ++data)
    for (int i = 0; i < n; ++i)
      if (found[i].data.u32 == data) text += " " + std::to_string(data) + ":" + epoll_names(found[i].events);
  c.note("%s = %d%s", what, n, text.c_str());
}

struct Mode {
  const char* name;
  uint32_t events;
};
constexpr Mode kModes[] = {
    {"in", EPOLLIN},
    {"in_edge", EPOLLIN | EPOLLET},
    {"in_oneshot", EPOLLIN | EPOLLONESHOT},
    {"in_edge_oneshot", EPOLLIN | EPOLLET | EPOLLONESHOT},
    {"in_exclusive", EPOLLIN | EPOLLEXCLUSIVE},
    {"all", EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP},
    {"all_edge", EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET},
    {"out", EPOLLOUT},
    {"out_edge", EPOLLOUT | EPOLLET},
    {"rdhup", EPOLLRDHUP},
    {"rdhup_edge", EPOLLRDHUP | EPOLLET},
    {"nothing", 0},
    {"band", EPOLLRDNORM | EPOLLRDBAND | EPOLLWRNORM | EPOLLWRBAND | EPOLLMSG},
};

// What happens to the connection, step by step; after each step, two waits.
struct Happening {
  const char* name;
  void (*step)(Case&, const Connection&, int number);  // up to three steps
};

void data_twice(Case& c, const Connection& made, int number) {
  char bytes[8];
  if (number == 0) c.peer.send(made.slot, "abc");
  if (number == 1) c.peer.send(made.slot, "def");
  if (number < 2) c.await_bytes(made.fd, 3 * (number + 1));
  if (number == 2) c.data("recv", ::recv(made.fd, bytes, 8, 0), bytes);
}
void data_read_between(Case& c, const Connection& made, int number) {
  char bytes[8];
  if (number == 1) {
    c.data("recv", ::recv(made.fd, bytes, 2, 0), bytes);
    return;
  }
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
}
void peer_ends(Case& c, const Connection& made, int number) {
  if (number == 0) c.peer.send(made.slot, "abc");
  if (number == 0) c.await_bytes(made.fd, 3);
  if (number == 1) c.peer.shutdown(made.slot, SHUT_WR);
  if (number == 1) c.await(made.fd, POLLRDHUP);
  char byte[4];
  if (number == 2) c.data("recv", ::recv(made.fd, byte, 4, 0), byte);
}
void both_end(Case& c, const Connection& made, int number) {
  if (number == 0) ::shutdown(made.fd, SHUT_WR);
  if (number == 1) c.peer.shutdown(made.slot, SHUT_WR);
  if (number == 1) c.await(made.fd, POLLHUP);
}
void peer_resets(Case& c, const Connection& made, int number) {
  if (number == 0) c.peer.reset(made.slot);
  if (number == 0) c.await(made.fd, POLLERR);
  if (number == 1) c.option("SO_ERROR", made.fd, SOL_SOCKET, SO_ERROR);
}
void rearm(Case& c, const Connection& made, int number) {
  (void)c;
  if (number == 0) c.peer.send(made.slot, "abc");
  if (number == 0) c.await_bytes(made.fd, 3);
}
constexpr Happening kHappenings[] = {
    {"data_twice", data_twice},   {"data_read_between", data_read_between},
    {"peer_ends", peer_ends},     {"both_end", both_end},
    {"peer_resets", peer_resets}, {"rearm", rearm},
};

void modes(Case& c, const Mode& mode, const Happening& happening) {
  const Connection made = c.passive();
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, mode.events, 3);
  wait(c, "at first", set, 0);
  for (int number = 0; number < 3; ++number) {
    happening.step(c, made, number);
    if (happening.step == rearm && number > 0)
      control(c, "MOD", set, EPOLL_CTL_MOD, made.fd, mode.events & ~EPOLLEXCLUSIVE, 4);
    c.settle(5);
    wait(c, "wait", set, 0);
    wait(c, "wait again", set, 0);
  }
}

void errors(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  control(c, "MOD before ADD", set, EPOLL_CTL_MOD, made.fd, EPOLLIN);
  control(c, "DEL before ADD", set, EPOLL_CTL_DEL, made.fd, EPOLLIN);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN);
  control(c, "ADD again", set, EPOLL_CTL_ADD, made.fd, EPOLLIN);
  control(c, "unknown operation", set, 9, made.fd, EPOLLIN);
  control(c, "ADD the set itself", set, EPOLL_CTL_ADD, set, EPOLLIN);
  control(c, "a set that is a socket", made.fd, EPOLL_CTL_ADD, set, EPOLLIN);
  control(c, "a set that is not open", 999, EPOLL_CTL_ADD, made.fd, EPOLLIN);
  control(c, "a descriptor that is not open", set, EPOLL_CTL_ADD, 999, EPOLLIN);
  control(c, "MOD to EXCLUSIVE", set, EPOLL_CTL_MOD, made.fd, EPOLLIN | EPOLLEXCLUSIVE);
  c.ret("DEL without an event", ::epoll_ctl(set, EPOLL_CTL_DEL, made.fd, nullptr));
  control(c, "EXCLUSIVE with ONESHOT", set, EPOLL_CTL_ADD, made.fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT);
  control(c, "EXCLUSIVE", set, EPOLL_CTL_ADD, made.fd, EPOLLIN | EPOLLEXCLUSIVE);
  control(c, "MOD of an EXCLUSIVE one", set, EPOLL_CTL_MOD, made.fd, EPOLLIN);
  epoll_event one;
  c.ret("wait for 0 events", ::epoll_wait(set, &one, 0, 0));
  c.ret("wait for -1 events", ::epoll_wait(set, &one, -1, 0));
  c.ret("wait on a socket", ::epoll_wait(made.fd, &one, 1, 0));
  c.ret("wait on what is not open", ::epoll_wait(999, &one, 1, 0));
}

void mixed(Case& c, bool edge) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  const int flag = ::eventfd(0, EFD_NONBLOCK);
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  const uint32_t mode = edge ? EPOLLIN | EPOLLET : EPOLLIN;
  control(c, "ADD socket", set, EPOLL_CTL_ADD, made.fd, mode, 1);
  control(c, "ADD eventfd", set, EPOLL_CTL_ADD, flag, mode, 2);
  control(c, "ADD pipe", set, EPOLL_CTL_ADD, pipe[0], mode, 3);
  wait(c, "nothing", set, kQuietMs);
  ::eventfd_write(flag, 1);
  wait(c, "eventfd", set, kSoonMs);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  wait(c, "and socket", set, kSoonMs);
  c.ret("write", ::write(pipe[1], "x", 1));
  wait(c, "and pipe", set, kSoonMs);
  eventfd_t value;
  ::eventfd_read(flag, &value);
  wait(c, "no eventfd", set, edge ? kQuietMs : kSoonMs);
  char bytes[8];
  ::recv(made.fd, bytes, 8, 0);
  wait(c, "no socket", set, edge ? kQuietMs : kSoonMs);
}

// Kernel descriptors are not forgotten while a socket is always ready, nor the socket while they are.
void fair(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  const int flag = ::eventfd(1, EFD_NONBLOCK);
  control(c, "ADD socket", set, EPOLL_CTL_ADD, made.fd, EPOLLOUT, 1);
  control(c, "ADD eventfd", set, EPOLL_CTL_ADD, flag, EPOLLIN, 2);
  int seen[3] = {};
  for (int i = 0; i < 100; ++i) {
    epoll_event one;
    if (::epoll_wait(set, &one, 1, kSoonMs) == 1) ++seen[one.data.u32];
  }
  c.note("both are served %d", seen[1] >= 20 && seen[2] >= 20);
}

void many_sockets(Case& c) {
  const int set = ::epoll_create1(0);
  std::vector<Connection> all;
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 32, port);
  for (uint32_t i = 0; i < 20; ++i) {
    const int slot = c.peer.connect(AF_INET, port);
    all.push_back({::accept(listener, nullptr, nullptr), slot});
    epoll_event wanted = event(EPOLLIN, i);
    ::epoll_ctl(set, EPOLL_CTL_ADD, all.back().fd, &wanted);
  }
  for (const uint32_t i : {3, 7, 19}) c.peer.send(all[i].slot, "x");
  for (const uint32_t i : {3, 7, 19}) c.await_bytes(all[i].fd, 1);
  wait(c, "three", set, kSoonMs);
  for (const uint32_t i : {7, 19}) ::close(all[i].fd);
  wait(c, "one", set, kSoonMs);
  epoll_event found[1];
  c.ret("room for one", ::epoll_wait(set, found, 1, kSoonMs));
}

void two_sets(Case& c) {
  const Connection made = c.active();
  const int level = ::epoll_create1(0), edge = ::epoll_create1(0);
  control(c, "ADD", level, EPOLL_CTL_ADD, made.fd, EPOLLIN, 1);
  control(c, "ADD", edge, EPOLL_CTL_ADD, made.fd, EPOLLIN | EPOLLET, 2);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  wait(c, "level", level, kSoonMs);
  wait(c, "edge", edge, kSoonMs);
  wait(c, "level", level, 0);
  wait(c, "edge", edge, 0);
  control(c, "DEL", level, EPOLL_CTL_DEL, made.fd, 0);
  c.peer.send(made.slot, "def");
  c.await_bytes(made.fd, 6);
  wait(c, "level", level, 0);
  wait(c, "edge", edge, kSoonMs);
}

void nested(Case& c, uint32_t mode) {
  const Connection made = c.active();
  const int inner = ::epoll_create1(0), outer = ::epoll_create1(0);
  control(c, "ADD to inner", inner, EPOLL_CTL_ADD, made.fd, EPOLLIN, 1);
  control(c, "ADD inner to outer", outer, EPOLL_CTL_ADD, inner, EPOLLIN | mode, 2);
  wait(c, "outer", outer, kQuietMs);
  c.peer.send(made.slot, "abc");
  wait(c, "outer", outer, kSoonMs);
  wait(c, "inner", inner, kSoonMs);
  c.poll("poll of inner", inner);
  char bytes[8];
  c.data("recv", ::recv(made.fd, bytes, 8, 0), bytes);
  wait(c, "inner", inner, 0);
  wait(c, "outer", outer, 0);
}

void polled(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN);
  c.poll("poll of the set", set, kQuietMs);
  c.peer.later(20).send(made.slot, "abc");
  c.poll("poll of the set", set, kSoonMs);
}

void copies(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  const int copy = ::dup(made.fd);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN, 1);
  control(c, "ADD the copy", set, EPOLL_CTL_ADD, copy, EPOLLIN, 2);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  wait(c, "both", set, kSoonMs);
  ::close(copy);
  wait(c, "the copy is closed, the socket is not", set, kSoonMs);
  ::close(made.fd);
  wait(c, "both are closed", set, kQuietMs);
}

void closed_while_in_set(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN | EPOLLOUT, 1);
  wait(c, "open", set, 0);
  ::close(made.fd);
  wait(c, "closed", set, kQuietMs);
  const Connection next = c.active();
  wait(c, "its number used again", set, kQuietMs);
  control(c, "ADD the new one", set, EPOLL_CTL_ADD, next.fd, EPOLLOUT, 2);
  wait(c, "new", set, kSoonMs);
}

void set_copies(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  const int copy = ::dup(set);
  control(c, "ADD by the copy", copy, EPOLL_CTL_ADD, made.fd, EPOLLIN, 5);
  ::close(copy);
  c.peer.send(made.slot, "abc");
  wait(c, "wait", set, kSoonMs);
}

void added_late(Case& c, uint32_t mode) {
  const Connection made = c.active();
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN | mode, 1);
  wait(c, "what was there", set, kSoonMs);
  wait(c, "again", set, 0);
  control(c, "MOD", set, EPOLL_CTL_MOD, made.fd, EPOLLIN | EPOLLOUT | mode, 2);
  wait(c, "after MOD", set, kSoonMs);
}

void before_connect(Case& c) {
  const int set = ::epoll_create1(0);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  control(c, "ADD", set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET, 1);
  wait(c, "not connected", set, kQuietMs);
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  c.ret("connect", ::connect(fd, where.get(), where.length));
  wait(c, "connected", set, kSoonMs);
  const int slot = c.peer.accept();
  c.peer.send(slot, "hi");
  c.await_bytes(fd, 2);
  wait(c, "data", set, kSoonMs);
}

void listener_in_set(Case& c, uint32_t mode) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  c.nonblocking(listener);
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, listener, EPOLLIN | mode, 1);
  wait(c, "nobody", set, kQuietMs);
  c.peer.connect(AF_INET, port);
  wait(c, "one", set, kSoonMs);
  wait(c, "again", set, 0);
  c.fd("accept", ::accept(listener, nullptr, nullptr));
  wait(c, "accepted", set, 0);
  c.peer.connect(AF_INET, port);
  wait(c, "another", set, kSoonMs);
}

void timeouts(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLIN);
  timespec before, after;
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  wait(c, "50 ms", set, 50);
  ::clock_gettime(CLOCK_MONOTONIC, &after);
  const double ms = 1e3 * static_cast<double>(after.tv_sec - before.tv_sec) +
                    1e-6 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  c.note("not early %d", ms >= 49.5);
  c.peer.later(20).send(made.slot, "x");
  wait(c, "for ever", set, -1);
}

void pwait(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  control(c, "ADD", set, EPOLL_CTL_ADD, made.fd, EPOLLOUT);
  std::signal(SIGUSR1, [](int) {});
  sigset_t blocked, open;
  sigemptyset(&open);
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  epoll_event found[2];
  c.ret("epoll_pwait", ::epoll_pwait(set, found, 2, 100, &open));
  const timespec soon{0, 100'000'000};
  c.ret("epoll_pwait2", ::epoll_pwait2(set, found, 2, &soon, &open));
  control(c, "MOD", set, EPOLL_CTL_MOD, made.fd, EPOLLIN);
  ::raise(SIGUSR1);
  c.ret("epoll_wait with the signal blocked", ::epoll_wait(set, found, 2, 20));
  c.ret("epoll_pwait with the signal open", ::epoll_pwait(set, found, 2, 2000, &open));
}

void timer_and_socket(Case& c) {
  const Connection made = c.active();
  const int set = ::epoll_create1(0);
  const int timer = ::timerfd_create(CLOCK_MONOTONIC, 0);
  control(c, "ADD socket", set, EPOLL_CTL_ADD, made.fd, EPOLLIN, 1);
  control(c, "ADD timer", set, EPOLL_CTL_ADD, timer, EPOLLIN, 2);
  itimerspec when{};
  when.it_value.tv_nsec = 20'000'000;
  ::timerfd_settime(timer, 0, &when, nullptr);
  wait(c, "timer", set, kSoonMs);
}

}  // namespace

void add_epoll(Suite& suite) {
  for (const Mode& mode : kModes)
    for (const Happening& happening : kHappenings)
      suite.add(std::string("epoll.") + mode.name + "." + happening.name,
                [&mode, &happening](Case& c) { modes(c, mode, happening); });
  suite.add("epoll.errors", errors);
  suite.add("epoll.mixed.level", [](Case& c) { mixed(c, false); });
  suite.add("epoll.mixed.edge", [](Case& c) { mixed(c, true); });
  suite.add("epoll.fair", fair);
  suite.add("epoll.many_sockets", many_sockets);
  suite.add("epoll.two_sets", two_sets);
  suite.add("epoll.nested.level", [](Case& c) { nested(c, 0); });
  suite.add("epoll.nested.edge", [](Case& c) { nested(c, EPOLLET); });
  suite.add("epoll.nested.oneshot", [](Case& c) { nested(c, EPOLLONESHOT); });
  suite.add("epoll.polled", polled);
  suite.add("epoll.copies", copies);
  suite.add("epoll.closed_while_in_set", closed_while_in_set);
  suite.add("epoll.set_copies", set_copies);
  suite.add("epoll.added_late.level", [](Case& c) { added_late(c, 0); });
  suite.add("epoll.added_late.edge", [](Case& c) { added_late(c, EPOLLET); });
  suite.add("epoll.added_late.oneshot", [](Case& c) { added_late(c, EPOLLONESHOT); });
  suite.add("epoll.before_connect", before_connect);
  suite.add("epoll.listener.level", [](Case& c) { listener_in_set(c, 0); });
  suite.add("epoll.listener.edge", [](Case& c) { listener_in_set(c, EPOLLET); });
  suite.add("epoll.listener.oneshot", [](Case& c) { listener_in_set(c, EPOLLONESHOT); });
  suite.add("epoll.listener.exclusive", [](Case& c) { listener_in_set(c, EPOLLEXCLUSIVE); });
  suite.add("epoll.timeouts", timeouts);
  suite.add("epoll.pwait", pwait);
  suite.add("epoll.timer_and_socket", timer_and_socket);
}

}  // namespace xnic::conformance
