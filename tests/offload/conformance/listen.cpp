// SPDX-License-Identifier: Apache-2.0
// Binding, listening and accepting.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void names(Case& c, Family family) {
  uint16_t port = 0;
  const int listener = c.listener(family, 8, port);
  Address own;
  int done = ::getsockname(listener, own.get(), &own.length);
  c.address("getsockname of the listener", done, own);
  const int slot = c.peer.connect(peer_domain(family), port);
  Address from;
  const int fd = ::accept(listener, from.get(), &from.length);
  c.address("accept", fd < 0 ? fd : 0, from);
  c.note("the listener's port %d", own.port() == port);
  Address local, remote;
  done = ::getsockname(fd, local.get(), &local.length);
  c.address("getsockname", done, local);
  done = ::getpeername(fd, remote.get(), &remote.length);
  c.address("getpeername", done, remote);
  c.note("same as accept gave %d, local port is the listener's %d", remote.port() == from.port(), local.port() == port);
  c.note("the peer sees the listener's port %d", c.peer.remote_port(slot) == port);
}

void any_address(Case& c, Family family) {
  const int listener = ::socket(domain(family), SOCK_STREAM, 0);
  Address any;
  any.storage.ss_family = static_cast<sa_family_t>(domain(family));
  any.length = family == Family::kV4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  if (family == Family::kMapped) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(any.storage);
    inet_pton(AF_INET6, "::ffff:0.0.0.0", &v6.sin6_addr);
  }
  c.ret("bind", ::bind(listener, any.get(), any.length));
  c.ret("listen", ::listen(listener, 8));
  Address own;
  const int done = ::getsockname(listener, own.get(), &own.length);
  c.address("getsockname", done, own);
  for (const int from : {AF_INET, AF_INET6}) {
    if (from == AF_INET6 && family == Family::kMapped) continue;
    c.note("the peer over %s: %s", from == AF_INET ? "v4" : "v6", c.peer.try_connect(from, own.port()).c_str());
    c.nonblocking(listener);
    c.settle();
    Address remote;
    const int fd = ::accept(listener, remote.get(), &remote.length);
    c.address("accept", fd < 0 ? fd : 0, remote);
    Address local;
    if (fd >= 0) c.address("getsockname", ::getsockname(fd, local.get(), &local.length), local);
  }
}

void v6_only(Case& c, int only) {
  const int listener = ::socket(AF_INET6, SOCK_STREAM, 0);
  c.ret("IPV6_V6ONLY", ::setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only));
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  c.ret("bind", ::bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any));
  c.ret("listen", ::listen(listener, 8));
  Address own;
  ::getsockname(listener, own.get(), &own.length);
  c.note("over v4: %s", c.peer.try_connect(AF_INET, own.port()).c_str());
  c.note("over v6: %s", c.peer.try_connect(AF_INET6, own.port()).c_str());
}

void in_use(Case& c, bool reuse_address, bool reuse_port) {
  const int on = 1;
  const auto make = [&] {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (reuse_address) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (reuse_port) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    return fd;
  };
  const int first = make(), second = make();
  Address where = c.host(Family::kV4, 0);
  c.ret("first bind", ::bind(first, where.get(), where.length));
  ::getsockname(first, where.get(), &where.length);
  c.ret("second bind", ::bind(second, where.get(), where.length));
  c.ret("first listen", ::listen(first, 4));
  c.ret("second listen", ::listen(second, 4));
  const int third = make();
  c.ret("third bind", ::bind(third, where.get(), where.length));
}

void bind_again_after_close(Case& c, bool reuse) {
  uint16_t port = 0;
  int fd = c.listener(Family::kV4, 4, port);
  const int slot = c.peer.connect(AF_INET, port);
  const int accepted = ::accept(fd, nullptr, nullptr);
  ::close(accepted);  // first, so that the time-wait is here
  c.peer.drain(slot);
  c.peer.close(slot);
  ::close(fd);
  c.settle();
  fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = reuse;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Address where = c.host(Family::kV4, port);
  c.ret("bind", ::bind(fd, where.get(), where.length));
}

void bad_binds(Case& c) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  Address where = c.host(Family::kV4, 0);
  c.ret("length 3", ::bind(fd, where.get(), 3));
  c.ret("length -1", ::bind(fd, where.get(), static_cast<socklen_t>(-1)));
  c.ret("nowhere", ::bind(fd, nullptr, where.length));
  where.storage.ss_family = AF_UNIX;
  c.ret("family UNIX", ::bind(fd, where.get(), where.length));
  where.storage.ss_family = AF_INET6;
  c.ret("family IPv6", ::bind(fd, where.get(), where.length));
  sockaddr_in far{};
  far.sin_family = AF_INET;
  inet_pton(AF_INET, "203.0.113.77", &far.sin_addr);
  c.ret("an address that is not ours", ::bind(fd, reinterpret_cast<sockaddr*>(&far), sizeof far));
  where = c.host(Family::kV4, 0);
  c.ret("good", ::bind(fd, where.get(), where.length));
  c.ret("twice", ::bind(fd, where.get(), where.length));
  const int six = ::socket(AF_INET6, SOCK_STREAM, 0);
  c.ret("IPv4 address on an IPv6 socket", ::bind(six, where.get(), where.length));
}

