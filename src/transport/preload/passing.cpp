// SPDX-License-Identifier: Apache-2.0
// Sockets that go to other processes: over exec, and as SCM_RIGHTS. What travels is the real descriptor, and in it the
// token by which the next process takes the socket from the agent. A TCP socket has room for it: TCP_FASTOPEN_KEY takes
// two keys of 16 bytes and gives them back; the first says that the second is a token. The real socket never listens,
// so the kernel has no other use for them.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cstring>

#include "transport/preload/inside.hpp"
#include "transport/preload/library.hpp"
#include "transport/preload/real.hpp"

namespace xnic::transport::preload {

namespace {

struct Keys {
  char magic[16];
  host::Token token;
};
constexpr char kMagic[16] = "xnic-socket-1..";

}  // namespace

bool mark_for_passing(int fd, File& file) {
  Keys keys;
  std::memcpy(keys.magic, kMagic, sizeof kMagic);
  return library().stack()->export_socket(file.id, keys.token) == 0 &&
         real().setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &keys, sizeof keys) == 0;
}

namespace {

// The socket that the token in `fd` stands for; negative when there is none.
int64_t import_from(int fd) {
  Keys keys;
  socklen_t size = sizeof keys;
  if (real().getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, &keys, &size) < 0) return -1;
  if (size != sizeof keys || std::memcmp(keys.magic, kMagic, sizeof kMagic) != 0) return -1;
  host::Stack* const stack = library().attach();
  return stack == nullptr ? -1 : stack->import_socket(keys.token);
}

}  // namespace

void adopt_if_ours(int fd) {
  const int64_t id = import_from(fd);
  if (id < 0) return;
  int domain = AF_INET;
  socklen_t size = sizeof domain;
  real().getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
  forget(fd);
  adopt_as(fd, static_cast<host::SocketId>(id), domain);
}

void readopt(int fd, File& file) {
  const int64_t id = import_from(fd);
  file.id = id < 0 ? host::kNoSocket : static_cast<host::SocketId>(id);
  if (id >= 0) library().stack()->set_cookie(file.id, &file);
}

}  // namespace xnic::transport::preload
