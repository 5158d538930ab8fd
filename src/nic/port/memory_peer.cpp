// SPDX-License-Identifier: Apache-2.0
// The card speaks first: a greeting, and with it the memfd and one doorbell for each queue.
#include "nic/port/memory_peer.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace xnic::nic::port {

using base::ErrorKind;
using base::make_error;
using memory::Fd;
using memory::Greeting;
using memory::kMaxQueues;

namespace {

struct Received {
  Greeting greeting;
  std::vector<Fd> fds;
};

base::Result<Received> receive_greeting(const Fd& connection, const std::string& path) {
  Received received;
  iovec part{&received.greeting, sizeof received.greeting};
  alignas(cmsghdr) char control[CMSG_SPACE((kMaxQueues + 1) * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC);
  const int error = errno;
  for (cmsghdr* part_of = CMSG_FIRSTHDR(&message); got >= 0 && part_of; part_of = CMSG_NXTHDR(&message, part_of)) {
    if (part_of->cmsg_level != SOL_SOCKET || part_of->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part_of) + i * sizeof fd, sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  if (got < 0) return make_error(ErrorKind::kIo, path, "no answer from the card: {}", std::strerror(error));
  if (got != sizeof received.greeting || received.greeting.magic != memory::kMagic)
    return make_error(ErrorKind::kBadInput, path, "this is not the memory port of a card");
  if (received.greeting.version != memory::kVersion)
    return make_error(ErrorKind::kBadInput, path, "the card speaks version {}, this program version {}",
                      received.greeting.version, memory::kVersion);
  return received;
}

}  // namespace

base::Result<MemoryPeer> MemoryPeer::attach(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return make_error(ErrorKind::kBadInput, path, "the path of a socket has 1 to {} characters",
                      sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // A card greets at once; what does not is no card.
  const timeval patience{2, 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(connection.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return make_error(ErrorKind::kIo, path, "no card serves this memory port: {}", std::strerror(errno));
  XNIC_ASSIGN(Received received, receive_greeting(connection, path));
  received.greeting.refusal[sizeof received.greeting.refusal - 1] = 0;
  if (received.greeting.refusal[0] != 0) return make_error(ErrorKind::kLimit, path, "{}", received.greeting.refusal);
  if (received.fds.empty()) return make_error(ErrorKind::kBadInput, path, "the card sent no memory");
  XNIC_ASSIGN(memory::Region region, memory::Region::map(received.fds[0]));
  if (received.fds.size() != region.header().queues + 1)
    return make_error(ErrorKind::kBadInput, path, "{} doorbells for {} queues", received.fds.size() - 1,
                      region.header().queues);
  MemoryPeer peer(std::move(region), std::move(connection));
  for (uint32_t queue = 0; queue < peer.queues(); ++queue)
    peer.channels_.push_back(peer.region_.channel(queue, memory::Side::kPeer, std::move(received.fds[queue + 1])));
  return peer;
}

MacAddress MemoryPeer::card_mac() const { return std::to_array(region_.header().mac); }

void MemoryPeer::flush(uint32_t queue) {
  memory::Channel& channel = channels_[queue];
  channel.out.publish();
  if (channel.out.must_wake()) channel.ring_bell();
}

uint32_t MemoryPeer::send(uint32_t queue, std::span<const base::Bytes> frames) {
  const auto count =
      static_cast<uint32_t>(std::min<size_t>(room(queue, static_cast<uint32_t>(frames.size())), frames.size()));
  if (count == 0) return 0;
  for (const base::Bytes& frame : frames.first(count)) {
    CHECK(frame.size() <= max_frame_bytes());
    std::memcpy(next_buffer(queue), frame.data(), frame.size());
    put(queue, static_cast<uint32_t>(frame.size()));
  }
  flush(queue);
  return count;
}

base::Bytes MemoryPeer::frame(uint32_t queue, uint32_t i) const {
  const memory::Channel& channel = channels_[queue];
  const uint32_t size = std::min(channel.in.peek(i).size, max_frame_bytes());
  return {channel.in_buffers + size_t{channel.in.slot(i)} * stride_bytes_, size};
}

void MemoryPeer::woken(uint32_t queue) {
  channels_[queue].in.wake();
  (void)channels_[queue].quiet_bell();
}

base::Result<bool> MemoryPeer::wait(uint32_t queue, int timeout_ms) {
  if (available(queue, 1) != 0) return true;
  if (prepare_sleep(queue)) {
    pollfd bell{wait_fd(queue), POLLIN, 0};
    (void)poll(&bell, 1, timeout_ms);
    woken(queue);
  }
  if (available(queue, 1) != 0) return true;  // what came before the end is still worth reading
  XNIC_TRY(status());
  return false;
}

base::Result<void> MemoryPeer::status() const {
  for (const memory::Channel& channel : channels_)
    if (channel.in.broken() || channel.out.broken())
      return make_error(ErrorKind::kIo, "memory port", "the card broke a ring; attach anew");
  char nothing;
  const ssize_t got = recv(connection_.get(), &nothing, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return {};
  return make_error(ErrorKind::kIo, "memory port", "the card has closed the connection; attach anew");
}

}  // namespace xnic::nic::port
