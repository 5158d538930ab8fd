// SPDX-License-Identifier: Apache-2.0
// Where a frame is: with the kernel exactly when its bit in kernels_ is set. A bit is set when a frame is posted to be
// filled or sent and cleared when its descriptor comes back, so after the socket is closed the bits are what to take
// back, whatever the driver did with its rings.
//
// Sending: at most kKick descriptors are shown to the kernel at once, with a system call that sends them. Larger kicks
// overrun the receiver of a veth pair, which takes what comes before its worker gets to run (measured: 16 lose
// nothing).
#include "nic/port/xdp_socket.hpp"

#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace xnic::nic::port {

using exec::packet::kFragmentBytes;
using exec::packet::kHeadroomBytes;
using exec::packet::kMaxLinearBytes;
using exec::packet::Packet;
using frame::kFrameBytes;

namespace {

constexpr uint32_t kKick = 16;
constexpr uint32_t kPostAtOnce = 16;
// What the kernel can put into one packet buffer beside the first segment (MAX_SKB_FRAGS, less one that it keeps).
constexpr size_t kMaxFragments = 15;
constexpr size_t kLongestBytes = 1u << 17;
// Since Linux 6.6; linux/if_xdp.h of Debian 12 is older.
constexpr uint16_t kBindMultiBuffer = 1 << 4;      // XDP_USE_SG
constexpr uint32_t kDescriptorContinues = 1 << 0;  // XDP_PKT_CONTD
// linux/socket.h, since Linux 5.11.
constexpr int kSoPreferBusyPoll = 69;
constexpr int kSoBusyPollBudget = 70;

}  // namespace

int XdpSocket::open(const Options& options) {
  options_ = options;
  fill_ = tx_ = {};
  completion_ = rx_ = {};
  xsk_umem_config umem_config{};
  umem_config.fill_size = umem_config.comp_size = options.entries;
  umem_config.frame_size = kFrameBytes;
  int error = xsk_umem__create(&umem_, memory_.begin(), memory_.bytes(), &fill_, &completion_, &umem_config);
  if (error != 0) {
    umem_ = nullptr;
    return error;
  }
  xsk_socket_config config{};
  config.rx_size = config.tx_size = options.entries;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = options.bind_flags | XDP_USE_NEED_WAKEUP;
  if (options.multi_buffer) config.bind_flags |= kBindMultiBuffer;
  error = xsk_socket__create(&socket_, options.interface.c_str(), options.queue, umem_, &rx_, &tx_, &config);
  if (error != 0) {
    socket_ = nullptr;
    close();
    return error;
  }
  fd_ = xsk_socket__fd(socket_);
  if (options.busy_poll_us != 0) {
    const int on = 1, microseconds = static_cast<int>(options.busy_poll_us), budget = 64;
    if (setsockopt(fd_, SOL_SOCKET, kSoPreferBusyPoll, &on, sizeof on) != 0 ||
        setsockopt(fd_, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof microseconds) != 0 ||
        setsockopt(fd_, SOL_SOCKET, kSoBusyPollBudget, &budget, sizeof budget) != 0) {
      error = -errno;
      close();
      return error;
    }
  }
  kernels_.assign(memory_.frames() / 64 + 1, 0);
  long_frame_.reserve(options.multi_buffer ? kLongestBytes : kFrameBytes);
  return 0;
}

void XdpSocket::close() {
  if (socket_ != nullptr) xsk_socket__delete(socket_);
  if (umem_ != nullptr) xsk_umem__delete(umem_);
  socket_ = nullptr;
  umem_ = nullptr;
  fd_ = -1;
}

void XdpSocket::take_back(frame::Pool& pool) {
  for (size_t word = 0; word < kernels_.size(); ++word) {
    for (; kernels_[word] != 0; kernels_[word] &= kernels_[word] - 1)
      pool.put(memory_.begin() + (word * 64 + static_cast<size_t>(std::countr_zero(kernels_[word]))) * kFrameBytes);
  }
  if (first_of_long_ != nullptr) pool.put(std::exchange(first_of_long_, nullptr));
  posted_ = outstanding_ = unsubmitted_ = 0;
}

bool XdpSocket::zero_copy() const {
  xdp_options answer{};
  socklen_t size = sizeof answer;
  return getsockopt(fd_, SOL_XDP, XDP_OPTIONS, &answer, &size) == 0 && (answer.flags & XDP_OPTIONS_ZEROCOPY) != 0;
}

