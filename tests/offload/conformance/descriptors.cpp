// SPDX-License-Identifier: Apache-2.0
// Descriptors: copies, flags of the descriptor and of the open socket, ioctls, numbers, passing through UNIX sockets.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "case.hpp"

namespace xnic::conformance {
namespace {

struct Copy {
  const char* name;
  int (*make)(int fd);
};
constexpr Copy kCopies[] = {
    {"dup", [](int fd) { return ::dup(fd); }},
    {"dup2", [](int fd) { return ::dup2(fd, 200); }},
    {"dup3", [](int fd) { return ::dup3(fd, 201, O_CLOEXEC); }},
    {"F_DUPFD", [](int fd) { return ::fcntl(fd, F_DUPFD, 100); }},
    {"F_DUPFD_CLOEXEC", [](int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 100); }},
};

// A copy is the same socket: bytes, flags and options; the connection ends with the last one.
void copy(Case& c, const Copy& way) {
  const Connection made = c.active();
  const int copy = c.fd(way.name, way.make(made.fd));
  c.note("close-on-exec %d, number at least 100 %d", (::fcntl(copy, F_GETFD) & FD_CLOEXEC) != 0, copy >= 100);
  c.peer.send(made.slot, "abcdef");
  c.await_bytes(made.fd, 6);
  char bytes[8];
  c.data("recv", ::recv(made.fd, bytes, 3, 0), bytes);
  c.data("recv by the copy", ::recv(copy, bytes, 8, 0), bytes);
  c.nonblocking(copy);
  c.note("both don't block %d", (::fcntl(made.fd, F_GETFL) & O_NONBLOCK) != 0);
  c.ret("recv", ::recv(made.fd, bytes, 8, 0));
  c.ret("close", ::close(made.fd));
  c.ret("send by the copy", ::send(copy, "alive", 5, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
  c.ret("close the copy", ::close(copy));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void copy_onto_socket(Case& c) {
  const Connection first = c.active(), second = c.active();
  c.ret("dup2 onto the second", ::dup2(first.fd, second.fd) == second.fd);
  c.note("peer of the second: %s", c.peer.drain(second.slot).c_str());
  c.ret("send", ::send(second.fd, "now first", 9, 0));
  c.note("peer of the first: %s", c.peer.receive(first.slot, 9).c_str());
  c.ret("dup2 onto itself", ::dup2(first.fd, first.fd) == first.fd);
  c.ret("dup3 onto itself", ::dup3(first.fd, first.fd, 0));
  c.ret("dup2 to -1", ::dup2(first.fd, -1));
}

void file_over_socket(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  if (::pipe(pipe) < 0) return;
  c.ret("dup2", ::dup2(pipe[0], made.fd) == made.fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
  c.ret("write", ::write(pipe[1], "piped", 5));
  char bytes[8];
  c.data("read", ::read(made.fd, bytes, sizeof bytes), bytes);
  c.ret("recv", ::recv(made.fd, bytes, sizeof bytes, 0));
}

// Java pre-closes a socket so: a dead end is put in its place while others may wait on it.
void preclose(Case& c) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return;
  ::close(pair[1]);
  const Connection made = c.active();
  c.ret("dup2", ::dup2(pair[0], made.fd) == made.fd);
  char byte;
  c.ret("read", ::read(made.fd, &byte, 1));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void close_range_over(Case& c) {
  const Connection made = c.active();
  const int low = ::dup2(made.fd, 300);
  ::close(made.fd);
  c.ret("close_range of others", ::close_range(310, 320, 0));
  c.ret("send", ::send(low, "alive", 5, 0));
  c.ret("close_range", ::close_range(299, 301, 0));
  c.ret("send", ::send(low, "alive", 5, MSG_NOSIGNAL));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void close_range_cloexec(Case& c) {
  const Connection made = c.active();
  c.ret("close_range", ::close_range(static_cast<unsigned>(made.fd), static_cast<unsigned>(made.fd), 4));
  c.note("close-on-exec %d", (::fcntl(made.fd, F_GETFD) & FD_CLOEXEC) != 0);
  c.ret("send", ::send(made.fd, "alive", 5, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
}

void closefrom_over(Case& c) {
  const Connection made = c.active();
  const int high = ::dup2(made.fd, 400);
  ::close(made.fd);
  ::closefrom(400);
  c.ret("send", ::send(high, "x", 1, MSG_NOSIGNAL));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void status_flags(Case& c) {
  const Connection made = c.active();
  c.note("flags %#x", ::fcntl(made.fd, F_GETFL));
  c.ret("O_NONBLOCK", ::fcntl(made.fd, F_SETFL, O_RDWR | O_NONBLOCK));
  c.note("flags %#x", ::fcntl(made.fd, F_GETFL));
  char byte;
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
  int off = 0, on = 1;
  c.ret("FIONBIO 0", ::ioctl(made.fd, FIONBIO, &off));
  c.note("flags %#x", ::fcntl(made.fd, F_GETFL));
  c.ret("FIONBIO 1", ::ioctl(made.fd, FIONBIO, &on));
  c.note("flags %#x", ::fcntl(made.fd, F_GETFL));
  c.ret("read", ::read(made.fd, &byte, 1));
  c.ret("F_SETFD", ::fcntl(made.fd, F_SETFD, FD_CLOEXEC));
  c.note("F_GETFD %d", ::fcntl(made.fd, F_GETFD));
  c.ret("FIONCLEX", ::ioctl(made.fd, FIONCLEX));
  c.note("F_GETFD %d", ::fcntl(made.fd, F_GETFD));
  c.ret("FIOASYNC 0", ::ioctl(made.fd, FIOASYNC, &off));
  c.ret("an ioctl of terminals", ::ioctl(made.fd, TIOCGWINSZ, &off));
  c.ret("an unknown fcntl", ::fcntl(made.fd, 12345, 0));
}

void status(Case& c) {
  const Connection made = c.active();
  struct stat about{};
  c.ret("fstat", ::fstat(made.fd, &about));
  c.note("socket %d size %ld links %ld", S_ISSOCK(about.st_mode), static_cast<long>(about.st_size),
         static_cast<long>(about.st_nlink));
  c.ret("fstatat", ::fstatat(made.fd, "", &about, AT_EMPTY_PATH));
  c.note("socket %d", S_ISSOCK(about.st_mode));
  c.ret("isatty", ::isatty(made.fd));
  char path[64], target[64] = "";
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", made.fd);
  c.note("a link %d to socket %d", ::readlink(path, target, sizeof target - 1) > 0,
         std::strncmp(target, "socket:", 7) == 0);
  c.ret("fchmod", ::fchmod(made.fd, 0600));
}

void numbers(Case& c) {
  const Connection made = c.active();
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  c.note("below FD_SETSIZE %d", made.fd < 1024);
  ::close(made.fd);
  const int again = ::socket(AF_INET, SOCK_STREAM, 0);
  c.note("the lowest free number is given again %d", again == made.fd);
}

void few_descriptors(Case& c) {
  const int next = ::dup(0);
  ::close(next);
  const rlimit few{static_cast<rlim_t>(next), static_cast<rlim_t>(next)};
  ::setrlimit(RLIMIT_NOFILE, &few);
  c.fd("socket", ::socket(AF_INET, SOCK_STREAM, 0));
  c.ret("dup", ::dup(0));
}

bool pass(int over, int fd) {
  char byte = 'f';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return ::sendmsg(over, &message, 0) == 1;
}

int take(int over) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(over, &message, 0) != 1) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

void passed_to_itself(Case& c) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return;
  const Connection made = c.active();
  c.note("sent %d", pass(pair[0], made.fd));
  ::close(made.fd);
  const int fd = c.fd("received", take(pair[1]));
  c.ret("send", ::send(fd, "travelled", 9, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 9).c_str());
  ::close(fd);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

// To a process that was there before the connection.
void passed_to_another(Case& c, bool listener) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return;
  const pid_t child = ::fork();
  if (child == 0) {
    int fd = take(pair[1]);
    if (listener) fd = ::accept(fd, nullptr, nullptr);
    if (::send(fd, "from the child", 14, MSG_NOSIGNAL) != 14) ::_exit(1);
    char bytes[8];
    const ssize_t n = ::recv(fd, bytes, 5, MSG_WAITALL);
    ::_exit(n == 5 && std::memcmp(bytes, "reply", 5) == 0 ? 0 : 2);
  }
  Connection made;
  if (listener) {
    uint16_t port = 0;
    made.fd = c.listener(Family::kV4, 4, port);
    c.note("sent %d", pass(pair[0], made.fd));
    ::close(made.fd);
    made.slot = c.peer.connect(AF_INET, port);
  } else {
    made = c.active();
    c.note("sent %d", pass(pair[0], made.fd));
    ::close(made.fd);
  }
  c.note("peer: %s", c.peer.receive(made.slot, 14).c_str());
  c.peer.send(made.slot, "reply");
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

// The same calls by number.
void by_number(Case& c) {
  const uint16_t port = c.peer.listen(AF_INET);
  Address where = c.there(Family::kV4, port);
  const int fd = static_cast<int>(::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
  c.ret("connect", ::syscall(SYS_connect, fd, where.get(), where.length));
  const int slot = c.peer.accept();
  c.ret("sendto", ::syscall(SYS_sendto, fd, "hello", 5, 0, nullptr, 0));
  c.ret("write", ::syscall(SYS_write, fd, "world", 5));
  c.note("peer: %s", c.peer.receive(slot, 10).c_str());
  c.peer.send(slot, "abcdef");
  c.await_bytes(fd, 6);
  char bytes[8];
  c.data("recvfrom", ::syscall(SYS_recvfrom, fd, bytes, 3, 0, nullptr, nullptr), bytes);
  c.data("read", ::syscall(SYS_read, fd, bytes, 8), bytes);
  c.ret("shutdown", ::syscall(SYS_shutdown, fd, SHUT_WR));
  c.ret("close", ::syscall(SYS_close, fd));
  c.note("peer: %s", c.peer.drain(slot).c_str());
}

void udp_and_unix(Case& c) {
  const int udp = ::socket(AF_INET, SOCK_DGRAM, 0);
  Address loop;
  loop.storage.ss_family = AF_INET;
  reinterpret_cast<sockaddr_in&>(loop.storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  loop.length = sizeof(sockaddr_in);
  c.ret("bind", ::bind(udp, loop.get(), loop.length));
  ::getsockname(udp, loop.get(), &loop.length);
  c.ret("sendto", ::sendto(udp, "datagram", 8, 0, loop.get(), loop.length));
  char bytes[16];
  c.data("recv", ::recv(udp, bytes, sizeof bytes, 0), bytes);
  int pair[2];
  c.ret("socketpair", ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  c.ret("send", ::send(pair[0], "unix", 4, 0));
  c.data("recv", ::recv(pair[1], bytes, sizeof bytes, 0), bytes);
}

}  // namespace

void add_descriptors(Suite& suite) {
  for (const Copy& way : kCopies)
    suite.add(std::string("descriptor.copy.") + way.name, [&way](Case& c) { copy(c, way); });
  suite.add("descriptor.copy_onto_socket", copy_onto_socket);
  suite.add("descriptor.file_over_socket", file_over_socket);
  suite.add("descriptor.preclose", preclose);
  suite.add("descriptor.close_range", close_range_over);
  suite.add("descriptor.close_range_cloexec", close_range_cloexec);
  suite.add("descriptor.closefrom", closefrom_over);
  suite.add("descriptor.status_flags", status_flags);
  suite.add("descriptor.status", status);
  suite.add("descriptor.numbers", numbers);
  suite.add("descriptor.few", few_descriptors);
  suite.add("descriptor.passed_to_itself", passed_to_itself);
  suite.add("descriptor.passed_to_another", [](Case& c) { passed_to_another(c, false); });
  suite.add("descriptor.listener_passed_to_another", [](Case& c) { passed_to_another(c, true); });
  suite.add("descriptor.by_number", by_number);
  suite.add("descriptor.udp_and_unix", udp_and_unix);
}

}  // namespace xnic::conformance
