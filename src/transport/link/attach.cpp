// SPDX-License-Identifier: Apache-2.0
// An answer is one message with its descriptors as SCM_RIGHTS.
#include "transport/link/attach.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xnic::transport::link {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr size_t kMaxFds = 4;

// Descriptors are taken first, so that none leaks whatever the rest is.
ssize_t receive_with_fds(int socket, void* at, size_t size, std::vector<Fd>& fds) {
  iovec part{at, size};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const int error = errno;
  for (cmsghdr* each = got < 0 ? nullptr : CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  errno = error;
  return got;
}

}  // namespace

base::Result<Attachment> attach(const std::string& path, const Request& request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "the path of a socket has 1 to {} characters",
                      sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  Attachment made;
  made.connection = Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // An agent answers at once; what does not is no agent.
  const timeval patience{2, 0};
  setsockopt(made.connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(made.connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      send(made.connection.get(), &request, sizeof request, MSG_NOSIGNAL) != sizeof request)
    return make_error(ErrorKind::kIo, path, "no agent serves this socket: {}", std::strerror(errno));
  const ssize_t got = receive_with_fds(made.connection.get(), &made.answer, sizeof made.answer, made.fds);
  if (got <= 0)
    return make_error(ErrorKind::kIo, path, "no answer from the agent: {}",
                      got == 0 ? "it closed the connection" : std::strerror(errno));
  if (got != sizeof made.answer || made.answer.magic != kAttachMagic)
    return make_error(ErrorKind::kBadInput, path, "this is not the socket of an agent");
  if (made.answer.version != kAttachVersion)
    return make_error(ErrorKind::kBadInput, path, "the agent speaks version {}, this program version {}",
                      made.answer.version, kAttachVersion);
  made.answer.refusal[sizeof made.answer.refusal - 1] = 0;
  if (made.answer.refusal[0] != 0) return make_error(ErrorKind::kLimit, path, "{}", made.answer.refusal);
  return made;
}

base::Result<bool> receive_request(const Fd& connection, Request& request) {
  const ssize_t got = recv(connection.get(), &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got == 0) return make_error(ErrorKind::kIo, "attach", "the process has left");
  if (got != sizeof request || request.magic != kAttachMagic)
    return make_error(ErrorKind::kBadInput, "attach", "this is an agent of the TCP offload; what came is no request");
  if (request.version != kAttachVersion)
    return make_error(ErrorKind::kUnsupported, "attach", "this agent speaks version {}, the process version {}",
                      kAttachVersion, request.version);
  return true;
}

bool send_answer(const Fd& connection, const Answer& answer, const std::vector<int>& fds) {
  Answer copy = answer;
  iovec part{&copy, sizeof copy};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(connection.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof copy;
}

bool refuse(const Fd& connection, const std::string& why) {
  Answer answer;
  const size_t size = std::min(why.size(), sizeof answer.refusal - 1);
  std::memcpy(answer.refusal, why.data(), size);
  return send_answer(connection, answer, {});
}

bool has_left(const Fd& connection) {
  char something;
  const ssize_t got = recv(connection.get(), &something, 1, MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

}  // namespace xnic::transport::link
