// SPDX-License-Identifier: Apache-2.0
// One descriptor a queue (IFF_MULTI_QUEUE), without packet information and offloads: a read or write is one frame with
// its checksums in place. Frames are received straight into frames of the card; only jumbo frames are copied once more.
#include "nic/port/tap.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "exec/kernel/bpf_call.hpp"

namespace xnic::nic::port {

using base::ErrorKind;
using base::make_error;
using exec::kernel::Fd;
using exec::packet::kHeadroomBytes;
using exec::packet::kMaxLinearBytes;
using exec::packet::Packet;

namespace {

constexpr uint32_t kMaxQueues = 256;  // MAX_TAP_QUEUES of the kernel
constexpr uint32_t kLinkBytes = 18;   // an Ethernet header and one VLAN tag
constexpr size_t kLongestBytes = 65536 + kLinkBytes;
constexpr size_t kMaxParts = 32;

struct alignas(64) Queue {
  Fd fd;
  Counters counters;
  std::vector<uint8_t> long_frame;
};

class TapPort final : public Port {
 public:
  TapPort(Info info, const base::Clock& clock) : info_(std::move(info)), clock_(clock), queues_(info_.queues) {}
  base::Result<void> open(const std::string& interface);

  const Info& info() const override { return info_; }
  const Counters& counters(uint32_t queue) const override { return queues_[queue].counters; }
  uint32_t receive(uint32_t queue, std::span<Packet> packets, frame::Pool& pool) override;
  uint32_t transmit(uint32_t queue, std::span<Packet* const> packets, frame::Pool& pool) override;
  void flush(uint32_t) override {}               // a write is seen at once
  void reap(uint32_t, frame::Pool&) override {}  // and its frame free at once
  int wait_fd(uint32_t queue) const override { return queues_[queue].fd.get(); }
  bool prepare_sleep(uint32_t) override { return true; }  // poll(2) looks at the queue itself
  void woken(uint32_t) override {}
  void close(uint32_t queue, frame::Pool&) override { queues_[queue].fd = Fd(); }
  base::Result<void> status() const override;

 private:
  base::Result<void> set_up(const std::string& interface) const;

