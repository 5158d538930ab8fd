// SPDX-License-Identifier: Apache-2.0
#include "case.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace xnic::conformance {

namespace {

constexpr int kPatienceMs = 3000;

struct Name {
  unsigned bit;
  const char* name;
};

template <size_t kCount>
std::string names(unsigned events, const Name (&table)[kCount]) {
  std::string text;
  for (const Name& entry : table) {
    if ((events & entry.bit) == 0) continue;
    text += text.empty() ? "" : "|";
    text += entry.name;
    events &= ~entry.bit;
  }
  if (events != 0) text += "|" + std::to_string(events);
  return text.empty() ? "0" : text;
}

// The case cannot go on: what it stands on does not work.
[[noreturn]] void give_up(const char* what) {
  std::printf("cannot go on: %s: %s\n", what, strerrorname_np(errno));
  std::fflush(stdout);
  _exit(3);
}

}  // namespace

std::string poll_names(unsigned events) {
  static constexpr Name kNames[] = {{POLLIN, "IN"},         {POLLPRI, "PRI"},       {POLLOUT, "OUT"},
                                    {POLLERR, "ERR"},       {POLLHUP, "HUP"},       {POLLNVAL, "NVAL"},
                                    {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"}, {POLLWRNORM, "WRNORM"},
                                    {POLLWRBAND, "WRBAND"}, {POLLRDHUP, "RDHUP"}};
  return names(events, kNames);
}

std::string epoll_names(unsigned events) { return poll_names(events); }  // the same bits, as Linux defines them

const char* name(Family family) {
  switch (family) {
    case Family::kV4:
      return "v4";
    case Family::kV6:
      return "v6";
    case Family::kMapped:
      return "mapped";
  }
  return "?";
}
int domain(Family family) { return family == Family::kV4 ? AF_INET : AF_INET6; }
int peer_domain(Family family) { return family == Family::kV6 ? AF_INET6 : AF_INET; }

void Case::note(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = std::vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (length > static_cast<int>(sizeof line) - 2) length = sizeof line - 2;
  line[length] = '\n';
  const int saved = errno;
  if (::write(STDOUT_FILENO, line, static_cast<size_t>(length) + 1) < 0) _exit(4);
  errno = saved;
}

long Case::ret(const char* what, long value) {
  if (value == -1)
    note("%s = -1 %s", what, strerrorname_np(errno));
  else
    note("%s = %ld", what, value);
  return value;
}

int Case::fd(const char* what, int value) {
  if (value < 0)
    ret(what, value);
  else
    note("%s = descriptor", what);
  return value;
}

long Case::data(const char* what, long value, const void* bytes) {
  if (value < 0) return ret(what, value);
  note("%s = %ld %s", what, value, describe(bytes, static_cast<size_t>(value)).c_str());
  return value;
}

namespace {

Address make(Family family, const std::string& text4, const std::string& text6, uint16_t port) {
  Address made;
  if (family == Family::kV4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(made.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    inet_pton(AF_INET, text4.c_str(), &v4.sin_addr);
    made.length = sizeof v4;
    return made;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(made.storage);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  inet_pton(AF_INET6, (family == Family::kV6 ? text6 : "::ffff:" + text4).c_str(), &v6.sin6_addr);
  made.length = sizeof v6;
  return made;
}

}  // namespace

Address Case::host(Family family, uint16_t port) const {
  return make(family, addresses_.host4, addresses_.host6, port);
}
Address Case::there(Family family, uint16_t port) const {
  return make(family, addresses_.peer4, addresses_.peer6, port);
}

int Case::listener(Family family, int backlog, uint16_t& port) {
  const int made = ::socket(domain(family), SOCK_STREAM, 0);
  Address where = host(family, 0);
  if (made < 0 || ::bind(made, where.get(), where.length) < 0) give_up("bind");
  if (::listen(made, backlog) < 0) give_up("listen");
  if (::getsockname(made, where.get(), &where.length) < 0) give_up("getsockname");
  port = where.port();
  return made;
}

Connection Case::active(Family family) {
  Address where = there(family, peer.listen(peer_domain(family)));
  const int made = ::socket(domain(family), SOCK_STREAM, 0);
  if (made < 0 || ::connect(made, where.get(), where.length) < 0) give_up("connect");
  const int slot = peer.accept();
  if (slot < 0) give_up("the peer's accept");
  return {made, slot};
}

Connection Case::passive(Family family) {
  uint16_t port = 0;
  const int from = listener(family, 8, port);
  const int slot = peer.connect(peer_domain(family), port);
  if (slot < 0) give_up("the peer's connect");
  const int made = ::accept(from, nullptr, nullptr);
  if (made < 0) give_up("accept");
  ::close(from);
  return {made, slot};
}

void Case::address(const char* what, long value, const Address& address) {
  if (value < 0) {
    ret(what, value);
    return;
  }
  char text[INET6_ADDRSTRLEN] = "";
  const int family = address.storage.ss_family;
  if (family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr, text, sizeof text);
  else if (family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr, text, sizeof text);
  const std::string plain = text;
  const bool any = plain == "0.0.0.0" || plain == "::";
  // One host may have all four addresses; then they are the same word.
  const bool known = plain == addresses_.host4 || plain == addresses_.host6 || plain == addresses_.peer4 ||
                     plain == addresses_.peer6 || plain == "::ffff:" + addresses_.host4 ||
                     plain == "::ffff:" + addresses_.peer4;
  note("%s = %ld family %d length %u %s%s port %s", what, value, family, static_cast<unsigned>(address.length),
       plain.starts_with("::ffff:") ? "mapped " : "",
       any     ? "any"
       : known ? "ours"
               : text,
       address.port() == 0 ? "zero" : "some");
}

void Case::await(int fd, short events) {
  pollfd one{fd, events, 0};
  while (::poll(&one, 1, kPatienceMs) < 0 && errno == EINTR) {
  }
}

void Case::await_bytes(int fd, int count) {
  for (int tries = 0; tries < kPatienceMs; ++tries) {
    int ready = 0;
    if (::ioctl(fd, FIONREAD, &ready) < 0 || ready >= count) return;
    usleep(1000);
  }
}

void Case::settle(unsigned milliseconds) { usleep(milliseconds * 1000); }

void Case::poll(const char* what, int fd, int timeout_ms) {
  pollfd one{fd, POLLIN | POLLPRI | POLLOUT | POLLRDHUP, 0};
  const int ready = ::poll(&one, 1, timeout_ms);
  if (ready < 0)
    ret(what, ready);
  else
    note("%s = %d %s", what, ready, poll_names(static_cast<unsigned>(one.revents)).c_str());
}

void Case::nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) give_up("O_NONBLOCK");
}

int Case::option(const char* what, int fd, int level, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  const int done = ::getsockopt(fd, level, name, &value, &length);
  if (done < 0)
    ret(what, done);
  else
    note("%s = %d (length %u)", what, value, static_cast<unsigned>(length));
  return value;
}

}  // namespace xnic::conformance
