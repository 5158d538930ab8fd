// SPDX-License-Identifier: Apache-2.0
// The end of a connection: half-closes, close with unread data, linger, resets, and what is left for either side.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void half_close_then_receive(Case& c, Family family) {
  const Connection made = c.active(family);
  c.ret("send", ::send(made.fd, "request", 7, 0));
  c.ret("shutdown", ::shutdown(made.fd, SHUT_WR));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  c.peer.send(made.slot, "reply");
  c.peer.close(made.slot);
  char bytes[16];
  c.data("recv", ::recv(made.fd, bytes, 5, MSG_WAITALL), bytes);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, 0), bytes);
}

void half_closed_by_peer_then_send(Case& c, Family family) {
  const Connection made = c.passive(family);
  c.peer.shutdown(made.slot, SHUT_WR);
  char bytes[16];
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, 0), bytes);
  for (int i = 0; i < 3; ++i) c.ret("send", ::send(made.fd, "more", 4, 0));
  c.ret("close", ::close(made.fd));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void close_with_unread(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "never read");
  c.await_bytes(made.fd, 10);
  c.ret("close", ::close(made.fd));
  c.note("peer: %s", c.peer.receive(made.slot, 1).c_str());
}

void close_then_data(Case& c) {
  const Connection made = c.active();
  c.ret("send", ::send(made.fd, "bye", 3, 0));
  c.ret("close", ::close(made.fd));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  c.peer.send(made.slot, "too late");
  c.settle();
  c.note("peer: %s", c.peer.receive(made.slot, 1).c_str());
}

void linger_zero(Case& c, bool with_unsent) {
  const Connection made = c.active();
  const linger abort{1, 0};
  c.ret("SO_LINGER", ::setsockopt(made.fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort));
  if (with_unsent) c.ret("send", ::send(made.fd, "lost?", 5, 0));
  c.settle();
  c.ret("close", ::close(made.fd));
  c.note("peer: %s", c.peer.receive(made.slot, 10).c_str());
}

double now_ms() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return 1e3 * static_cast<double>(now.tv_sec) + 1e-6 * static_cast<double>(now.tv_nsec);
}

// A peer that doesn't read: close() waits for the linger time.
void linger_waits(Case& c, bool peer_reads) {
  const Connection made = c.active();
  c.nonblocking(made.fd);
  std::vector<char> bytes(65536);
  for (int quiet = 0; quiet < 3;) {
    if (::send(made.fd, bytes.data(), bytes.size(), 0) > 0) {
      quiet = 0;
      continue;
    }
    ++quiet;
    c.settle(10);
  }
  ::fcntl(made.fd, F_SETFL, 0);
  const linger second{1, 1};
  c.ret("SO_LINGER", ::setsockopt(made.fd, SOL_SOCKET, SO_LINGER, &second, sizeof second));
  if (peer_reads) c.peer.later(50).drain(made.slot);
  const double before = now_ms();
  c.ret("close", ::close(made.fd));
  const double took = now_ms() - before;
  c.note("waited a second %d, waited at all %d", took > 950, took > 20);
}

