// SPDX-License-Identifier: Apache-2.0
// Calls that wait: for data, for room, for a connection, until a timeout, until a signal.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

volatile sig_atomic_t alarms = 0;

// SIGALRM after some milliseconds, and then every `again_ms`.
void arm(int after_ms, bool restart, int again_ms = 0) {
  struct sigaction action{};
  action.sa_handler = [](int) { alarms = alarms + 1; };
  action.sa_flags = restart ? SA_RESTART : 0;
  ::sigaction(SIGALRM, &action, nullptr);
  ::alarm(0);
  itimerval timer{{0, again_ms * 1000}, {0, after_ms * 1000}};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

struct Call {
  const char* name;
  long (*call)(int fd);
};

char buffer[64];
long by_recv(int fd) { return ::recv(fd, buffer, 8, 0); }
long by_read(int fd) { return ::read(fd, buffer, 8); }
long by_recvfrom(int fd) { return ::recvfrom(fd, buffer, 8, 0, nullptr, nullptr); }
long by_readv(int fd) {
  iovec part{buffer, 8};
  return ::readv(fd, &part, 1);
}
long by_recvmsg(int fd) {
  iovec part{buffer, 8};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return ::recvmsg(fd, &message, 0);
}
long by_peek(int fd) { return ::recv(fd, buffer, 8, MSG_PEEK); }
long by_waitall(int fd) { return ::recv(fd, buffer, 5, MSG_WAITALL); }
constexpr Call kReads[] = {
    {"recv", by_recv},       {"read", by_read}, {"recvfrom", by_recvfrom}, {"readv", by_readv},
    {"recvmsg", by_recvmsg}, {"peek", by_peek}, {"waitall", by_waitall},
};
long by_poll(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 2000);
}
long by_select(int fd) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(fd, &in);
  timeval two{2, 0};
  return ::select(fd + 1, &in, nullptr, nullptr, &two);
}
long by_epoll(int fd) {
  const int set = ::epoll_create1(0);
  epoll_event event{EPOLLIN, {}};
  ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
  const long n = ::epoll_wait(set, &event, 1, 2000);
  const int saved = errno;
  ::close(set);
  errno = saved;
  return n;
}
constexpr Call kWaits[] = {{"poll", by_poll}, {"select", by_select}, {"epoll", by_epoll}};

void interrupted(Case& c, const Call& call, bool restart) {
  const Connection made = c.active();
  alarms = 0;
  c.peer.later(80).send(made.slot, "abcde");
  arm(30, restart);
  c.ret(call.name, call.call(made.fd));
  c.note("signals %d", static_cast<int>(alarms));
}

void interrupted_with_timeout(Case& c, const Call& call, bool restart) {
  const Connection made = c.active();
  const timeval half{0, 500'000};
  ::setsockopt(made.fd, SOL_SOCKET, SO_RCVTIMEO, &half, sizeof half);
  alarms = 0;
  c.peer.later(80).send(made.slot, "abcde");
  arm(30, restart);
  c.ret(call.name, call.call(made.fd));
  c.note("signals %d", static_cast<int>(alarms));
}

void timed_out(Case& c, const Call& call) {
  const Connection made = c.active();
  const timeval little{0, 40'000};
  c.ret("SO_RCVTIMEO", ::setsockopt(made.fd, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little));
  timespec before, after;
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  c.ret(call.name, call.call(made.fd));
  ::clock_gettime(CLOCK_MONOTONIC, &after);
  const double ms = 1e3 * static_cast<double>(after.tv_sec - before.tv_sec) +
                    1e-6 * static_cast<double>(after.tv_nsec - before.tv_nsec);
  c.note("not early %d, not very late %d", ms > 35, ms < 1500);
}

void waits_for(Case& c, const Call& call, bool end) {
  const Connection made = c.passive();
  if (end)
    c.peer.later(25).shutdown(made.slot, SHUT_WR);
  else
    c.peer.later(25).send(made.slot, "abcde");
  const long n = call.call(made.fd);
  c.data(call.name, n, buffer);
}

void waits_for_reset(Case& c, const Call& call) {
  const Connection made = c.passive();
  c.peer.later(25).reset(made.slot);
  c.ret(call.name, call.call(made.fd));
  c.option("SO_ERROR", made.fd, SOL_SOCKET, SO_ERROR);
  c.ret("again", ::recv(made.fd, buffer, 8, 0));
}

void accept_waits(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  c.peer.later(30).connect(AF_INET, port);
  c.fd("accept", ::accept(listener, nullptr, nullptr));
}

void accept_timed_out(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  const timeval little{0, 40'000};
  ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &little, sizeof little);
  c.fd("accept", ::accept(listener, nullptr, nullptr));
}

void accept_interrupted(Case& c, bool restart) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 8, port);
  c.peer.later(80).connect(AF_INET, port);
  alarms = 0;
  arm(30, restart);
  c.fd("accept", ::accept(listener, nullptr, nullptr));
  c.note("signals %d", static_cast<int>(alarms));
}