bool XdpSocket::unmark(uint64_t address) {
  const uint64_t index = address / kFrameBytes;
  if (index >= memory_.frames() || (kernels_[index / 64] >> index % 64 & 1) == 0) return false;
  kernels_[index / 64] &= ~(uint64_t{1} << index % 64);
  return true;
}

// A device that is unregistered puts ENETDOWN on its sockets (net/xdp/xsk.c, xsk_notifier).
void XdpSocket::look_for_death() {
  int error = 0;
  socklen_t size = sizeof error;
  if (fd_ >= 0 && getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ENETDOWN) dead_ = true;
}

// ---- receiving

void XdpSocket::post(frame::Pool& pool) {
  const uint32_t wanted = options_.entries - posted_;
  if (wanted < kPostAtOnce) return;
  uint32_t count = 0;
  uint32_t slot = 0;
  while (count < wanted && !pool.empty() && xsk_ring_prod__reserve(&fill_, 1, &slot) == 1) {
    uint8_t* frame = pool.get();
    *xsk_ring_prod__fill_addr(&fill_, slot) = static_cast<uint64_t>(frame - memory_.begin());
    mark(frame);
    ++count;
  }
  if (count == 0) return;
  xsk_ring_prod__submit(&fill_, count);
  posted_ += count;
}

void XdpSocket::wake_receiver() {
  if (options_.busy_poll_us == 0 && !xsk_ring_prod__needs_wakeup(&fill_)) return;
  (void)recvfrom(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
}

uint32_t XdpSocket::receive(std::span<Packet> packets, frame::Pool& pool, Counters& counters) {
  post(pool);
  uint32_t first = 0;
  uint32_t count = xsk_ring_cons__peek(&rx_, static_cast<uint32_t>(packets.size()), &first);
  if (count == 0) {
    wake_receiver();
    constexpr uint32_t kLooksBetween = 1u << 14;
    if (++empty_looks_ % kLooksBetween == 0) look_for_death();
    if (options_.busy_poll_us != 0) count = xsk_ring_cons__peek(&rx_, static_cast<uint32_t>(packets.size()), &first);
    if (count == 0) return 0;
  }
  uint32_t done = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const xdp_desc descriptor = *xsk_ring_cons__rx_desc(&rx_, first + i);
    if (!take_segment(descriptor, packets[done], pool, counters)) continue;
    bytes += packets[done].size();
    ++done;
  }
  xsk_ring_cons__release(&rx_, count);
  port::count(counters.received, done);
  port::count(counters.received_bytes, bytes);
  return done;
}

// True when a frame is complete and stands in `packet`.
bool XdpSocket::take_segment(const xdp_desc& descriptor, Packet& packet, frame::Pool& pool, Counters& counters) {
  if (!unmark(descriptor.addr)) {
    count(counters.drop_bad, 1);
    return false;
  }
  --posted_;
  const bool whole = (descriptor.options & kDescriptorContinues) == 0 && first_of_long_ == nullptr;
  if (!whole || descriptor.len > kMaxLinearBytes) return take_long(descriptor, packet, pool, counters);
  uint8_t* data = at(descriptor.addr);
  uint8_t* frame = memory_.frame_of(data);
  __builtin_prefetch(data);
  packet.bind(frame, static_cast<uint32_t>(data - frame), descriptor.len);
  return true;
}

// Puts a frame together in long_frame_; the packet then stands on the first of its frames. The kernel fills segments to
// 3840 bytes, a packet's linear part has at most 3520: the cuts move, so the bytes have to.
bool XdpSocket::take_long(const xdp_desc& descriptor, Packet& packet, frame::Pool& pool, Counters& counters) {
  const uint8_t* data = at(descriptor.addr);
  uint8_t* frame = memory_.frame_of(data);
  if (long_frame_.size() + descriptor.len > long_frame_.capacity())
    too_long_ = true;
  else
    long_frame_.insert(long_frame_.end(), data, data + descriptor.len);
  if (first_of_long_ == nullptr)
    first_of_long_ = frame;
  else
    pool.put(frame);
  if ((descriptor.options & kDescriptorContinues) != 0) return false;
  uint8_t* first = std::exchange(first_of_long_, nullptr);
  const bool good = !std::exchange(too_long_, false);
  if (good) {
    packet.bind(first, kHeadroomBytes, 0);
    packet.fill(long_frame_);
  } else {
    pool.put(first);
    count(counters.drop_bad, 1);
  }
  long_frame_.clear();
  return good;
}

// ---- sending

