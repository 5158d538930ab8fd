// SPDX-License-Identifier: Apache-2.0
// The memory that the card and the process at the other end of a memory port share, as both see it.
//
// One memfd, sealed against shrinking (so that no access to it can fail) and growing:
//   Header, then for each queue a channel to the peer and a channel to the card, all on pages of their own.
// A channel is a ring of descriptors and one buffer beside each descriptor: the frame of the descriptor at place i lies
// in buffer i. A descriptor says how long a frame is and nothing else, so there is no address that could be wrong.
//
// Buffers are an odd number of cache lines apart: at a power of two the first lines of all buffers would fall into a
// few sets of the caches and small frames would push one another out.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "exec/kernel/bpf_call.hpp"
#include "nic/port/port.hpp"
#include "nic/ring/spsc.hpp"

namespace xnic::nic::port::memory {

using exec::kernel::Fd;

inline constexpr uint32_t kMagic = 0x63696e78;  // "xnic"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxQueues = 64;
inline constexpr uint32_t kMaxEntries = 1u << 16;
inline constexpr uint32_t kMaxMtu = 65535 - 22;
// What a frame may have above the MTU: an Ethernet header and two VLAN tags.
inline constexpr uint32_t kLinkBytes = 22;

// In host byte order: both sides run on one machine. Written by the card before the peer sees it.
struct Header {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  uint32_t generation = 0;  // how many peers the port has had
  uint32_t queues = 0;
  uint32_t entries = 0;  // of each ring, a power of two
  uint32_t mtu = 0;
  uint32_t lossless = 0;  // 1: the card holds its traffic back when a ring is full
  uint8_t mac[6] = {};    // of the card's side
  uint8_t zero[2] = {};
};

// What the card sends first over the Unix socket, with the memfd and a doorbell for each queue as SCM_RIGHTS.
struct Greeting {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  char refusal[120] = "";  // why there is no memory for this peer; empty when there is
};

struct Descriptor {
  uint32_t size = 0;      // of the frame in bytes, no FCS
  uint32_t reserved = 0;  // must be zero
};

enum class Side { kCard, kPeer };

// One queue, both ways, as one side sees it.
struct Channel {
  ring::Producer<Descriptor> out;
  ring::Consumer<Descriptor> in;
  uint8_t* out_buffers;
  const uint8_t* in_buffers;
  Fd bell;  // one end of a pair of sockets: a byte sent is a doorbell, end of file is the end of the other side

  // Wakes the other side. Never blocks: when the socket is full, it has bells enough to hear.
  void ring_bell() const;
  // Takes all bells; false when the other side is gone.
  bool quiet_bell() const;
};

// From one buffer to the next.
constexpr uint32_t stride_for(uint32_t mtu) { return ((mtu + kLinkBytes + 63) / 64 | 1) * 64; }

// The mapped region. Unmaps.
class Region {
 public:
  // The card makes it, with empty rings. Errors: kIo.
  static base::Result<std::pair<Region, Fd>> create(const Header& header);
  // The peer maps it, and takes nothing on trust. Errors: kBadInput (not a region), kIo.
  static base::Result<Region> map(const Fd& memfd);
  Region(Region&& other) noexcept;
  Region& operator=(Region&&) = delete;
  ~Region();

  const Header& header() const { return header_; }
  uint32_t buffer_bytes() const { return header_.mtu + kLinkBytes; }
  uint32_t stride_bytes() const { return stride_for(header_.mtu); }
  Channel channel(uint32_t queue, Side side, Fd bell) const;
  // The ring that carries frames to the card.
  ring::Counters& counters_to_card(uint32_t queue) const;

 private:
  explicit Region(const Header& header) : header_(header) {}
  uint64_t bytes() const;
  uint64_t channel_bytes() const;
  uint8_t* ring_at(uint32_t queue, Side consumer) const;
  base::Result<void> map_fd(int fd);

  Header header_;  // a copy: what the region says later does not matter
  uint8_t* begin_ = nullptr;
};

}  // namespace xnic::nic::port::memory