// Fills the socket's buffers and the peer's, until not even a small piece has found room for a while.
void fill(int fd) {
  static char bytes[65536];
  for (int quiet = 0; quiet < 4;) {
    while (::send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) quiet = 0;
    if (::send(fd, bytes, 64, MSG_DONTWAIT) > 0) quiet = 0;
    ++quiet;
    usleep(25000);
  }
}

void send_timed_out(Case& c) {
  const Connection made = c.active();
  const timeval little{0, 40'000};
  c.ret("SO_SNDTIMEO", ::setsockopt(made.fd, SOL_SOCKET, SO_SNDTIMEO, &little, sizeof little));
  fill(made.fd);
  c.ret("send", ::send(made.fd, buffer, sizeof buffer, 0));
}

void send_interrupted(Case& c, bool restart) {
  const Connection made = c.active();
  fill(made.fd);
  alarms = 0;
  if (restart) c.peer.later(150).drain(made.slot);
  arm(40, restart);
  c.ret("send", ::send(made.fd, buffer, sizeof buffer, 0));
  c.note("signals %d", static_cast<int>(alarms));
  ::shutdown(made.fd, SHUT_WR);
}

void send_waits_for_room(Case& c) {
  const Connection made = c.active();
  fill(made.fd);
  c.peer.later(40).drain(made.slot);
  c.ret("send", ::send(made.fd, buffer, sizeof buffer, 0));
  ::shutdown(made.fd, SHUT_WR);
}

void send_waits_and_is_reset(Case& c) {
  const Connection made = c.active();
  fill(made.fd);
  c.peer.later(40).reset(made.slot);
  c.ret("send", ::send(made.fd, buffer, sizeof buffer, MSG_NOSIGNAL));
  c.ret("send", ::send(made.fd, buffer, sizeof buffer, MSG_NOSIGNAL));
}

// A blocking send of more than fits is whole when it returns, whatever signals come with SA_RESTART in between.
void large_send(Case& c, bool signals) {
  const Connection made = c.active();
  std::vector<char> bytes(8 << 20);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(pattern(i));
  c.peer.later(30).drain(made.slot);
  if (signals) arm(3, true, 3);
  size_t done = 0;
  int calls = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::send(made.fd, bytes.data() + done, bytes.size() - done, 0);
    if (n < 0) break;
    done += static_cast<size_t>(n);
    ++calls;
  }
  itimerval off{};
  ::setitimer(ITIMER_REAL, &off, nullptr);
  c.note("sent %zu%s", done, signals || calls == 1 ? "" : " not at once");
  ::shutdown(made.fd, SHUT_WR);
  c.note("peer: %s", c.peer.result().c_str());
}

void connect_interrupted(Case& c) {
  // The peer's queue is full, so that connect waits.
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET, 0));
  const int filler = ::socket(AF_INET, SOCK_STREAM, 0);
  ::connect(filler, where.get(), where.length);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  alarms = 0;
  arm(30, false);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.nonblocking(fd);
  c.ret("connect again", ::connect(fd, where.get(), where.length));
  c.poll("poll", fd);
}

