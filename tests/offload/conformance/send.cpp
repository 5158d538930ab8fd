// SPDX-License-Identifier: Apache-2.0
// Sending: flags, calls, corking, full windows, files.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
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
    {"nosignal", MSG_NOSIGNAL},
    {"dontwait", MSG_DONTWAIT},
    {"more", MSG_MORE},
    {"eor", MSG_EOR},
    {"dontroute", MSG_DONTROUTE},
    {"confirm", MSG_CONFIRM},
    {"waitall", MSG_WAITALL},
    {"peek", MSG_PEEK},
    {"errqueue", MSG_ERRQUEUE},
    {"zerocopy_without_option", MSG_ZEROCOPY},
};

void with_flags(Case& c, const Flags& flags) {
  const Connection made = c.active();
  c.ret("send", ::send(made.fd, "hello", 5, flags.flags | MSG_NOSIGNAL));
  c.ret("send", ::send(made.fd, " all", 4, MSG_NOSIGNAL));
  ::shutdown(made.fd, SHUT_WR);
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void bytes_arrive(Case& c, Family family, size_t count, size_t piece) {
  const Connection made = c.passive(family);
  std::vector<char> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(pattern(i));
  c.peer.later(1).drain(made.slot);  // it reads while we write
  size_t done = 0;
  while (done < count) {
    const ssize_t n = ::write(made.fd, bytes.data() + done, std::min(piece, count - done));
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  c.note("sent %zu", done);
  ::shutdown(made.fd, SHUT_WR);
  c.note("peer: %s", c.peer.result().c_str());
}

void cork(Case& c, bool option) {
  const Connection made = c.active();
  const int on = 1, off = 0;
  if (option) c.ret("TCP_CORK", ::setsockopt(made.fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
  c.ret("send", ::send(made.fd, "ab", 2, option ? 0 : MSG_MORE));
  c.settle(20);
  int waiting = -1;
  ::ioctl(made.fd, SIOCOUTQNSD, &waiting);
  c.note("held back %d", waiting);
  if (option)
    c.ret("TCP_CORK", ::setsockopt(made.fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off));
  else
    c.ret("send", ::send(made.fd, "cd", 2, 0));
  c.note("peer: %s", c.peer.receive(made.slot, option ? 2 : 4).c_str());
}

// The peer reads nothing: the socket takes bytes until it is full, says so, and takes more after the peer has read.
void full_window(Case& c, Family family) {
  const Connection made = c.active(family);
  c.nonblocking(made.fd);
  std::vector<char> bytes(65536);
  uint64_t sent = 0;
  ssize_t n = 0;
  for (int quiet = 0; quiet < 3;) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(pattern(sent + i));
    n = ::send(made.fd, bytes.data(), bytes.size(), 0);
    if (n > 0) {
      sent += static_cast<uint64_t>(n);
      quiet = 0;
      continue;
    }
    ++quiet;
    c.settle(30);
  }
  c.ret("send into the full socket", n);
  c.note("took something %d", sent > 65536);
  c.poll("poll", made.fd);
  c.peer.later(1).drain(made.slot);
  c.await(made.fd, POLLOUT);
  c.poll("poll", made.fd);
  c.ret("close", ::close(made.fd));
  const std::string got = c.peer.result();
  c.note("all arrived %d, unharmed %d", got.starts_with(std::to_string(sent) + " "),
         got.find("the pattern end") != std::string::npos);
}

int file_of_pattern(size_t size) {
  const int file = ::memfd_create("pattern", 0);
  std::vector<char> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(pattern(i));
  if (::write(file, bytes.data(), size) != static_cast<ssize_t>(size)) return -1;
  ::lseek(file, 0, SEEK_SET);
  return file;
}

void send_file(Case& c, size_t size, bool with_offset) {
  const Connection made = c.passive();
  const int file = file_of_pattern(size);
  off_t offset = with_offset ? 10 : 0;
  size_t done = with_offset ? 10 : 0;
  c.peer.later(1).drain(made.slot);
  while (done < size) {
    const ssize_t n = ::sendfile(made.fd, file, with_offset ? &offset : nullptr, size - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  c.note("sent %zu, offset %ld, file at %ld", done, static_cast<long>(offset),
         static_cast<long>(::lseek(file, 0, SEEK_CUR)));
  ::shutdown(made.fd, SHUT_WR);
  c.note("peer: %s", c.peer.result().c_str());
}

void send_file_past_the_end(Case& c) {
  const Connection made = c.active();
  const int file = file_of_pattern(100);
  c.ret("sendfile", ::sendfile(made.fd, file, nullptr, 1000));
  c.ret("sendfile", ::sendfile(made.fd, file, nullptr, 1000));
  off_t beyond = 500;
  c.ret("sendfile", ::sendfile(made.fd, file, &beyond, 10));
  off_t negative = -1;
  c.ret("sendfile", ::sendfile(made.fd, file, &negative, 10));
}

void send_file_from_socket(Case& c) {
  const Connection made = c.active();
  const int file = ::memfd_create("out", 0);
  c.peer.send(made.slot, "abc");
  c.await_bytes(made.fd, 3);
  c.ret("sendfile from a socket", ::sendfile(file, made.fd, nullptr, 3));
  c.ret("sendfile to -1", ::sendfile(-1, file, nullptr, 3));
  c.ret("sendfile from -1", ::sendfile(made.fd, -1, nullptr, 3));
}

void splice_out(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  c.ret("pipe", ::pipe(pipe));
  c.ret("write", ::write(pipe[1], "through a pipe", 14));
  c.ret("splice", ::splice(pipe[0], nullptr, made.fd, nullptr, 14, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 14).c_str());
}

void splice_in(Case& c) {
  const Connection made = c.active();
  int pipe[2];
  c.ret("pipe", ::pipe(pipe));
  c.peer.send(made.slot, "from the socket");
  c.await_bytes(made.fd, 15);
  c.ret("splice", ::splice(made.fd, nullptr, pipe[1], nullptr, 15, 0));
  char bytes[32];
  c.data("read", ::read(pipe[0], bytes, sizeof bytes), bytes);
  c.ret("splice nothing there", ::splice(made.fd, nullptr, pipe[1], nullptr, 15, SPLICE_F_NONBLOCK));
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await(made.fd, POLLRDHUP);
  c.ret("splice at the end", ::splice(made.fd, nullptr, pipe[1], nullptr, 15, 0));
  loff_t offset = 0;
  c.ret("splice with an offset", ::splice(made.fd, &offset, pipe[1], nullptr, 15, 0));
}

void broken_pipe(Case& c, int flags, bool ignored) {
  static volatile sig_atomic_t signals;
  signals = 0;
  std::signal(SIGPIPE, ignored ? SIG_IGN : [](int) { signals = signals + 1; });
  const Connection made = c.active();
  ::shutdown(made.fd, SHUT_WR);
  c.ret("send", ::send(made.fd, "x", 1, flags));
  c.note("signals %d", static_cast<int>(signals));
  c.ret("send", ::send(made.fd, "x", 1, flags));
  c.note("signals %d", static_cast<int>(signals));
}

// The first send after the peer has closed is taken; the RST that it provokes fails the second.
void closed_peer(Case& c) {
  std::signal(SIGPIPE, SIG_IGN);
  const Connection made = c.active();
  c.peer.close(made.slot);
  c.await(made.fd, POLLRDHUP);
  c.ret("first", ::send(made.fd, "x", 1, 0));
  c.await(made.fd, POLLERR);
  c.ret("second", ::send(made.fd, "x", 1, 0));
  c.ret("third", ::send(made.fd, "x", 1, 0));
  char byte;
  c.ret("recv", ::recv(made.fd, &byte, 1, 0));
}

void bad_buffer(Case& c) {
  const Connection made = c.active();
  c.ret("send from nowhere", ::send(made.fd, reinterpret_cast<void*>(8), 3, 0));
  c.ret("send from null, 0 bytes", ::send(made.fd, nullptr, 0, 0));
  c.ret("send", ::send(made.fd, "ok", 2, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 2).c_str());
}

void zerocopy(Case& c) {
  const Connection made = c.active();
  const int on = 1;
  c.ret("SO_ZEROCOPY", ::setsockopt(made.fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
  c.ret("send(ZEROCOPY)", ::send(made.fd, "hello", 5, MSG_ZEROCOPY));
  c.note("peer: %s", c.peer.receive(made.slot, 5).c_str());
}

void fast_open_flag(Case& c) {
  Address where = c.there(Family::kV4, c.peer.listen(AF_INET));
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  c.ret("sendto(FASTOPEN)", ::sendto(fd, "hello", 5, MSG_FASTOPEN, where.get(), where.length));
  const int slot = c.peer.accept();
  c.note("peer: %s", c.peer.receive(slot, 5).c_str());
}

}  // namespace

void add_send(Suite& suite) {
  for (const Flags& flags : kFlags)
    suite.add(std::string("send.") + flags.name, [&flags](Case& c) { with_flags(c, flags); });
  for (const Family family : kFamilies) {
    suite.add(std::string("send.full_window.") + name(family), [family](Case& c) { full_window(c, family); });
    for (const size_t count : {size_t{1}, size_t{1461}, size_t{65537}})
      suite.add(std::string("send.bytes_arrive.") + name(family) + "." + std::to_string(count),
                [family, count](Case& c) { bytes_arrive(c, family, count, 1313); });
  }
  suite.add("send.cork_option", [](Case& c) { cork(c, true); });
  suite.add("send.cork_flag", [](Case& c) { cork(c, false); });
  for (const size_t size : {size_t{100}, size_t{4096}, size_t{102400}})
    for (const bool offset : {false, true})
      suite.add("send.file." + std::to_string(size) + (offset ? ".offset" : ""),
                [size, offset](Case& c) { send_file(c, size, offset); });
  suite.add("send.file.past_the_end", send_file_past_the_end);
  suite.add("send.file.wrong_ends", send_file_from_socket);
  suite.add("send.splice_out", splice_out);
  suite.add("send.splice_in", splice_in);
  suite.add("send.broken_pipe.signal", [](Case& c) { broken_pipe(c, 0, false); });
  suite.add("send.broken_pipe.nosignal", [](Case& c) { broken_pipe(c, MSG_NOSIGNAL, false); });
  suite.add("send.broken_pipe.ignored", [](Case& c) { broken_pipe(c, 0, true); });
  suite.add("send.closed_peer", closed_peer);
  suite.add("send.bad_buffer", bad_buffer);
  suite.add("send.zerocopy", zerocopy);
  suite.add("send.fast_open_flag", fast_open_flag);
}

}  // namespace xnic::conformance
