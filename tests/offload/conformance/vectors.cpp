// SPDX-License-Identifier: Apache-2.0
// Vectors of buffers and of messages, calls that belong to files, and stdio on a socket.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "case.hpp"

namespace xnic::conformance {
namespace {

void readv_some(Case& c, int parts) {
  const Connection made = c.active();
  c.peer.send(made.slot, "0123456789abcdef");
  c.await_bytes(made.fd, 16);
  char bytes[64] = {};
  std::vector<iovec> vector;
  for (int i = 0; i < parts; ++i) vector.push_back({bytes + 3 * i, 3});
  c.data("readv", ::readv(made.fd, vector.data(), parts), bytes);
  c.data("rest", ::recv(made.fd, bytes, sizeof bytes, MSG_DONTWAIT), bytes);
}

void vector_limits(Case& c) {
  const Connection made = c.active();
  char byte = 'x';
  std::vector<iovec> vector(IOV_MAX + 1, iovec{&byte, 1});
  c.ret("readv of no parts", ::readv(made.fd, vector.data(), 0));
  c.ret("readv of -1 parts", ::readv(made.fd, vector.data(), -1));
  c.ret("readv of too many", ::readv(made.fd, vector.data(), IOV_MAX + 1));
  c.ret("writev of no parts", ::writev(made.fd, vector.data(), 0));
  c.ret("writev of too many", ::writev(made.fd, vector.data(), IOV_MAX + 1));
  c.ret("writev of the most", ::writev(made.fd, vector.data(), IOV_MAX));
  msghdr message{};
  message.msg_iov = vector.data();
  message.msg_iovlen = IOV_MAX + 1;
  c.ret("sendmsg of too many", ::sendmsg(made.fd, &message, 0));
  c.ret("recvmsg of too many", ::recvmsg(made.fd, &message, 0));
  c.note("peer: %s", c.peer.receive(made.slot, IOV_MAX).c_str());
}

void writev_empty_parts(Case& c) {
  const Connection made = c.active();
  char a[] = "ab", b[] = "cd";
  const iovec parts[] = {{a, 2}, {nullptr, 0}, {b, 2}};
  c.ret("writev", ::writev(made.fd, parts, 3));
  c.note("peer: %s", c.peer.receive(made.slot, 4).c_str());
}

// The calls with a position: a socket has none.
void positioned(Case& c) {
  const Connection made = c.active();
  char bytes[4] = "abc";
  iovec part{bytes, 3};
  c.ret("pread", ::pread(made.fd, bytes, 3, 0));
  c.ret("pwrite", ::pwrite(made.fd, bytes, 3, 0));
  c.ret("preadv", ::preadv(made.fd, &part, 1, 0));
  c.ret("pwritev", ::pwritev(made.fd, &part, 1, 0));
  c.ret("ftruncate", ::ftruncate(made.fd, 0));
  c.ret("fsync", ::fsync(made.fd));
  c.ret("fallocate", ::fallocate(made.fd, 0, 0, 1));
  c.ret("lseek", ::lseek(made.fd, 0, SEEK_CUR));
}

void current_position(Case& c) {
  const Connection made = c.active();
  char bytes[8] = "abc";
  iovec part{bytes, 3};
  c.ret("pwritev2 at -1", ::pwritev2(made.fd, &part, 1, -1, 0));
  c.note("peer: %s", c.peer.receive(made.slot, 3).c_str());
  c.peer.send(made.slot, "xyz");
  c.await_bytes(made.fd, 3);
  c.data("preadv2 at -1", ::preadv2(made.fd, &part, 1, -1, 0), bytes);
  c.ret("preadv2(NOWAIT)", ::preadv2(made.fd, &part, 1, -1, RWF_NOWAIT));
}

void sendmmsg_three(Case& c) {
  const Connection made = c.active();
  char text[3][4] = {"one", "two", "end"};
  iovec parts[3];
  mmsghdr messages[3] = {};
  for (int i = 0; i < 3; ++i) {
    parts[i] = {text[i], 3};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  c.ret("sendmmsg", ::sendmmsg(made.fd, messages, 3, 0));
  for (const mmsghdr& message : messages) c.note("length %u", message.msg_len);
  c.note("peer: %s", c.peer.receive(made.slot, 9).c_str());
  c.ret("sendmmsg of none", ::sendmmsg(made.fd, messages, 0, 0));
}

void recvmmsg(Case& c, const char* sent, int flags, bool timeout) {
  const Connection made = c.active();
  if (*sent != 0) c.peer.send(made.slot, sent);
  c.await_bytes(made.fd, static_cast<int>(std::strlen(sent)));
  char text[3][4] = {};
  iovec parts[3];
  mmsghdr messages[3] = {};
  for (int i = 0; i < 3; ++i) {
    parts[i] = {text[i], 4};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  timespec soon{0, 20'000'000};
  const int n = ::recvmmsg(made.fd, messages, 3, flags, timeout ? &soon : nullptr);
  c.ret("recvmmsg", n);
  for (int i = 0; i < n; ++i) c.data("message", messages[i].msg_len, text[i]);
}

void stdio_lines(Case& c) {
  const Connection made = c.active();
  std::FILE* stream = ::fdopen(made.fd, "r+");
  c.note("fdopen %d fileno is the socket %d", stream != nullptr, ::fileno(stream) == made.fd);
  c.peer.send(made.slot, "first line\nsecond line\nno newline");
  c.peer.shutdown(made.slot, SHUT_WR);
  c.await_bytes(made.fd, 33);
  char line[64];
  while (std::fgets(line, sizeof line, stream) != nullptr) c.note("%s", describe(line, std::strlen(line)).c_str());
  c.note("at the end %d error %d", std::feof(stream), std::ferror(stream));
}

void stdio_print(Case& c) {
  const Connection made = c.active();
  std::FILE* stream = ::fdopen(made.fd, "w");
  c.note("fprintf %d", std::fprintf(stream, "number %d\n", 42));
  c.note("fputs %d", std::fputs("text\n", stream) >= 0);
  c.note("fflush %d", std::fflush(stream));
  c.note("peer: %s", c.peer.receive(made.slot, 15).c_str());
  c.note("fwrite %zu", std::fwrite("last", 1, 4, stream));
  c.note("fclose %d", std::fclose(stream));
  c.note("peer: %s", c.peer.drain(made.slot).c_str());
}

void stdio_print_to_descriptor(Case& c) {
  const Connection made = c.active();
  c.note("dprintf %d", ::dprintf(made.fd, "%s-%d", "formatted", 7));
  c.note("peer: %s", c.peer.receive(made.slot, 11).c_str());
}

void stdio_standard_input(Case& c) {
  const Connection made = c.active();
  c.ret("dup2", ::dup2(made.fd, STDIN_FILENO));
  c.peer.send(made.slot, "to standard input\n");
  c.await_bytes(STDIN_FILENO, 18);
  char line[64] = "";
  const bool read = std::fgets(line, sizeof line, stdin) != nullptr;
  c.note("fgets %d %s", read, describe(line, std::strlen(line)).c_str());
}

void stdio_getline(Case& c) {
  const Connection made = c.active();
  std::FILE* stream = ::fdopen(made.fd, "r");
  c.peer.later(20).send(made.slot, "slow\n");
  char* line = nullptr;
  size_t room = 0;
  c.ret("getline", ::getline(&line, &room, stream));
  c.note("%s", describe(line, std::strlen(line)).c_str());
  std::free(line);
}

void copy_file_range_refused(Case& c) {
  const Connection made = c.active();
  c.peer.send(made.slot, "abc");
  c.ret("copy_file_range", ::copy_file_range(made.fd, nullptr, made.fd, nullptr, 3, 0));
}

}  // namespace

void add_vectors(Suite& suite) {
  for (const int parts : {1, 2, 5, 7})
    suite.add("vectors.readv." + std::to_string(parts), [parts](Case& c) { readv_some(c, parts); });
  suite.add("vectors.limits", vector_limits);
  suite.add("vectors.writev_empty_parts", writev_empty_parts);
  suite.add("vectors.positioned", positioned);
  suite.add("vectors.current_position", current_position);
  suite.add("vectors.sendmmsg", sendmmsg_three);
  suite.add("vectors.recvmmsg.dontwait", [](Case& c) { recvmmsg(c, "012345", MSG_DONTWAIT, false); });
  suite.add("vectors.recvmmsg.waitforone", [](Case& c) { recvmmsg(c, "012345", MSG_WAITFORONE, false); });
  suite.add("vectors.recvmmsg.enough", [](Case& c) { recvmmsg(c, "0123456789abcdef", 0, true); });
  suite.add("vectors.recvmmsg.nothing", [](Case& c) { recvmmsg(c, "", MSG_DONTWAIT, false); });
  suite.add("vectors.copy_file_range_refused", copy_file_range_refused);
  suite.add("stdio.lines", stdio_lines);
  suite.add("stdio.print", stdio_print);
  suite.add("stdio.print_to_descriptor", stdio_print_to_descriptor);
  suite.add("stdio.standard_input", stdio_standard_input);
  suite.add("stdio.getline", stdio_getline);
}

}  // namespace xnic::conformance