namespace {

// Moves the fragments into the linear part. Pre: the whole is at most kMaxLinearBytes.
void linearize(Packet& packet, uint32_t size) {
  const auto linear = static_cast<size_t>(packet.data_end - packet.data);
  if (packet.data + size > packet.frame_end()) {
    std::memmove(packet.frame() + kHeadroomBytes, packet.data, linear);
    packet.data = packet.data_meta = packet.frame() + kHeadroomBytes;
  }
  packet.data_end = packet.data + linear;
  for (const Packet::Fragment& fragment : packet.fragments) {
    std::memcpy(packet.data_end, fragment.buffer.get() + fragment.offset, fragment.size);
    packet.data_end += fragment.size;
  }
}

}  // namespace

void XdpSocket::put_descriptor(const uint8_t* at, uint32_t size, bool more) {
  uint32_t slot = 0;
  CHECK(xsk_ring_prod__reserve(&tx_, 1, &slot) == 1);  // what is outstanding fits the ring, and the ring has no more
  *xsk_ring_prod__tx_desc(&tx_, slot) = {static_cast<uint64_t>(at - memory_.begin()), size,
                                         more ? kDescriptorContinues : 0};
  mark(at);
  ++outstanding_;
  ++unsubmitted_;
}

// False: there is no room, or no free frames for the fragments.
bool XdpSocket::put_packet(Packet& packet, frame::Pool& pool) {
  const size_t fragments = options_.multi_buffer ? packet.fragments.size() : 0;
  if (options_.entries - outstanding_ < 1 + fragments) return false;
  if (fragments == 0) {
    if (!packet.fragments.empty()) linearize(packet, packet.size());
    put_descriptor(packet.data, static_cast<uint32_t>(packet.data_end - packet.data), false);
    packet.unbind();
    return true;
  }
  uint8_t* frames[kMaxFragments];
  size_t have = 0;
  while (have < fragments && (frames[have] = pool.get()) != nullptr) ++have;
  if (have < fragments) {
    while (have > 0) pool.put(frames[--have]);
    return false;
  }
  put_descriptor(packet.data, static_cast<uint32_t>(packet.data_end - packet.data), true);
  for (size_t i = 0; i < fragments; ++i) {
    const Packet::Fragment& fragment = packet.fragments[i];
    std::memcpy(frames[i], fragment.buffer.get() + fragment.offset, fragment.size);
    put_descriptor(frames[i], fragment.size, i + 1 < fragments);
  }
  packet.unbind();
  return true;
}

uint32_t XdpSocket::transmit(std::span<Packet* const> packets, frame::Pool& pool, Counters& counters) {
  if (outstanding_ > options_.entries / 2) reap(pool);
  uint32_t done = 0, sent = 0;
  uint64_t bytes = 0;
  for (; done < packets.size(); ++done) {
    Packet& packet = *packets[done];
    const uint32_t size = packet.size();
    const bool too_long = size > options_.max_frame_bytes || packet.fragments.size() > kMaxFragments;
    if (too_long || dead()) {
      pool.put(packet.unbind());
      count(too_long ? counters.drop_too_long : counters.drop_down, 1);
      continue;
    }
    if (!put_packet(packet, pool)) break;
    ++sent;
    bytes += size;
    if (unsubmitted_ >= kKick) kick();
  }
  if (done < packets.size()) {
    kick();
    reap(pool);
  }
  count(counters.transmitted, sent);
  count(counters.transmitted_bytes, bytes);
  return done;
}

void XdpSocket::kick() {
  if (unsubmitted_ != 0) xsk_ring_prod__submit(&tx_, unsubmitted_);
  unsubmitted_ = 0;
  kick_due_ = false;
  if (!xsk_ring_prod__needs_wakeup(&tx_) || sendto(fd_, nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) return;
  // EAGAIN, EBUSY, ENOBUFS: some are still in the ring. ENETDOWN: the interface is down and may come up again.
  kick_due_ = true;
  if (errno == ENXIO) dead_ = true;  // no longer bound to an interface
  if (errno == ENETDOWN) look_for_death();
}

void XdpSocket::flush() {
  if (unsubmitted_ != 0 || kick_due_) kick();
}

void XdpSocket::reap(frame::Pool& pool) {
  if (outstanding_ == 0) return;
  uint32_t first = 0;
  const uint32_t count = xsk_ring_cons__peek(&completion_, options_.entries, &first);
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t address = *xsk_ring_cons__comp_addr(&completion_, first + i);
    if (!unmark(address)) continue;
    pool.put(memory_.frame_of(at(address)));
    --outstanding_;
  }
  xsk_ring_cons__release(&completion_, count);
  if (kick_due_ && !dead()) kick();
}

}  // namespace xnic::nic::port
