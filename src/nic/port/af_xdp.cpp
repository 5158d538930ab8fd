// SPDX-License-Identifier: Apache-2.0
// The port: a redirecting program on the interface and a socket on each of its queues. Opening retries for a while when
// something is busy, since Linux takes down sockets and links of a process that has just ended in its own time.
#include "nic/port/af_xdp.hpp"

#include <linux/if_link.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>

#include "nic/port/af_xdp_program.hpp"
#include "nic/port/xdp_socket.hpp"

namespace xnic::nic::port {

using base::ErrorKind;
using base::make_error;
using exec::kernel::Fd;
using exec::packet::Packet;

namespace {

// As is_skb_forwardable() of the kernel has it: an Ethernet header and one VLAN tag.
constexpr uint32_t kLinkBytes = 18;
constexpr int kBusyRetries = 200;
constexpr useconds_t kBusyPauseUs = 10'000;
constexpr useconds_t kDrainPauseUs = 100;
constexpr int kDrainPauses = 1000;

// Repeats `attempt` while it gives -EBUSY, for two seconds.
template <class Attempt>
int while_busy(Attempt attempt) {
  int error = attempt();
  for (int i = 0; i < kBusyRetries && error == -EBUSY; ++i) {
    usleep(kBusyPauseUs);
    error = attempt();
  }
  return error;
}

base::Unexpected open_error(const AfXdpOptions& options, const std::string& what, int error) {
  const auto no = [&](ErrorKind kind, const char* why) {
    return make_error(kind, options.interface, "{}: {}", what, why);
  };
  switch (-error) {
    case EPERM:
      return no(ErrorKind::kIo, "this needs root (CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF)");
    case ENOBUFS:
      return no(ErrorKind::kLimit,
                "the limit of locked memory is too low for the card's packet memory; raise it (ulimit -l), have "
                "CAP_IPC_LOCK, or take fewer frames");
    case EBUSY:
    case EEXIST:
      return no(ErrorKind::kIo, "another program has it; see `ip link show`, and stop or detach that one");
    case EOPNOTSUPP:
      return no(ErrorKind::kUnsupported, "the driver cannot; use mode generic, and no zero-copy");
    case EINVAL:
      return no(ErrorKind::kBadInput, "the interface has no such queue; see `ethtool -l`");
    case ERANGE:
      return no(ErrorKind::kUnsupported, "the driver cannot at this MTU; use mode generic, or a smaller MTU");
    default:
      return no(ErrorKind::kIo, std::strerror(-error));
  }
}

class AfXdpPort final : public Port {
 public:
  AfXdpPort(Info info, RedirectProgram program, const base::Clock& clock)
      : info_(std::move(info)), program_(std::move(program)), clock_(clock) {}
  base::Result<void> open(const AfXdpOptions& options, int ifindex, frame::Memory& memory);

  const Info& info() const override { return info_; }
  const Counters& counters(uint32_t queue) const override;
  uint32_t receive(uint32_t index, std::span<Packet> packets, frame::Pool& pool) override {
    Queue& queue = queues_[index];
    if (queue.socket.fd() < 0) return 0;
    const uint32_t count = queue.socket.receive(packets, pool, queue.counters);
    if (count == 0) return 0;
    const uint64_t now_ns = clock_.monotonic_ns();
    for (Packet& packet : packets.first(count)) {
      packet.ingress_ifindex = info_.ifindex;
      packet.rx_queue = index;
      packet.egress_ifindex = 0;
      packet.arrival_ns = now_ns;
    }
    return count;
  }
  uint32_t transmit(uint32_t index, std::span<Packet* const> packets, frame::Pool& pool) override {
    Queue& queue = queues_[index];
    if (queue.socket.fd() >= 0) return queue.socket.transmit(packets, pool, queue.counters);
    for (Packet* packet : packets) pool.put(packet->unbind());
    count(queue.counters.drop_down, packets.size());
    return static_cast<uint32_t>(packets.size());
  }
  void flush(uint32_t queue) override {
    if (queues_[queue].socket.fd() >= 0) queues_[queue].socket.flush();
  }
  void reap(uint32_t queue, frame::Pool& pool) override {
    if (queues_[queue].socket.fd() >= 0) queues_[queue].socket.reap(pool);
  }
  int wait_fd(uint32_t queue) const override { return queues_[queue].socket.fd(); }
  bool prepare_sleep(uint32_t queue) override {
    return queues_[queue].socket.fd() < 0 || !queues_[queue].socket.has_frames();
  }
  void woken(uint32_t queue) override { queues_[queue].socket.look_for_death(); }
  void close(uint32_t queue, frame::Pool& pool) override;
  base::Result<void> status() const override;

 private:
  struct alignas(64) Queue {
    explicit Queue(frame::Memory& memory) : socket(memory) {}
    XdpSocket socket;
    Counters counters;
  };

