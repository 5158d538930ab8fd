// SPDX-License-Identifier: Apache-2.0
// Packet: one buffer with head- and tailroom, data_meta <= data <= data_end, and further fragments for jumbo frames.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.hpp"

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
// The linear buffer is allocated once and reused: assign() does not allocate for frames that fit the linear part.
class Packet {
 public:
  Packet();
  Packet(Packet&&) noexcept = default;
  Packet& operator=(Packet&&) noexcept = default;

  // Puts `frame` (an Ethernet frame, no FCS) behind fresh headroom, without metadata; splits into fragments above
  // kMaxLinearBytes. Headroom is zeroed, so that runs repeat exactly.
  void assign(base::Bytes frame);
  // Linear part plus fragments, from data to the end.
  std::vector<uint8_t> bytes() const;
  uint32_t size() const;  // bytes from data to the end of the last fragment

  uint8_t* frame() const { return frame_.get(); }
  uint8_t* frame_end() const { return frame_.get() + kFrameBytes; }

  // Bounds as addresses; helpers move them.
  uint8_t* data_meta = nullptr;
  uint8_t* data = nullptr;
  uint8_t* data_end = nullptr;
  struct Fragment {
    std::unique_ptr<uint8_t[]> buffer;  // kFragmentBytes
    uint32_t offset = 0;
    uint32_t size = 0;
  };
  std::vector<Fragment> fragments;

  uint32_t ingress_ifindex = 1;
  uint32_t rx_queue = 0;
  uint32_t egress_ifindex = 0;
  uint64_t arrival_ns = 0;

 private:
  std::unique_ptr<uint8_t[]> frame_;
};

}  // namespace xnic::exec::packet
