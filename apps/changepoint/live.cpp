// SPDX-License-Identifier: Apache-2.0
#include "changepoint/live.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace xnic::apps::changepoint {
namespace {

base::Unexpected refused(const std::string& name, const char* what) {
  return base::make_error(base::ErrorKind::kIo, name, "{}: {}", what, std::strerror(errno));
}

}  // namespace

base::Result<LiveInterface> LiveInterface::open(const std::string& name) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) return refused(name, "no such interface");
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (fd < 0) return refused(name, "a packet socket");
  LiveInterface live(fd, name);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(index);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return refused(name, "bind");
  // A burst of the sender must not overrun the default of the socket; more than the system allows is cut there.
  const int bytes = 32 << 20;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  return live;
}

base::Result<void> LiveInterface::send(base::Bytes frame) {
  while (::send(fd_, frame.data(), frame.size(), 0) < 0) {
    if (errno == ENOBUFS || errno == EAGAIN) {  // the interface's queue is full
      usleep(50);
    } else if (errno != EINTR) {
      return refused(name_, "sending");
    }
  }
  return {};
}

base::Result<std::optional<std::vector<uint8_t>>> LiveInterface::receive(double timeout_s) {
  std::vector<uint8_t> frame(2048);
  for (;;) {
    pollfd wait{fd_, POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(timeout_s * 1e3));
    if (ready == 0) return std::nullopt;
    if (ready < 0) {
      if (errno == EINTR) continue;
      return refused(name_, "waiting");
    }
    sockaddr_ll from{};
    socklen_t size = sizeof from;
    const ssize_t got =
        recvfrom(fd_, frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return refused(name_, "receiving");
    }
    if (from.sll_pkttype == PACKET_OUTGOING) continue;
    frame.resize(static_cast<size_t>(got));
    return frame;
  }
}

LiveInterface::LiveInterface(LiveInterface&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}
LiveInterface& LiveInterface::operator=(LiveInterface&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  return *this;
}
LiveInterface::~LiveInterface() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace xnic::apps::changepoint
