// SPDX-License-Identifier: Apache-2.0
// Receiving: every flag and every call that receives, with nothing, some and more than enough bytes waiting.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

struct Flags {
  const char* name;
  int flags;
};
constexpr Flags kFlags[] = {
    {"plain", 0},
    {"dontwait", MSG_DONTWAIT},
    {"peek", MSG_PEEK},
    {"peek_dontwait", MSG_PEEK | MSG_DONTWAIT},
    {"waitall", MSG_WAITALL},
    {"waitall_dontwait", MSG_WAITALL | MSG_DONTWAIT},
    {"waitall_peek", MSG_WAITALL | MSG_PEEK},
    {"trunc", MSG_TRUNC},
    {"trunc_dontwait", MSG_TRUNC | MSG_DONTWAIT},
    {"peek_trunc", MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT},
    {"nosignal", MSG_NOSIGNAL},
    {"errqueue", MSG_ERRQUEUE | MSG_DONTWAIT},
    {"cmsg_cloexec", MSG_CMSG_CLOEXEC},
};

// Which bytes are there, and how many are asked for.
struct Amount {
  const char* name;
  const char* sent;
  size_t asked;
  bool ended;
};
constexpr Amount kAmounts[] = {
    {"less", "0123456789", 4, false},
    {"exact", "0123456789", 10, false},
    {"more_then_end", "0123456789", 20, true},
    {"end", "", 20, true},
};

void with_flags(Case& c, const Flags& flags, const Amount& amount) {
  const Connection made = c.active();
  if (*amount.sent != 0) c.peer.send(made.slot, amount.sent);
  c.await_bytes(made.fd, static_cast<int>(std::strlen(amount.sent)));
  if (amount.ended) {
    c.peer.shutdown(made.slot, SHUT_WR);
    c.await(made.fd, POLLRDHUP);
  }
  for (const char* what : {"first", "second"}) {
    char bytes[64] = "";
    const ssize_t n = ::recv(made.fd, bytes, amount.asked, flags.flags | (what[0] == 's' ? MSG_DONTWAIT : 0));
    // With MSG_TRUNC the bytes are thrown away, and the buffer stays as it was.
    c.data(what, n, bytes);
  }
  char rest[64];
  c.data("rest", ::recv(made.fd, rest, sizeof rest, MSG_DONTWAIT), rest);
}

void recvfrom_gives_no_name(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "abc");
  char bytes[8];
  Address from;
  from.length = 77;
  c.data("recvfrom", ::recvfrom(made.fd, bytes, sizeof bytes, 0, from.get(), &from.length), bytes);
  c.note("length %u family %d", static_cast<unsigned>(from.length), from.storage.ss_family);
}

void recvmsg_control_is_empty(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "abc");
  char bytes[8];
  char control[64];
  iovec part{bytes, sizeof bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  c.data("recvmsg", ::recvmsg(made.fd, &message, 0), bytes);
  c.note("control %zu flags %d", static_cast<size_t>(message.msg_controllen), message.msg_flags);
}

void recvmsg_spreads(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "0123456789");
  c.await_bytes(made.fd, 10);
  char a[3], b[4], rest[8];
  iovec parts[] = {{a, 3}, {nullptr, 0}, {b, 4}, {rest, 8}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 4;
  c.ret("recvmsg", ::recvmsg(made.fd, &message, 0));
  c.note("%s %s %s", describe(a, 3).c_str(), describe(b, 4).c_str(), describe(rest, 3).c_str());
}

void peek_moves_nothing(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "0123456789");
  c.await_bytes(made.fd, 10);
  char bytes[16];
  c.data("peek", ::recv(made.fd, bytes, 4, MSG_PEEK), bytes);
  int ready = 0;
  ::ioctl(made.fd, FIONREAD, &ready);
  c.note("ready %d", ready);
  c.data("recv", ::recv(made.fd, bytes, 4, 0), bytes);
  c.data("peek", ::recv(made.fd, bytes, 16, MSG_PEEK), bytes);
  c.data("recv", ::recv(made.fd, bytes, 16, 0), bytes);
}

void peek_offset(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "0123456789");
  c.await_bytes(made.fd, 10);
  const int at = 2;
  c.ret("SO_PEEK_OFF", ::setsockopt(made.fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof at));
  char bytes[16];
  for (int i = 0; i < 3; ++i) c.data("peek", ::recv(made.fd, bytes, 3, MSG_PEEK | MSG_DONTWAIT), bytes);
  c.data("recv", ::recv(made.fd, bytes, 16, 0), bytes);
}

