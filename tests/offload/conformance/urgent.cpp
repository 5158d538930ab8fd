// SPDX-License-Identifier: Apache-2.0
// Urgent data, both ways, out of line and in line.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void mark(Case& c, int fd) {
  int value = -1;
  ::ioctl(fd, SIOCATMARK, &value);
  c.note("at the mark %d, sockatmark %d", value, ::sockatmark(fd));
}

void received(Case& c, bool in_line) {
  const Connection made = c.active();
  const int on = in_line;
  ::setsockopt(made.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  c.peer.urgent(made.slot, '!');
  c.await(made.fd, POLLPRI);
  c.peer.send(made.slot, "def");
  c.await_bytes(made.fd, 6);
  c.settle();
  c.poll("poll", made.fd);
  char bytes[16];
  mark(c, made.fd);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  mark(c, made.fd);
  c.data("recv(OOB)", ::recv(made.fd, bytes, 4, MSG_OOB), bytes);
  c.data("recv(OOB) again", ::recv(made.fd, bytes, 4, MSG_OOB), bytes);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  mark(c, made.fd);
  c.poll("poll", made.fd);
}

void urgent_first(Case& c) {
  const Connection made = c.active();
  c.peer.urgent(made.slot, '!');
  c.await(made.fd, POLLPRI);
  char bytes[16];
  mark(c, made.fd);
  c.data("recv(OOB|PEEK)", ::recv(made.fd, bytes, 1, MSG_OOB | MSG_PEEK), bytes);
  c.data("recv(OOB)", ::recv(made.fd, bytes, 1, MSG_OOB), bytes);
  c.data("recv", ::recv(made.fd, bytes, 4, MSG_DONTWAIT), bytes);
}

void none(Case& c) {
  const Connection made = c.active();
  char byte;
  c.ret("recv(OOB)", ::recv(made.fd, &byte, 1, MSG_OOB));
  c.ret("recv(OOB|DONTWAIT)", ::recv(made.fd, &byte, 1, MSG_OOB | MSG_DONTWAIT));
  mark(c, made.fd);
}

void newer_replaces(Case& c) {
  const Connection made = c.active();
  c.peer.urgent(made.slot, '1');
  c.await(made.fd, POLLPRI);
  c.peer.urgent(made.slot, '2');
  c.settle();
  char bytes[16];
  c.data("recv(OOB)", ::recv(made.fd, bytes, 1, MSG_OOB), bytes);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
}

void sent(Case& c) {
  const Connection made = c.active();
  c.ret("send", ::send(made.fd, "abc", 3, 0));
  c.ret("send(OOB)", ::send(made.fd, "x!", 2, MSG_OOB));
  c.settle();
  c.note("peer: %s", c.peer.urgent_received(made.slot).c_str());
  c.note("peer: %s", c.peer.receive(made.slot, 4).c_str());
}

void owner_signal(Case& c) {
  static volatile sig_atomic_t signals;
  signals = 0;
  std::signal(SIGURG, [](int) { signals = signals + 1; });
  const Connection made = c.active();
  c.ret("F_SETOWN", ::fcntl(made.fd, F_SETOWN, ::getpid()));
  c.note("F_GETOWN %d", ::fcntl(made.fd, F_GETOWN) == ::getpid());
  c.peer.urgent(made.slot, '!');
  c.await(made.fd, POLLPRI);
  c.settle();
  c.note("SIGURG %d", static_cast<int>(signals));
}

}  // namespace

void add_urgent(Suite& suite) {
  suite.add("urgent.out_of_line", [](Case& c) { received(c, false); });
  suite.add("urgent.in_line", [](Case& c) { received(c, true); });
  suite.add("urgent.first", urgent_first);
  suite.add("urgent.none", none);
  suite.add("urgent.newer_replaces", newer_replaces);
  suite.add("urgent.sent", sent);
  suite.add("urgent.owner_signal", owner_signal);
}

}  // namespace xnic::conformance