void unbound_listen(Case& c) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  c.ret("listen", ::listen(fd, 4));
  Address own;
  const int done = ::getsockname(fd, own.get(), &own.length);
  c.address("getsockname", done, own);
  c.note("the peer: %s", c.peer.try_connect(AF_INET, own.port()).c_str());
  c.fd("accept", ::accept(fd, nullptr, nullptr));
}

struct AcceptFlags {
  const char* name;
  int flags;
};
constexpr AcceptFlags kAcceptFlags[] = {
    {"none", 0},  {"nonblock", SOCK_NONBLOCK}, {"cloexec", SOCK_CLOEXEC}, {"both", SOCK_NONBLOCK | SOCK_CLOEXEC},
    {"wrong", 1},
};

void accept_flags(Case& c, int flags, bool listener_nonblocking) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  if (listener_nonblocking) c.nonblocking(listener);
  c.peer.connect(AF_INET, port);
  c.await(listener, POLLIN);
  const int fd = c.fd("accept4", ::accept4(listener, nullptr, nullptr, flags));
  if (fd < 0) return;
  c.note("nonblocking %d close-on-exec %d", (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0,
         (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  if ((flags & SOCK_NONBLOCK) == 0) return;
  char byte;
  c.ret("recv", ::recv(fd, &byte, 1, 0));
}

void socket_flags(Case& c) {
  for (const AcceptFlags& entry : kAcceptFlags) {
    const int fd = c.fd("socket", ::socket(AF_INET, SOCK_STREAM | entry.flags, 0));
    if (fd >= 0)
      c.note("nonblocking %d close-on-exec %d", (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0,
             (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  }
  c.fd("protocol TCP", ::socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
  c.fd("protocol UDP", ::socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  c.fd("protocol 999", ::socket(AF_INET, SOCK_STREAM, 999));
  c.fd("family 99", ::socket(99, SOCK_STREAM, 0));
  c.fd("seqpacket", ::socket(AF_INET, SOCK_SEQPACKET, 0));
  int pair[2];
  c.ret("socketpair", ::socketpair(AF_INET, SOCK_STREAM, 0, pair));
}

void accept_arguments(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  c.nonblocking(listener);
  for (int i = 0; i < 4; ++i) c.peer.connect(AF_INET, port);
  c.await(listener, POLLIN);
  c.settle();
  sockaddr_in from{};
  std::memset(&from, 0xee, sizeof from);
  socklen_t length = 4;
  c.fd("short length", ::accept(listener, reinterpret_cast<sockaddr*>(&from), &length));
  c.note("length %u family %d port untouched %d", static_cast<unsigned>(length), from.sin_family,
         from.sin_addr.s_addr == 0xeeeeeeee);
  length = 0;
  c.fd("length 0", ::accept(listener, reinterpret_cast<sockaddr*>(&from), &length));
  c.note("length %u", static_cast<unsigned>(length));
  c.fd("no length", ::accept(listener, reinterpret_cast<sockaddr*>(&from), nullptr));
  length = static_cast<socklen_t>(-5);
  c.fd("negative length", ::accept(listener, reinterpret_cast<sockaddr*>(&from), &length));
  c.fd("what is left", ::accept(listener, nullptr, nullptr));
  c.fd("and then", ::accept(listener, nullptr, nullptr));
  c.fd("of a file", ::accept(STDOUT_FILENO, nullptr, nullptr));
  c.fd("of -1", ::accept(-1, nullptr, nullptr));
}

// Connections that ended while they waited are still there to be accepted.
void accept_what_has_ended(Case& c, bool by_reset) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  c.nonblocking(listener);
  const int slot = c.peer.connect(AF_INET, port);
  c.peer.send(slot, "last words");
  if (by_reset)
    c.peer.reset(slot);
  else
    c.peer.close(slot);
  c.settle(30);
  const int fd = c.fd("accept", ::accept(listener, nullptr, nullptr));
  if (fd < 0) return;
  c.settle();
  c.poll("poll", fd);
  char bytes[16];
  c.data("recv", ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  c.data("recv", ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
  Address remote;
  const int done = ::getpeername(fd, remote.get(), &remote.length);
  c.address("getpeername", done, remote);
}

void close_with_pending(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  const int slot = c.peer.connect(AF_INET, port);
  c.await(listener, POLLIN);
  c.ret("close", ::close(listener));
  c.note("peer: %s", c.peer.receive(slot, 1).c_str());
  c.note("another: %s", c.peer.try_connect(AF_INET, port).c_str());
}

void shut_down_listener(Case& c, int how) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  c.nonblocking(listener);
  c.ret("shutdown", ::shutdown(listener, how));
  c.poll("poll", listener);
  c.fd("accept", ::accept(listener, nullptr, nullptr));
  c.note("the peer: %s", c.peer.try_connect(AF_INET, port).c_str());
  c.ret("listen again", ::listen(listener, 4));
  c.note("the peer: %s", c.peer.try_connect(AF_INET, port).c_str());
}

void data_before_accept(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  const int slot = c.peer.connect(AF_INET, port);
  c.peer.send(slot, "early");
  const int fd = ::accept(listener, nullptr, nullptr);
  c.await_bytes(fd, 5);
  char bytes[16];
  c.data("recv", ::recv(fd, bytes, sizeof bytes, 0), bytes);
}

void in_order(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 16, port);
  int slots[8];
  for (int& slot : slots) slot = c.peer.connect(AF_INET, port);
  for (const int slot : slots) c.peer.send(slot, std::string(1, static_cast<char>('a' + slot)));
  for (int i = 0; i < 8; ++i) {
    const int fd = ::accept(listener, nullptr, nullptr);
    char byte = 0;
    c.data("recv", ::recv(fd, &byte, 1, 0), &byte);
  }
}

void listen_again(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  c.ret("listen with another backlog", ::listen(listener, 100));
  c.ret("listen(-1)", ::listen(listener, -1));
  c.ret("listen(0)", ::listen(listener, 0));
  c.note("the peer: %s", c.peer.try_connect(AF_INET, port).c_str());
  c.fd("accept", ::accept(listener, nullptr, nullptr));
  const Connection made = c.active();
  c.ret("listen of a connection", ::listen(made.fd, 4));
  c.ret("listen of a file", ::listen(STDOUT_FILENO, 4));
}

void accepted_outlives_listener(Case& c) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  const int slot = c.peer.connect(AF_INET, port);
  const int fd = ::accept(listener, nullptr, nullptr);
  ::close(listener);
  c.peer.send(slot, "still");
  char bytes[8];
  c.data("recv", ::recv(fd, bytes, sizeof bytes, 0), bytes);
}

}  // namespace

void add_listen(Suite& suite) {
  for (const Family family : kFamilies) {
    suite.add(std::string("listen.names.") + name(family), [family](Case& c) { names(c, family); });
    suite.add(std::string("listen.any_address.") + name(family), [family](Case& c) { any_address(c, family); });
  }
  suite.add("listen.v6_only", [](Case& c) { v6_only(c, 1); });
  suite.add("listen.v6_and_v4", [](Case& c) { v6_only(c, 0); });
  suite.add("listen.in_use", [](Case& c) { in_use(c, false, false); });
  suite.add("listen.in_use.reuse_address", [](Case& c) { in_use(c, true, false); });
  suite.add("listen.in_use.reuse_port", [](Case& c) { in_use(c, false, true); });
  suite.add("listen.bind_again_after_close", [](Case& c) { bind_again_after_close(c, false); });
  suite.add("listen.bind_again_after_close.reuse", [](Case& c) { bind_again_after_close(c, true); });
  suite.add("listen.bad_binds", bad_binds);
  suite.add("listen.unbound", unbound_listen);
  for (const AcceptFlags& entry : kAcceptFlags) {
    suite.add(std::string("listen.accept_flags.") + entry.name,
              [&entry](Case& c) { accept_flags(c, entry.flags, false); });
    suite.add(std::string("listen.accept_flags.nonblocking_listener.") + entry.name,
              [&entry](Case& c) { accept_flags(c, entry.flags, true); });
  }
  suite.add("listen.socket_flags", socket_flags);
  suite.add("listen.accept_arguments", accept_arguments);
  suite.add("listen.accept_what_was_closed", [](Case& c) { accept_what_has_ended(c, false); });
  suite.add("listen.accept_what_was_reset", [](Case& c) { accept_what_has_ended(c, true); });
  suite.add("listen.close_with_pending", close_with_pending);
  suite.add("listen.shutdown_read", [](Case& c) { shut_down_listener(c, SHUT_RD); });
  suite.add("listen.shutdown_write", [](Case& c) { shut_down_listener(c, SHUT_WR); });
  suite.add("listen.data_before_accept", data_before_accept);
  suite.add("listen.in_order", in_order);
  suite.add("listen.again", listen_again);
  suite.add("listen.accepted_outlives_listener", accepted_outlives_listener);
}

}  // namespace xnic::conformance