  Info info_;
  RedirectProgram program_;
  const base::Clock& clock_;
  mutable std::deque<Queue> queues_;  // mutable: the kernel's counts are fetched when they are asked for
  mutable std::mutex mutex_;          // close() against counters() and status()
};

base::Result<void> AfXdpPort::open(const AfXdpOptions& options, int ifindex, frame::Memory& memory) {
  bool native = options.mode != AfXdpOptions::Mode::kGeneric;
  int error = 0;
  if (native) error = while_busy([&] { return program_.attach(ifindex, XDP_FLAGS_DRV_MODE); });
  const bool occupied = error == -EBUSY || error == -EEXIST || error == -EPERM;
  if (!native || (error != 0 && !occupied && options.mode == AfXdpOptions::Mode::kAuto)) {
    native = false;
    error = while_busy([&] { return program_.attach(ifindex, XDP_FLAGS_SKB_MODE); });
  }
  if (error != 0) return open_error(options, "cannot attach the redirecting program", error);

  XdpSocket::Options of_socket{.interface = options.interface,
                               .entries = options.entries,
                               .busy_poll_us = options.busy_poll_us,
                               .max_frame_bytes = info_.mtu + kLinkBytes,
                               .multi_buffer = info_.mtu + kLinkBytes > exec::packet::kMaxLinearBytes};
  // In generic mode the driver knows of no program and could not move frames itself.
  if (!native || options.copy == AfXdpOptions::Copy::kCopy) of_socket.bind_flags = XDP_COPY;
  if (options.copy == AfXdpOptions::Copy::kZeroCopy) of_socket.bind_flags = XDP_ZEROCOPY;
  for (uint32_t i = 0; i < info_.queues; ++i) {
    of_socket.queue = i;
    XdpSocket& socket = queues_.emplace_back(memory).socket;
    if (error = while_busy([&] { return socket.open(of_socket); }); error != 0)
      return open_error(options, fmt::format("cannot open an XDP socket on queue {}", i), error);
    if (error = program_.set_socket(i, socket.fd()); error != 0)
      return open_error(options, fmt::format("cannot redirect to the socket of queue {}", i), error);
  }
  info_.detail =
      fmt::format("{}, {}", native ? "native" : "generic", queues_[0].socket.zero_copy() ? "zero-copy" : "copy");
  return {};
}

// The kernel counts what it could not hand over: our receive ring was full, or there was no frame to fill.
const Counters& AfXdpPort::counters(uint32_t index) const {
  Queue& queue = queues_[index];
  std::lock_guard lock(mutex_);
  xdp_statistics now{};
  socklen_t size = sizeof now;
  if (queue.socket.fd() >= 0 && getsockopt(queue.socket.fd(), SOL_XDP, XDP_STATISTICS, &now, &size) == 0)
    queue.counters.drop_kernel = now.rx_dropped + now.rx_ring_full;
  return queue.counters;
}

void AfXdpPort::close(uint32_t index, frame::Pool& pool) {
  (void)counters(index);
  XdpSocket& socket = queues_[index].socket;
  if (socket.fd() < 0) return;
  program_.erase_socket(index);
  // What is on its way out may still be read from our frames: it gets a tenth of a second.
  for (int i = 0; i < kDrainPauses && socket.outstanding() != 0 && !socket.dead(); ++i) {
    socket.flush();
    socket.reap(pool);
    if (socket.outstanding() != 0) usleep(kDrainPauseUs);
  }
  {
    std::lock_guard lock(mutex_);
    socket.close();
  }
  socket.take_back(pool);
}

base::Result<void> AfXdpPort::status() const {
  std::lock_guard lock(mutex_);
  for (Queue& queue : queues_) {
    queue.socket.look_for_death();
    if (queue.socket.dead())
      return make_error(ErrorKind::kIo, info_.name, "its interface has been deleted; remove the port, or make it anew");
  }
  return {};
}

// MTU and MAC address.
base::Result<void> ask_interface(Info& info, const std::string& interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (ioctl(any.get(), SIOCGIFMTU, &request) != 0)
    return make_error(ErrorKind::kIo, interface, "cannot ask for the MTU: {}", std::strerror(errno));
  info.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (ioctl(any.get(), SIOCGIFHWADDR, &request) != 0)
    return make_error(ErrorKind::kIo, interface, "cannot ask for the MAC address: {}", std::strerror(errno));
  std::memcpy(info.mac.data(), request.ifr_hwaddr.sa_data, info.mac.size());
  return {};
}

}  // namespace

base::Result<std::unique_ptr<Port>> open_af_xdp(Info info, const AfXdpOptions& options, frame::Memory& memory,
                                                const base::Clock& clock) {
  const auto ifindex = static_cast<int>(if_nametoindex(options.interface.c_str()));
  if (ifindex == 0)
    return make_error(ErrorKind::kBadInput, options.interface, "there is no such interface; see `ip link`");
  if (!std::has_single_bit(options.entries) || options.entries < 64 || options.entries > 1u << 15)
    return make_error(ErrorKind::kBadInput, info.name, "{} entries: a ring has a power of two, 64 to {}",
                      options.entries, 1u << 15);
  if (info.queues == 0) return make_error(ErrorKind::kBadInput, info.name, "a port has at least one queue");
  if (options.mode == AfXdpOptions::Mode::kGeneric && options.copy == AfXdpOptions::Copy::kZeroCopy)
    return make_error(ErrorKind::kBadInput, info.name, "mode generic copies: zero-copy needs mode native");
  info.kind = "af_xdp";
  XNIC_TRY(ask_interface(info, options.interface));
  const bool multi_buffer = info.mtu + kLinkBytes > exec::packet::kMaxLinearBytes;
  XNIC_ASSIGN(RedirectProgram program, RedirectProgram::load(info.queues, multi_buffer));
  auto port = std::make_unique<AfXdpPort>(std::move(info), std::move(program), clock);
  XNIC_TRY(port->open(options, ifindex, memory));
  return port;
}

}  // namespace xnic::nic::port