void waitall_across_segments(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "one");
  c.peer.later(20).send(made.slot, "two");
  c.peer.later(20).send(made.slot, "three");
  char bytes[16];
  c.data("recv(WAITALL)", ::recv(made.fd, bytes, 11, MSG_WAITALL), bytes);
}

void waitall_ended(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "one");
  c.peer.later(20).shutdown(made.slot, SHUT_WR);
  char bytes[16];
  c.data("recv(WAITALL)", ::recv(made.fd, bytes, 11, MSG_WAITALL), bytes);
  c.data("recv", ::recv(made.fd, bytes, 11, 0), bytes);
}

void waitall_reset(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "one");
  c.peer.later(20).reset(made.slot);
  char bytes[16];
  c.data("recv(WAITALL)", ::recv(made.fd, bytes, 11, MSG_WAITALL), bytes);
  c.data("recv", ::recv(made.fd, bytes, 11, 0), bytes);
  c.data("recv", ::recv(made.fd, bytes, 11, 0), bytes);
}

void waitall_nonblocking(Case& c) {
  const Connection made = c.active();
  c.nonblocking(made.fd);
  c.peer.send(made.slot, "one");
  c.await_bytes(made.fd, 3);
  char bytes[16];
  c.data("recv(WAITALL)", ::recv(made.fd, bytes, 11, MSG_WAITALL), bytes);
}

void low_water(Case& c, int mark, int sent) {
  const Connection made = c.active();
  c.ret("SO_RCVLOWAT", ::setsockopt(made.fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark));
  c.peer.send(made.slot, std::string(static_cast<size_t>(sent), 'x'));
  c.await_bytes(made.fd, sent);
  c.poll("poll", made.fd);
  char bytes[64];
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
}

// A count of bytes through one way of reading, in pieces of a size that divides nothing.
void bulk(Case& c, Family family, size_t count, size_t piece) {
  const Connection made = c.active(family);
  c.peer.later(1).send_pattern(made.slot, count);
  c.peer.later(1).shutdown(made.slot, SHUT_WR);
  std::vector<char> bytes(count + piece);
  size_t done = 0;
  for (;;) {
    const ssize_t n = ::read(made.fd, bytes.data() + done, done < count ? piece : 1);
    if (n <= 0) {
      c.ret("the end", n);
      break;
    }
    done += static_cast<size_t>(n);
    if (done > count) break;
  }
  for (size_t i = 0; i < done; ++i) {
    if (static_cast<uint8_t>(bytes[i]) == pattern(i)) continue;
    c.note("byte %zu is wrong", i);
    break;
  }
  c.note("%s", describe(bytes.data(), done).c_str());
}

void bad_buffer(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  c.ret("recv into nowhere", ::recv(made.fd, reinterpret_cast<void*>(8), 3, 0));
  char bytes[8];
  c.data("recv", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
}

}  // namespace

void add_receive(Suite& suite) {
  for (const Flags& flags : kFlags) {
    for (const Amount& amount : kAmounts) {
      suite.add(std::string("receive.") + flags.name + "." + amount.name,
                [&flags, &amount](Case& c) { with_flags(c, flags, amount); });
    }
  }
  suite.add("receive.recvfrom_gives_no_name", recvfrom_gives_no_name);
  suite.add("receive.recvmsg_control_is_empty", recvmsg_control_is_empty);
  suite.add("receive.recvmsg_spreads", recvmsg_spreads);
  suite.add("receive.peek_moves_nothing", peek_moves_nothing);
  suite.add("receive.peek_offset", peek_offset);
  suite.add("receive.waitall_across_segments", waitall_across_segments);
  suite.add("receive.waitall_ended", waitall_ended);
  suite.add("receive.waitall_reset", waitall_reset);
  suite.add("receive.waitall_nonblocking", waitall_nonblocking);
  suite.add("receive.bad_buffer", bad_buffer);
  for (const int sent : {4, 10, 20})
    suite.add("receive.low_water_10." + std::to_string(sent), [sent](Case& c) { low_water(c, 10, sent); });
  for (const Family family : kFamilies) {
    for (const size_t count : {size_t{1}, size_t{1460}, size_t{65536}, size_t{1} << 20})
      suite.add(std::string("receive.bulk.") + name(family) + "." + std::to_string(count),
                [family, count](Case& c) { bulk(c, family, count, 1777); });
  }
}

}  // namespace xnic::conformance