void shut_twice(Case& c, int first, int second) {
  const Connection made = c.active();
  c.ret("shutdown", ::shutdown(made.fd, first));
  c.ret("shutdown", ::shutdown(made.fd, second));
  c.settle();
  c.poll("poll", made.fd);
  char byte;
  c.ret("recv", ::recv(made.fd, &byte, 1, MSG_DONTWAIT));
  c.ret("send", ::send(made.fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT));
  ::close(made.fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void shut_read_then_data(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "before");
  c.await_bytes(made.fd, 6);
  c.ret("shutdown", ::shutdown(made.fd, SHUT_RD));
  char bytes[32];
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  c.peer.send(made.slot, "after");
  c.settle();
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
}

void reset_sequence(Case& c, bool error_first) {
  std::signal(SIGPIPE, SIG_IGN);
  const Connection made = c.active();
  c.peer.reset(made.slot);
  c.await(made.fd, POLLERR);
  char byte;
  if (error_first) c.option("SO_ERROR", made.fd, SOL_SOCKET, SO_ERROR);
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
  c.ret("send", ::send(made.fd, "x", 1, 0));
  c.option("SO_ERROR", made.fd, SOL_SOCKET, SO_ERROR);
  c.poll("poll", made.fd);
  c.ret("shutdown", ::shutdown(made.fd, SHUT_RDWR));
}

void reset_seen_by_send(Case& c) {
  const Connection made = c.active();
  c.peer.reset(made.slot);
  c.await(made.fd, POLLERR);
  c.ret("send", ::send(made.fd, "x", 1, MSG_NOSIGNAL));
  c.ret("send", ::send(made.fd, "x", 1, MSG_NOSIGNAL));
  char byte;
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
}

void closed_descriptor(Case& c) {
  const Connection made = c.active();
  c.ret("close", ::close(made.fd));
  c.ret("close again", ::close(made.fd));
  char byte;
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
  c.ret("send", ::send(made.fd, "x", 1, 0));
  c.ret("shutdown", ::shutdown(made.fd, SHUT_WR));
  c.poll("poll", made.fd);
  c.ret("fcntl", ::fcntl(made.fd, F_GETFL));
}

void many_opens_and_closes(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 16, port);
  int good = 0;
  for (int i = 0; i < 50; ++i) {
    const int slot = c.peer.connect(AF_INET, port);
    const int fd = ::accept(listener, nullptr, nullptr);
    const std::string text = "round " + std::to_string(i);
    ::send(fd, text.data(), text.size(), 0);
    ::close(fd);
    good += c.peer.drain(slot) == "\"" + text + "\" end";
    c.peer.close(slot);
  }
  c.note("good %d", good);
}

// Everything that was sent before the close arrives.
void close_flushes(Case& c, size_t count) {
  const Connection made = c.active();
  std::vector<char> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(pattern(i));
  c.peer.later(30).drain(made.slot);
  c.ret("send", ::send(made.fd, bytes.data(), count, 0));
  c.ret("close", ::close(made.fd));
  c.note("peer: %s", c.peer.result().c_str());
}

void exit_flushes(Case& c, bool by_signal) {
  const Connection made = c.active();
  const pid_t child = ::fork();
  if (child == 0) {
    if (::send(made.fd, "from the child", 14, 0) != 14) ::_exit(1);
    if (by_signal) ::raise(SIGKILL);
    ::_exit(0);
  }
  ::close(made.fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

}  // namespace

void add_close(Suite& suite) {
  for (const Family family : kFamilies) {
    suite.add(std::string("close.half_then_receive.") + name(family),
              [family](Case& c) { half_close_then_receive(c, family); });
    suite.add(std::string("close.half_by_peer_then_send.") + name(family),
              [family](Case& c) { half_closed_by_peer_then_send(c, family); });
  }
  suite.add("close.with_unread", close_with_unread);
  suite.add("close.then_data", close_then_data);
  suite.add("close.linger_zero", [](Case& c) { linger_zero(c, false); });
  suite.add("close.linger_zero_after_send", [](Case& c) { linger_zero(c, true); });
  suite.add("close.linger_waits", [](Case& c) { linger_waits(c, false); });
  suite.add("close.linger_until_read", [](Case& c) { linger_waits(c, true); });
  static constexpr const char* kHow[] = {"read", "write", "both"};
  for (int first = 0; first < 3; ++first)
    for (int second = 0; second < 3; ++second)
      suite.add(std::string("close.shutdown_") + kHow[first] + "_then_" + kHow[second],
                [first, second](Case& c) { shut_twice(c, first, second); });
  suite.add("close.shut_read_then_data", shut_read_then_data);
  suite.add("close.reset_sequence", [](Case& c) { reset_sequence(c, false); });
  suite.add("close.reset_sequence_error_first", [](Case& c) { reset_sequence(c, true); });
  suite.add("close.reset_seen_by_send", reset_seen_by_send);
  suite.add("close.closed_descriptor", closed_descriptor);
  suite.add("close.many_opens_and_closes", many_opens_and_closes);
  for (const size_t count : {size_t{1}, size_t{100'000}, size_t{2'000'000}})
    suite.add("close.flushes." + std::to_string(count), [count](Case& c) { close_flushes(c, count); });
  suite.add("close.exit_flushes", [](Case& c) { exit_flushes(c, false); });
  suite.add("close.kill_flushes", [](Case& c) { exit_flushes(c, true); });
}

}  // namespace xnic::conformance
