// SPDX-License-Identifier: Apache-2.0
// Socket options: for each one its default, what is read back after setting, odd lengths, and whether accept() hands it
// on; before and after the connection is there.
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

struct Option {
  const char* name;
  int level;
  int option;
  int values[3];  // to set, one after the other
};
constexpr Option kOptions[] = {
    {"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, {1, 0, 7}},
    {"SO_REUSEADDR", SOL_SOCKET, SO_REUSEADDR, {1, 0, 5}},
    {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, {1, 0, 5}},
    {"SO_SNDBUF", SOL_SOCKET, SO_SNDBUF, {10000, 100000, 1}},
    {"SO_RCVBUF", SOL_SOCKET, SO_RCVBUF, {10000, 100000, 1}},
    {"SO_OOBINLINE", SOL_SOCKET, SO_OOBINLINE, {1, 0, 3}},
    {"SO_RCVLOWAT", SOL_SOCKET, SO_RCVLOWAT, {10, 0, -5}},
    {"SO_SNDLOWAT", SOL_SOCKET, SO_SNDLOWAT, {10, 0, 1}},
    {"SO_PRIORITY", SOL_SOCKET, SO_PRIORITY, {3, 0, 6}},
    {"SO_DONTROUTE", SOL_SOCKET, SO_DONTROUTE, {1, 0, 1}},
    {"SO_BROADCAST", SOL_SOCKET, SO_BROADCAST, {1, 0, 1}},
    {"SO_NO_CHECK", SOL_SOCKET, SO_NO_CHECK, {1, 0, 1}},
    {"SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, {1, 0, 1}},
    {"SO_BUSY_POLL", SOL_SOCKET, SO_BUSY_POLL, {0, 50, 0}},
    {"SO_ERROR", SOL_SOCKET, SO_ERROR, {0, 1, 2}},
    {"SO_TYPE", SOL_SOCKET, SO_TYPE, {1, 2, 3}},
    {"SO_ACCEPTCONN", SOL_SOCKET, SO_ACCEPTCONN, {1, 0, 1}},
    {"SO_INCOMING_CPU_set", SOL_SOCKET, SO_MARK, {0, 5, 0}},
    {"SO_RXQ_OVFL", SOL_SOCKET, SO_RXQ_OVFL, {1, 0, 1}},
    {"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, {1, 0, 9}},
    {"TCP_MAXSEG", IPPROTO_TCP, TCP_MAXSEG, {1000, 20, 40000}},
    {"TCP_CORK", IPPROTO_TCP, TCP_CORK, {1, 0, 2}},
    {"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, {10, 0, 40000}},
    {"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, {5, 0, 40000}},
    {"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, {3, 0, 200}},
    {"TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, {3, 0, 300}},
    {"TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, {10, -1, 1000}},
    {"TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, {5, 0, 30}},
    {"TCP_WINDOW_CLAMP", IPPROTO_TCP, TCP_WINDOW_CLAMP, {30000, 1, 60000}},
    {"TCP_QUICKACK", IPPROTO_TCP, TCP_QUICKACK, {1, 0, 1}},
    {"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, {5000, 0, -1}},
    {"TCP_FASTOPEN", IPPROTO_TCP, TCP_FASTOPEN, {5, 0, 1}},
    {"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, {16384, 0, 1}},
    {"TCP_INQ", IPPROTO_TCP, TCP_INQ, {1, 0, 2}},
    {"TCP_THIN_LINEAR_TIMEOUTS", IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, {1, 0, 2}},
    {"unknown_socket_option", SOL_SOCKET, 9999, {1, 0, 2}},
    {"unknown_tcp_option", IPPROTO_TCP, 9999, {1, 0, 2}},
    {"unknown_level", 9999, 1, {1, 0, 2}},
    {"IP_TOS", IPPROTO_IP, IP_TOS, {16, 0, 255}},
    {"IP_TTL", IPPROTO_IP, IP_TTL, {40, 0, 255}},
    {"IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER, {IP_PMTUDISC_DO, IP_PMTUDISC_DONT, 77}},
    {"IP_RECVERR", IPPROTO_IP, IP_RECVERR, {1, 0, 1}},
    {"IP_FREEBIND", IPPROTO_IP, IP_FREEBIND, {1, 0, 1}},
};

void set_and_get(Case& c, const Option& option, int fd) {
  c.option("default", fd, option.level, option.option);
  for (const int value : option.values) {
    c.note("to %d:", value);
    c.ret("set", ::setsockopt(fd, option.level, option.option, &value, sizeof value));
    c.option("get", fd, option.level, option.option);
  }
}

// SO_RCVBUF of a connected socket is tuned by the kernel, so its default there is not comparable.
bool tuned(const Option& option) {
  return option.level == SOL_SOCKET && (option.option == SO_RCVBUF || option.option == SO_SNDBUF);
}

void on_connection(Case& c, const Option& option) {
  const Connection made = c.active();
  if (!tuned(option)) {
    set_and_get(c, option, made.fd);
  } else {
    for (const int value : option.values) {
      c.ret("set", ::setsockopt(made.fd, option.level, option.option, &value, sizeof value));
      c.option("get", made.fd, option.level, option.option);
    }
  }
  c.ret("send", ::send(made.fd, "still here", 10, MSG_NOSIGNAL));
  const int off = 0;
  ::setsockopt(made.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
  c.note("peer: %s", c.peer.receive(made.slot, 10).c_str());
}

void odd_lengths(Case& c, const Option& option) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int value = option.values[0];
  c.ret("set of 1 byte", ::setsockopt(fd, option.level, option.option, &value, 1));
  c.ret("set of 0 bytes", ::setsockopt(fd, option.level, option.option, &value, 0));
  c.ret("set from nowhere", ::setsockopt(fd, option.level, option.option, nullptr, sizeof value));
  long longer = value;
  c.ret("set of 8 bytes", ::setsockopt(fd, option.level, option.option, &longer, sizeof longer));
  unsigned char bytes[16];
  std::memset(bytes, 0xee, sizeof bytes);
  socklen_t length = 1;
  c.ret("get of 1 byte", ::getsockopt(fd, option.level, option.option, bytes, &length));
  c.note("length %u", static_cast<unsigned>(length));
  length = sizeof bytes;
  c.ret("get of 16 bytes", ::getsockopt(fd, option.level, option.option, bytes, &length));
  c.note("length %u", static_cast<unsigned>(length));
}

// What a listener had when the connection came, the accepted socket has.
void inherited(Case& c, const Option& option) {
  uint16_t port = 0;
  const int listener = c.listener(Family::kV4, 4, port);
  const int value = option.values[0];
  if (option.level == IPPROTO_TCP && option.option == TCP_DEFER_ACCEPT) return;
  c.ret("set", ::setsockopt(listener, option.level, option.option, &value, sizeof value));
  const int slot = c.peer.connect(AF_INET, port);
  const int fd = ::accept(listener, nullptr, nullptr);
  c.note("slot %d", slot >= 0);
  c.option("accepted", fd, option.level, option.option);
}

void v6_option(Case& c, int option, const char* what) {
  const int fd = ::socket(AF_INET6, SOCK_STREAM, 0);
  c.option(what, fd, IPPROTO_IPV6, option);
  for (const int value : {1, 0}) {
    c.ret("set", ::setsockopt(fd, IPPROTO_IPV6, option, &value, sizeof value));
    c.option(what, fd, IPPROTO_IPV6, option);
  }
  uint16_t port = 0;
  const int listener = c.listener(Family::kV6, 4, port);
  const int on = 1;
  c.ret("set on a bound one", ::setsockopt(listener, IPPROTO_IPV6, option, &on, sizeof on));
}

void linger_option(Case& c) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const linger values[] = {{1, 5}, {0, 0}, {1, 0}, {1, -1}, {7, 3}};
  for (const linger& value : values) {
    c.ret("set", ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
    linger read{9, 9};
    socklen_t length = sizeof read;
    c.ret("get", ::getsockopt(fd, SOL_SOCKET, SO_LINGER, &read, &length));
    c.note("on %d time %d length %u", read.l_onoff, read.l_linger, static_cast<unsigned>(length));
  }
  c.ret("too short", ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &values[0], 4));
}

void congestion(Case& c) {
  const Connection made = c.active();
  char name[32] = "";
  socklen_t length = sizeof name;
  c.ret("get", ::getsockopt(made.fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  c.note("%s length %u", name, static_cast<unsigned>(length));
  c.ret("set reno", ::setsockopt(made.fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  length = sizeof name;
  c.ret("get", ::getsockopt(made.fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  c.note("%s length %u", name, static_cast<unsigned>(length));
  c.ret("set unknown", ::setsockopt(made.fd, IPPROTO_TCP, TCP_CONGESTION, "no-such", 7));
  length = 3;
  c.ret("get 3 bytes", ::getsockopt(made.fd, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  c.note("length %u", static_cast<unsigned>(length));
}

void info(Case& c) {
  const Connection made = c.active();
  c.ret("send", ::send(made.fd, "hello", 5, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
  c.settle();
  tcp_info info{};
  socklen_t length = sizeof info;
  c.ret("TCP_INFO", ::getsockopt(made.fd, IPPROTO_TCP, TCP_INFO, &info, &length));
  c.note("length %u state %d unacked %u mss %d rtt %d window %d", static_cast<unsigned>(length), info.tcpi_state,
         info.tcpi_unacked, info.tcpi_snd_mss > 500, info.tcpi_rtt > 0, info.tcpi_snd_cwnd > 0);
  length = 8;
  c.ret("TCP_INFO of 8 bytes", ::getsockopt(made.fd, IPPROTO_TCP, TCP_INFO, &info, &length));
  c.note("length %u", static_cast<unsigned>(length));
}

void maxseg(Case& c, Family family) {
  const Connection made = c.active(family);
  c.option("TCP_MAXSEG", made.fd, IPPROTO_TCP, TCP_MAXSEG);
}

void set_before_connect(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int mss = 600, buffer = 30000, on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof mss);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c.ret("connect", ::connect(fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.option("TCP_MAXSEG", fd, IPPROTO_TCP, TCP_MAXSEG);
  c.option("SO_SNDBUF", fd, SOL_SOCKET, SO_SNDBUF);
  c.option("TCP_NODELAY", fd, IPPROTO_TCP, TCP_NODELAY);
  c.note("the peer's TCP_MAXSEG %d", c.peer.option(slot, IPPROTO_TCP, TCP_MAXSEG));
}

void bind_to_device(Case& c) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  c.ret("SO_BINDTODEVICE nosuch", ::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 7));
  char name[32] = "x";
  socklen_t length = sizeof name;
  c.ret("get", ::getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length));
  c.note("length %u", static_cast<unsigned>(length));
}

void bad_arguments(Case& c) {
  const Connection made = c.active();
  int value = 0;
  socklen_t length = sizeof value;
  c.ret("getsockopt of -1", ::getsockopt(-1, SOL_SOCKET, SO_TYPE, &value, &length));
  c.ret("getsockopt of a file", ::getsockopt(STDOUT_FILENO, SOL_SOCKET, SO_TYPE, &value, &length));
  c.ret("getsockopt to nowhere", ::getsockopt(made.fd, SOL_SOCKET, SO_TYPE, reinterpret_cast<void*>(8), &length));
  c.ret("no length", ::getsockopt(made.fd, SOL_SOCKET, SO_TYPE, &value, nullptr));
  length = static_cast<socklen_t>(-1);
  c.ret("negative length", ::getsockopt(made.fd, SOL_SOCKET, SO_TYPE, &value, &length));
}

void cookie(Case& c) {
  const Connection made = c.active();
  uint64_t first = 0, second = 0;
  socklen_t length = sizeof first;
  c.ret("SO_COOKIE", ::getsockopt(made.fd, SOL_SOCKET, SO_COOKIE, &first, &length));
  ::getsockopt(made.fd, SOL_SOCKET, SO_COOKIE, &second, &length);
  c.note("length %u, the same %d, not zero %d", static_cast<unsigned>(length), first == second, first != 0);
}

void peer_credentials(Case& c) {
  const Connection made = c.active();
  ucred who{};
  socklen_t length = sizeof who;
  c.ret("SO_PEERCRED", ::getsockopt(made.fd, SOL_SOCKET, SO_PEERCRED, &who, &length));
  c.note("pid %d length %u", who.pid, static_cast<unsigned>(length));
}

}  // namespace

void add_options(Suite& suite) {
  for (const Option& option : kOptions) {
    suite.add(std::string("option.fresh.") + option.name, [&option](Case& c) {
      set_and_get(c, option, ::socket(option.level == IPPROTO_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
    });
    suite.add(std::string("option.connected.") + option.name, [&option](Case& c) { on_connection(c, option); });
    suite.add(std::string("option.inherited.") + option.name, [&option](Case& c) { inherited(c, option); });
    suite.add(std::string("option.lengths.") + option.name, [&option](Case& c) { odd_lengths(c, option); });
  }
  suite.add("option.IPV6_V6ONLY", [](Case& c) { v6_option(c, IPV6_V6ONLY, "IPV6_V6ONLY"); });
  suite.add("option.IPV6_TCLASS", [](Case& c) { v6_option(c, IPV6_TCLASS, "IPV6_TCLASS"); });
  suite.add("option.IPV6_UNICAST_HOPS", [](Case& c) { v6_option(c, IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS"); });
  suite.add("option.SO_LINGER", linger_option);
  suite.add("option.TCP_CONGESTION", congestion);
  suite.add("option.TCP_INFO", info);
  for (const Family family : kFamilies)
    suite.add(std::string("option.TCP_MAXSEG.") + name(family), [family](Case& c) { maxseg(c, family); });
  suite.add("option.set_before_connect", set_before_connect);
  suite.add("option.SO_BINDTODEVICE", bind_to_device);
  suite.add("option.bad_arguments", bad_arguments);
  suite.add("option.SO_COOKIE", cookie);
  suite.add("option.SO_PEERCRED", peer_credentials);
}

}  // namespace xnic::conformance
