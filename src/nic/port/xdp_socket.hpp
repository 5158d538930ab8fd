// SPDX-License-Identifier: Apache-2.0
// One XDP socket: a queue of an interface, with the four rings of libxdp and the frames that the kernel has. Used by
// af_xdp.cpp only.
#pragma once

#include <xdp/xsk.h>

#include <string>
#include <vector>

#include "nic/port/port.hpp"

namespace xnic::nic::port {

class XdpSocket {
 public:
  struct Options {
    std::string interface;
    uint32_t queue = 0;
    uint32_t entries = 0;
    uint16_t bind_flags = 0;
    uint32_t busy_poll_us = 0;
    uint32_t max_frame_bytes = 0;  // to send
    bool multi_buffer = false;     // long frames in several segments
  };
  explicit XdpSocket(frame::Memory& memory) : memory_(memory) {}
  XdpSocket(const XdpSocket&) = delete;
  ~XdpSocket() { close(); }

  // 0, or a negative errno; -EBUSY also while an earlier socket of this queue is still being taken down.
  int open(const Options& options);
  // Closes the socket: the kernel is done with all frames. They are then what take_back() gives to `pool`.
  void close();
  void take_back(frame::Pool& pool);
  int fd() const { return fd_; }  // -1 when it is closed
  bool zero_copy() const;

  // Received frames in their places: at most `packets.size()`.
  uint32_t receive(std::span<exec::packet::Packet> packets, frame::Pool& pool, Counters& counters);
  // As Port::transmit().
  uint32_t transmit(std::span<exec::packet::Packet* const> packets, frame::Pool& pool, Counters& counters);
  void flush();
  void reap(frame::Pool& pool);
  bool has_frames() { return xsk_cons_nb_avail(&rx_, 1) != 0 || posted_ == 0; }
  // Frames given to the kernel to send that it has not given back.
  uint32_t outstanding() const { return outstanding_; }
  // The interface is gone: nothing will work again.
  bool dead() const { return dead_.load(std::memory_order_relaxed); }
  void look_for_death();

 private:
  void post(frame::Pool& pool);
  void wake_receiver();
  void kick();
  bool take_segment(const xdp_desc& descriptor, exec::packet::Packet& packet, frame::Pool& pool, Counters& counters);
  bool take_long(const xdp_desc& descriptor, exec::packet::Packet& packet, frame::Pool& pool, Counters& counters);
  bool put_packet(exec::packet::Packet& packet, frame::Pool& pool);
  void put_descriptor(const uint8_t* at, uint32_t size, bool more);

  // Which frames the kernel has: one bit a frame.
  uint32_t index_of(const uint8_t* at) const {
    return static_cast<uint32_t>(static_cast<size_t>(at - memory_.begin()) / frame::kFrameBytes);
  }
  uint8_t* at(uint64_t address) const { return memory_.begin() + address; }
  void mark(const uint8_t* at) { kernels_[index_of(at) / 64] |= uint64_t{1} << index_of(at) % 64; }
  bool unmark(uint64_t address);

  frame::Memory& memory_;
  Options options_;
  int fd_ = -1;
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  xsk_ring_prod fill_{}, tx_{};
  xsk_ring_cons completion_{}, rx_{};
  uint32_t empty_looks_ = 0;
  uint32_t posted_ = 0;       // frames in the fill ring, the driver and the receive ring
  uint32_t outstanding_ = 0;  // frames on the way out
  uint32_t unsubmitted_ = 0;  // descriptors written that the kernel does not yet see
  bool kick_due_ = false;
  std::vector<uint64_t> kernels_;
  std::vector<uint8_t> long_frame_;  // of several segments, being put together
  uint8_t* first_of_long_ = nullptr;
  bool too_long_ = false;  // that frame has more bytes than there can be
  std::atomic<bool> dead_{false};
};

}  // namespace xnic::nic::port
