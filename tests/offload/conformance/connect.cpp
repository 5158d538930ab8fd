// SPDX-License-Identifier: Apache-2.0
// Connecting: families, refusal, the non-blocking way, wrong addresses, names.
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
  const uint16_t port = c.peer.listen(peer_domain(family));
  Address where = c.there(family, port);
  const int fd = ::socket(domain(family), SOCK_STREAM, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int slot = c.peer.accept();
  Address local, remote;
  int done = ::getsockname(fd, local.get(), &local.length);
  c.address("getsockname", done, local);
  done = ::getpeername(fd, remote.get(), &remote.length);
  c.address("getpeername", done, remote);
  c.note("ports agree %d %d", remote.port() == port, c.peer.remote_port(slot) == local.port());
  c.ret("again", ::connect(fd, where.get(), where.length));
}

void from_bound(Case& c, Family family) {
  const int fd = ::socket(domain(family), SOCK_STREAM, 0);
  Address own = c.host(family, 0);
  c.ret("bind", ::bind(fd, own.get(), own.length));
  ::getsockname(fd, own.get(), &own.length);
  Address where = c.there(family, c.peer.listen(peer_domain(family)));
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.note("the bound port is kept %d", c.peer.remote_port(slot) == own.port());
}

void nonblocking(Case& c, Family family) {
  Address where = c.there(family, c.peer.listen(peer_domain(family)));
  const int fd = ::socket(domain(family), SOCK_STREAM | SOCK_NONBLOCK, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.await(fd, POLLOUT);
  c.poll("poll", fd);
  c.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.ret("send", ::send(fd, "hello", 5, 0));
  c.note("peer: %s", c.peer.receive(slot, 5).c_str());
}

void refused(Case& c, Family family, bool blocking) {
  Address where = c.there(family, c.peer.listen(peer_domain(family)));
  c.peer.close_listener();
  const int fd = ::socket(domain(family), SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  if (!blocking) c.await(fd, POLLOUT);
  c.poll("poll", fd);
  char byte;
  c.ret("recv", ::recv(fd, &byte, 1, MSG_DONTWAIT));
  c.option("SO_ERROR", fd, SOL_SOCKET, SO_ERROR);
  c.ret("send", ::send(fd, "x", 1, MSG_NOSIGNAL));
  c.poll("poll", fd);
}

// A socket that was refused may try again.
void refused_then_taken(Case& c) {
  const uint16_t port = c.peer.listen(AF_INET);
  c.peer.close_listener();
  Address nobody = c.there(Family::kV4, port);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  c.ret("connect", ::connect(fd, nobody.get(), nobody.length));
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.ret("send", ::send(fd, "hello", 5, MSG_NOSIGNAL));
  c.note("peer: %s", c.peer.receive(slot, 5).c_str());
}

void disconnect_and_again(Case& c) {
  const Connection made = c.active();
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  c.ret("connect(AF_UNSPEC)", ::connect(made.fd, &nowhere, sizeof nowhere));
  c.note("peer: %s", c.peer.receive(made.slot, 1).c_str());
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  c.ret("connect", ::connect(made.fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.ret("send", ::send(made.fd, "hello", 5, MSG_NOSIGNAL));
  c.note("peer: %s", c.peer.receive(slot, 5).c_str());
}

void wrong_addresses(Case& c) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  Address where = c.there(Family::kV4, 9);
  c.ret("length 3", ::connect(fd, where.get(), 3));
  c.ret("length 1", ::connect(fd, where.get(), 1));
  c.ret("length -1", ::connect(fd, where.get(), static_cast<socklen_t>(-1)));
  c.ret("nowhere", ::connect(fd, nullptr, where.length));
  where.storage.ss_family = AF_INET6;
  c.ret("IPv6 on an IPv4 socket", ::connect(fd, where.get(), sizeof(sockaddr_in6)));
  where.storage.ss_family = 99;
  c.ret("family 99", ::connect(fd, where.get(), where.length));
  const int six = ::socket(AF_INET6, SOCK_STREAM, 0);
  where = c.there(Family::kV4, 9);
  c.ret("IPv4 on an IPv6 socket", ::connect(six, where.get(), where.length));
  where = c.there(Family::kV6, 9);
  c.ret("IPv6 too short", ::connect(six, where.get(), 20));
  c.ret("of a file", ::connect(STDOUT_FILENO, where.get(), where.length));
  c.ret("of -1", ::connect(-1, where.get(), where.length));
}

void v6_only_to_mapped(Case& c) {
  const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  Address where = c.there(Family::kMapped, c.peer.listen(AF_INET));
  c.ret("connect", ::connect(fd, where.get(), where.length));
}

void long_address(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  c.ret("a longer address than needed", ::connect(fd, where.get(), sizeof where.storage));
}

void name_lengths(Case& c) {
  const Connection made = c.active();
  unsigned char bytes[64];
  for (const socklen_t room : {0u, 1u, 4u, 16u, 64u}) {
    std::memset(bytes, 0xee, sizeof bytes);
    socklen_t length = room;
    c.ret("getpeername", ::getpeername(made.fd, reinterpret_cast<sockaddr*>(bytes), &length));
    c.note("room %u length %u, next byte untouched %d", static_cast<unsigned>(room), static_cast<unsigned>(length),
           room < 16 ? bytes[room] == 0xee : 1);
  }
  socklen_t length = static_cast<socklen_t>(-1);
  c.ret("negative", ::getsockname(made.fd, reinterpret_cast<sockaddr*>(bytes), &length));
  length = 16;
  c.ret("nowhere", ::getsockname(made.fd, reinterpret_cast<sockaddr*>(8), &length));
  c.ret("no length", ::getsockname(made.fd, reinterpret_cast<sockaddr*>(bytes), nullptr));
  c.ret("of a file", ::getsockname(STDOUT_FILENO, reinterpret_cast<sockaddr*>(bytes), &length));
}

void names_after(Case& c, bool reset) {
  const Connection made = c.active();
  if (reset)
    c.peer.reset(made.slot);
  else
    c.peer.close(made.slot);
  c.await(made.fd, POLLRDHUP);
  Address local, remote;
  int done = ::getsockname(made.fd, local.get(), &local.length);
  c.address("getsockname", done, local);
  done = ::getpeername(made.fd, remote.get(), &remote.length);
  c.address("getpeername", done, remote);
}

void sent_while_connecting(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET, 0));
  const int filler = ::socket(AF_INET, SOCK_STREAM, 0);
  ::connect(filler, where.get(), where.length);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  c.ret("send", ::send(fd, "x", 1, MSG_NOSIGNAL));
  char byte;
  c.ret("recv", ::recv(fd, &byte, 1, 0));
  c.ret("connect", ::connect(fd, where.get(), where.length));
  Address local;
  const int done = ::getsockname(fd, local.get(), &local.length);
  c.address("getsockname", done, local);
  c.ret("close", ::close(fd));
}

// Loopback stays what it is: a listener of the case itself, reached by the case itself.
void own_loopback(Case& c, bool six) {
  const int listener = ::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  Address where;
  where.storage.ss_family = six ? AF_INET6 : AF_INET;
  where.length = six ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (six)
    reinterpret_cast<sockaddr_in6&>(where.storage).sin6_addr = in6addr_loopback;
  else
    reinterpret_cast<sockaddr_in&>(where.storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c.ret("bind", ::bind(listener, where.get(), where.length));
  c.ret("listen", ::listen(listener, 4));
  ::getsockname(listener, where.get(), &where.length);
  const int fd = ::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int other = c.fd("accept", ::accept(listener, nullptr, nullptr));
  c.ret("send", ::send(fd, "round", 5, 0));
  char bytes[8];
  c.data("recv", ::recv(other, bytes, sizeof bytes, 0), bytes);
}

// The case is both ends, through its own non-loopback address.
void to_itself(Case& c, Family family) {
  uint16_t port = 0;
  const int listener = c.listener(family, 4, port);
  Address where = c.host(family, port);
  const int fd = ::socket(domain(family), SOCK_STREAM, 0);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int other = c.fd("accept", ::accept(listener, nullptr, nullptr));
  c.ret("send", ::send(fd, "round", 5, 0));
  char bytes[8];
  c.data("recv", ::recv(other, bytes, sizeof bytes, 0), bytes);
  ::close(other);
  c.data("recv", ::recv(fd, bytes, sizeof bytes, 0), bytes);
}

}  // namespace

void add_connect(Suite& suite) {
  for (const Family family : kFamilies) {
    const std::string of = std::string(".") + name(family);
    suite.add("connect.names" + of, [family](Case& c) { names(c, family); });
    suite.add("connect.from_bound" + of, [family](Case& c) { from_bound(c, family); });
    suite.add("connect.nonblocking" + of, [family](Case& c) { nonblocking(c, family); });
    suite.add("connect.refused" + of, [family](Case& c) { refused(c, family, true); });
    suite.add("connect.refused_nonblocking" + of, [family](Case& c) { refused(c, family, false); });
    suite.add("connect.to_itself" + of, [family](Case& c) { to_itself(c, family); });
  }
  suite.add("connect.refused_then_taken", refused_then_taken);
  suite.add("connect.disconnect_and_again", disconnect_and_again);
  suite.add("connect.wrong_addresses", wrong_addresses);
  suite.add("connect.v6_only_to_mapped", v6_only_to_mapped);
  suite.add("connect.long_address", long_address);
  suite.add("connect.name_lengths", name_lengths);
  suite.add("connect.names_after_close", [](Case& c) { names_after(c, false); });
  suite.add("connect.names_after_reset", [](Case& c) { names_after(c, true); });
  suite.add("connect.sent_while_connecting", sent_while_connecting);
  suite.add("connect.own_loopback.v4", [](Case& c) { own_loopback(c, false); });
  suite.add("connect.own_loopback.v6", [](Case& c) { own_loopback(c, true); });
}

}  // namespace xnic::conformance
