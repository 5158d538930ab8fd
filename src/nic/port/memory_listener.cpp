// SPDX-License-Identifier: Apache-2.0
// SOCK_SEQPACKET: a greeting is one message. The card speaks once and never waits for a peer.
#include "nic/port/memory_listener.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace xnic::nic::port::memory {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr int kSocketType = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

// True when a process listens at `address`; false when what lies there is the socket of a dead one.
bool is_served(const sockaddr_un& address) {
  const Fd probe(socket(AF_UNIX, kSocketType, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno != ECONNREFUSED;
}

}  // namespace

base::Result<Listener> Listener::listen(const std::string& path, uint32_t mode) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "the path of a socket has 1 to {} characters",
                      sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  struct stat status{};
  if (lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) return make_error(ErrorKind::kBadInput, path, "is a file, and not a socket");
    if (is_served(address)) return make_error(ErrorKind::kLimit, path, "another process serves this socket");
    unlink(path.c_str());
  }
  Fd fd(socket(AF_UNIX, kSocketType, 0));
  // The mode comes before listen(): nobody can connect before it.
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return make_error(ErrorKind::kIo, path, "cannot make the socket: {}", std::strerror(errno));
  Listener listener(std::move(fd), path);
  if (chmod(path.c_str(), mode) != 0 || ::listen(listener.fd(), 4) != 0)
    return make_error(ErrorKind::kIo, path, "cannot listen: {}", std::strerror(errno));
  return listener;
}

Listener::~Listener() {
  if (fd_.get() >= 0) unlink(path_.c_str());
}

Fd Listener::accept() const { return Fd(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

std::pair<Fd, Fd> make_bell() {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  return {Fd(ends[0]), Fd(ends[1])};
}

bool greet(const Fd& connection, const std::vector<Fd>& fds) {
  Greeting greeting;
  iovec part{&greeting, sizeof greeting};
  alignas(cmsghdr) char control[CMSG_SPACE((kMaxQueues + 1) * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  for (size_t i = 0; i < fds.size(); ++i) {
    const int fd = fds[i].get();
    std::memcpy(CMSG_DATA(rights) + i * sizeof fd, &fd, sizeof fd);
  }
  return sendmsg(connection.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof greeting;
}

void refuse(const Fd& connection, const std::string& why) {
  Greeting greeting;
  const size_t size = std::min(why.size(), sizeof greeting.refusal - 1);
  std::memcpy(greeting.refusal, why.data(), size);
  greeting.refusal[size] = 0;
  (void)send(connection.get(), &greeting, sizeof greeting, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool has_spoken_or_left(const Fd& connection) {
  char something;
  const ssize_t got = recv(connection.get(), &something, 1, MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

}  // namespace xnic::nic::port::memory