void connect_timed_out(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET, 0));
  const int filler = ::socket(AF_INET, SOCK_STREAM, 0);
  ::connect(filler, where.get(), where.length);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const timeval little{0, 40'000};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &little, sizeof little);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.ret("connect again", ::connect(fd, where.get(), where.length));
}

void handler_uses_sockets(Case& c) {
  static int fd;
  const Connection made = c.active();
  fd = made.fd;
  struct sigaction action{};
  action.sa_handler = [](int) {
    if (::write(fd, "from the handler", 16) != 16) ::_exit(9);
  };
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGUSR1, &action, nullptr);
  ::raise(SIGUSR1);
  c.note("peer: %s", c.peer.receive(made.slot, 16).c_str());
}

void timeout_options(Case& c) {
  const Connection made = c.active();
  const timeval wrong{0, 1'000'000}, negative{-1, 0}, precise{3, 250'000}, zero{0, 0};
  c.ret("a million microseconds", ::setsockopt(made.fd, SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong));
  c.ret("too short", ::setsockopt(made.fd, SOL_SOCKET, SO_RCVTIMEO, &precise, 4));
  for (const timeval& value : {negative, precise, zero}) {
    c.ret("set", ::setsockopt(made.fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value));
    timeval read{9, 9};
    socklen_t length = sizeof read;
    c.ret("get", ::getsockopt(made.fd, SOL_SOCKET, SO_SNDTIMEO, &read, &length));
    c.note("%ld s %ld us length %u", static_cast<long>(read.tv_sec), static_cast<long>(read.tv_usec),
           static_cast<unsigned>(length));
  }
}

}  // namespace

void add_blocking(Suite& suite) {
  for (const Call& call : kReads) {
    suite.add(std::string("blocking.data.") + call.name, [&call](Case& c) { waits_for(c, call, false); });
    suite.add(std::string("blocking.end.") + call.name, [&call](Case& c) { waits_for(c, call, true); });
    suite.add(std::string("blocking.reset.") + call.name, [&call](Case& c) { waits_for_reset(c, call); });
    suite.add(std::string("blocking.timeout.") + call.name, [&call](Case& c) { timed_out(c, call); });
    suite.add(std::string("blocking.eintr.") + call.name, [&call](Case& c) { interrupted(c, call, false); });
    suite.add(std::string("blocking.restart.") + call.name, [&call](Case& c) { interrupted(c, call, true); });
    suite.add(std::string("blocking.timeout_restart.") + call.name,
              [&call](Case& c) { interrupted_with_timeout(c, call, true); });
  }
  for (const Call& call : kWaits) {
    suite.add(std::string("blocking.eintr.") + call.name, [&call](Case& c) { interrupted(c, call, false); });
    suite.add(std::string("blocking.restart.") + call.name, [&call](Case& c) { interrupted(c, call, true); });
  }
  suite.add("blocking.accept", accept_waits);
  suite.add("blocking.timeout.accept", accept_timed_out);
  suite.add("blocking.eintr.accept", [](Case& c) { accept_interrupted(c, false); });
  suite.add("blocking.restart.accept", [](Case& c) { accept_interrupted(c, true); });
  suite.add("blocking.timeout.send", send_timed_out);
  suite.add("blocking.eintr.send", [](Case& c) { send_interrupted(c, false); });
  suite.add("blocking.restart.send", [](Case& c) { send_interrupted(c, true); });
  suite.add("blocking.room.send", send_waits_for_room);
  suite.add("blocking.reset.send", send_waits_and_is_reset);
  suite.add("blocking.large_send", [](Case& c) { large_send(c, false); });
  suite.add("blocking.large_send_signals", [](Case& c) { large_send(c, true); });
  suite.add("blocking.eintr.connect", connect_interrupted);
  suite.add("blocking.timeout.connect", connect_timed_out);
  suite.add("blocking.handler_uses_sockets", handler_uses_sockets);
  suite.add("blocking.timeout_options", timeout_options);
}

}  // namespace xnic::conformance