  const Info info_;
  const base::Clock& clock_;
  std::deque<Queue> queues_;
  std::atomic<bool> dead_{false};
};

base::Result<void> TapPort::open(const std::string& interface) {
  for (Queue& queue : queues_) {
    queue.fd = Fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (queue.fd.get() < 0)
      return make_error(ErrorKind::kIo, interface, "cannot open /dev/net/tun: {}", std::strerror(errno));
    ifreq request{};
    std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | (info_.queues > 1 ? IFF_MULTI_QUEUE : 0));
    if (ioctl(queue.fd.get(), TUNSETIFF, &request) != 0) {
      const char* why = errno == EPERM    ? "this needs root (CAP_NET_ADMIN)"
                        : errno == EBUSY  ? "the interface is in use"
                        : errno == EINVAL ? "an interface of this name exists, and is no TAP with as many queues"
                                          : std::strerror(errno);
      return make_error(ErrorKind::kIo, interface, "cannot make the interface: {}", why);
    }
    queue.long_frame.resize(kLongestBytes);
  }
  return set_up(interface);
}

base::Result<void> TapPort::set_up(const std::string& interface) const {
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  request.ifr_mtu = static_cast<int>(info_.mtu);
  if (ioctl(any.get(), SIOCSIFMTU, &request) != 0)
    return make_error(ErrorKind::kBadInput, interface, "cannot set the MTU to {}: {}", info_.mtu, std::strerror(errno));
  if (ioctl(any.get(), SIOCGIFFLAGS, &request) == 0) {
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (ioctl(any.get(), SIOCSIFFLAGS, &request) == 0) return {};
  }
  return make_error(ErrorKind::kIo, interface, "cannot bring the interface up: {}", std::strerror(errno));
}

uint32_t TapPort::receive(uint32_t index, std::span<Packet> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  uint64_t now_ns = 0;
  uint64_t bytes = 0;
  uint32_t done = 0;
  // Without a free frame the rest waits in the host's queue.
  while (done < packets.size() && !pool.empty()) {
    uint8_t* frame = pool.get();
    const iovec parts[] = {{frame + kHeadroomBytes, kMaxLinearBytes},
                           {queue.long_frame.data() + kMaxLinearBytes, kLongestBytes - kMaxLinearBytes}};
    const ssize_t got = readv(queue.fd.get(), parts, 2);
    if (got < static_cast<ssize_t>(exec::packet::kMinFrameBytes)) {
      pool.put(frame);
      if (got >= 0) {
        count(queue.counters.drop_bad, 1);
        continue;
      }
      if (errno == EBADFD) dead_ = true;  // the interface was deleted
      break;
    }
    const auto size = static_cast<uint32_t>(got);
    Packet& packet = packets[done++];
    packet.bind(frame, kHeadroomBytes, std::min(size, kMaxLinearBytes));
    if (size > kMaxLinearBytes) {
      std::memcpy(queue.long_frame.data(), packet.data, kMaxLinearBytes);
      packet.fill({queue.long_frame.data(), size});
    }
    if (now_ns == 0) now_ns = clock_.monotonic_ns();
    packet.ingress_ifindex = info_.ifindex;
    packet.rx_queue = index;
    packet.egress_ifindex = 0;
    packet.arrival_ns = now_ns;
    bytes += size;
  }
  if (done == 0) return 0;
  count(queue.counters.received, done);
  count(queue.counters.received_bytes, bytes);
  return done;
}

uint32_t TapPort::transmit(uint32_t index, std::span<Packet* const> packets, frame::Pool& pool) {
  Queue& queue = queues_[index];
  uint32_t done = 0;
  for (; done < packets.size(); ++done) {
    Packet& packet = *packets[done];
    const uint32_t size = packet.size();
    if (size > info_.mtu + kLinkBytes || packet.fragments.size() >= kMaxParts) {
      count(queue.counters.drop_too_long, 1);
    } else {
      iovec parts[kMaxParts];
      int used = 0;
      parts[used++] = {packet.data, static_cast<size_t>(packet.data_end - packet.data)};
      for (const Packet::Fragment& fragment : packet.fragments)
        parts[used++] = {fragment.buffer.get() + fragment.offset, fragment.size};
      if (writev(queue.fd.get(), parts, used) >= 0) {
        count(queue.counters.transmitted, 1);
        count(queue.counters.transmitted_bytes, size);
      } else if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM) {
        break;
      } else {  // EIO: the interface is not up. EBADFD: it was deleted. EBADF: the queue is closed.
        if (errno == EBADFD) dead_ = true;
        count(queue.counters.drop_down, 1);
      }
    }
    pool.put(packet.unbind());
  }
  return done;
}

base::Result<void> TapPort::status() const {
  ifreq request{};
  const bool gone = queues_[0].fd.get() >= 0 && ioctl(queues_[0].fd.get(), TUNGETIFF, &request) != 0 && errno == EBADFD;
  if (!gone && !dead_) return {};
  return make_error(ErrorKind::kIo, info_.name, "its interface has been deleted; remove the port, or make it anew");
}

}  // namespace

base::Result<std::unique_ptr<Port>> open_tap(Info info, const std::string& interface, const base::Clock& clock) {
  if (info.queues < 1 || info.queues > kMaxQueues)
    return make_error(ErrorKind::kBadInput, info.name, "{} queues: a TAP port has 1 to {}", info.queues, kMaxQueues);
  if (interface.empty() || interface.size() >= IFNAMSIZ)
    return make_error(ErrorKind::kBadInput, info.name, "the name of an interface has 1 to {} characters", IFNAMSIZ - 1);
  info.kind = "tap";
  info.detail = interface;
  auto port = std::make_unique<TapPort>(std::move(info), clock);
  XNIC_TRY(port->open(interface));
  return port;
}

}  // namespace xnic::nic::port
