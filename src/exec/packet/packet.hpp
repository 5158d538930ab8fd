// SPDX-License-Identifier: Apache-2.0
// Packet: one buffer with head- and tailroom, data_meta <= data <= data_end, and further fragments for jumbo frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace xnic::exec::packet {

// Linux's XDP_PACKET_HEADROOM; of it sizeof(struct xdp_frame) = 40 bytes are not for the program (net/core/xdp.c).
inline constexpr uint32_t kHeadroomBytes = 256;
inline constexpr uint32_t kFrameHeaderBytes = 40;
// Kept at the end of a frame for struct skb_shared_info (x86-64, 6.18); adjust_tail cannot grow into it.
inline constexpr uint32_t kTailReserveBytes = 320;
inline constexpr uint32_t kFrameBytes = 4096;
// Longest linear part; longer frames go on in fragments. Linux 6.18's test run does so for programs with and without
// fragment support alike: both see 3520 linear bytes, both may call the helpers that reach the rest.
inline constexpr uint32_t kMaxLinearBytes = kFrameBytes - kHeadroomBytes - kTailReserveBytes;
inline constexpr uint32_t kFragmentBytes = 4096;
inline constexpr uint32_t kMinFrameBytes = 14;  // ETH_HLEN

// Invariant: frame_ <= data_meta <= data <= data_end <= frame_ + kFrameBytes - kTailReserveBytes.
// A packet has a linear buffer of its own, allocated once and reused, or stands on a frame of somebody else's (a port's
// ring): then it is made unbound, and bind() and unbind() say which frame it is.
class Packet {
 public:
  struct Fragment {
    std::unique_ptr<uint8_t[]> buffer;  // kFragmentBytes
    uint32_t offset = 0;
    uint32_t size = 0;
  };

  Packet();
  static Packet unbound() { return Packet(nullptr); }
  Packet(Packet&&) noexcept = default;
  Packet& operator=(Packet&&) noexcept = default;

  // Puts `frame` (an Ethernet frame, no FCS) behind fresh headroom, without metadata; splits into fragments above
  // kMaxLinearBytes. Head- and tailroom are zeroed, so that runs repeat exactly. Pre: the packet has a buffer.
  void assign(base::Bytes frame);
  // As assign(), but leaves what head- and tailroom hold, as a network card does: costs the copy of the bytes only.
  // Does not allocate once fragments have been as many as the frame needs.
  void fill(base::Bytes frame);

  // Stands on `frame` (kFrameBytes, not owned), whose `size` bytes of data begin at `offset`; no metadata, no
  // fragments. Pre: the packet was made unbound; the data lies within the invariant's bounds.
  void bind(uint8_t* frame, uint32_t offset, uint32_t size) {
    CHECK(!owned_ && offset + size <= kFrameBytes - kTailReserveBytes);
    drop_fragments();
    frame_ = frame;
    data_meta = data = frame + offset;
    data_end = data + size;
  }
  // Gives the frame up and returns it; null when there is none. Fragments are gone (their buffers are kept for reuse).
  uint8_t* unbind() {
    CHECK(!owned_);
    drop_fragments();
    return std::exchange(frame_, nullptr);
  }

  // Linear part plus fragments, from data to the end.
  std::vector<uint8_t> bytes() const;
  // Bytes from data to the end of the last fragment.
  uint32_t size() const {
    uint32_t total = static_cast<uint32_t>(data_end - data);
    for (const Fragment& fragment : fragments) total += fragment.size;
    return total;
  }

  uint8_t* frame() const { return frame_; }
  uint8_t* frame_end() const { return frame_ + kFrameBytes; }

  // Bounds as addresses; helpers move them.
  uint8_t* data_meta = nullptr;
  uint8_t* data = nullptr;
  uint8_t* data_end = nullptr;
  std::vector<Fragment> fragments;

  uint32_t ingress_ifindex = 1;
  uint32_t rx_queue = 0;
  uint32_t egress_ifindex = 0;
  uint64_t arrival_ns = 0;

 private:
  explicit Packet(std::nullptr_t) {}
  void add_fragments(base::Bytes rest);
  void drop_fragments() {
    if (!fragments.empty()) keep_spare_buffers();
  }
  void keep_spare_buffers();

  uint8_t* frame_ = nullptr;
  std::unique_ptr<uint8_t[]> owned_;               // what frame_ is, unless the packet was made unbound
  std::vector<std::unique_ptr<uint8_t[]>> spare_;  // buffers of earlier fragments
};

}  // namespace xnic::exec::packet
