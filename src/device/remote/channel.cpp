// SPDX-License-Identifier: Apache-2.0
// One message, one sendmsg or recvmsg. A message that is cut, whose size does not fit its header, or that brings more
// than one descriptor breaks the protocol, and the connection with it; descriptors that came with it are closed.
#include "device/remote/channel.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace xnic::device::remote {

namespace {
constexpr size_t kMaxDescriptors = 2;
}

Channel::Channel(exec::kernel::Fd socket) : socket_(std::move(socket)) {
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

bool Channel::send(Header header, base::Bytes bytes, int descriptor, int second_descriptor) {
  header.size = static_cast<uint32_t>(bytes.size());
  std::array<iovec, 2> parts{{{&header, sizeof header}, {const_cast<uint8_t*>(bytes.data()), bytes.size()}}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  if (descriptor >= 0) {
    const std::array<int, kMaxDescriptors> descriptors{descriptor, second_descriptor};
    const size_t size = (second_descriptor >= 0 ? 2 : 1) * sizeof(int);
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(part), descriptors.data(), size);
  }
  ssize_t sent;
  do sent = sendmsg(fd(), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof header + bytes.size());
}

bool Channel::receive(Message& message) {
  message.bytes.resize(kMaxMessage);
  std::array<iovec, 2> parts{{{&message.header, sizeof message.header}, {message.bytes.data(), message.bytes.size()}}};
  msghdr raw{};
  raw.msg_iov = parts.data();
  raw.msg_iovlen = parts.size();
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxDescriptors * sizeof(int))> control{};
  raw.msg_control = control.data();
  raw.msg_controllen = control.size();
  ssize_t got;
  do got = recvmsg(fd(), &raw, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return false;
  message.descriptor = exec::kernel::Fd();
  size_t descriptors = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&raw); part != nullptr; part = CMSG_NXTHDR(&raw, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= part->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      message.descriptor = exec::kernel::Fd(base::load<int>(CMSG_DATA(part) + at));
      ++descriptors;
    }
  }
  const size_t size = static_cast<size_t>(got) - sizeof(Header);
  if (static_cast<size_t>(got) < sizeof(Header) || (raw.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return false;
  if (message.header.size != size || descriptors > 1) return false;
  message.bytes.resize(size);
  return true;
}

}  // namespace xnic::device::remote
