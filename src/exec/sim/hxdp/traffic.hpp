// SPDX-License-Identifier: Apache-2.0
// Traffic: when packets reach the card, in cycles; and what its input queue says to that.
//
// A packet arrives with its first byte, and its frames are written into the queue of its core, one a cycle, behind
// those of the packets before it. The depth of a queue is what has arrived and has not been read in yet, so a frame
// that waits for the port's bus counts. A packet that finds no room for all its frames is lost: no byte of it is kept,
// the program never sees it.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace xnic::exec::sim::hxdp {

// Bytes on the wire beside the frame that the card sees: checksum 4, preamble 8, gap 12.
inline constexpr uint64_t kWireBytes = 24;

struct Traffic {
  enum class Kind : uint8_t {
    kBackToBack,  // as fast as the port's bus writes frames; nothing is ever lost
    kPackets,     // `rate` packets a second, evenly spaced
    kBits,        // `rate` bits a second on the wire, one packet after the other
    kTimestamps,  // Packet::arrival_ns, counted from the first packet
  };
  Kind kind = Kind::kBackToBack;
  uint64_t rate = 0;
};

// Gives each packet its cycle. Exact in integers: rounding errors do not add up.
class Arrivals {
 public:
  Arrivals(const Traffic& traffic, uint64_t clock_hz) : traffic_(traffic), clock_hz_(clock_hz) {}
  // Of the next packet. Never earlier than the one before. Pre: not kBackToBack.
  uint64_t next(uint32_t bytes, uint64_t arrival_ns);

 private:
  Traffic traffic_;
  uint64_t clock_hz_;
  uint64_t packets_ = 0;
  uint64_t wire_bits_ = 0;
  uint64_t first_ns_ = 0;
  uint64_t last_ = 0;
};

// Packets whose read-in has a time, oldest first; those read in are forgotten.
class ReadIns {
 public:
  void add(uint64_t in_start, uint32_t frames) { list_.push_back({in_start, frames}); }
  // Frames not read in at `cycle`. Pre: cycles do not go back.
  uint64_t frames_left(uint64_t cycle);

 private:
  struct Entry {
    uint64_t in_start;
    uint32_t frames;
  };
  std::deque<Entry> list_;
};

// What became of the packets offered.
struct TrafficCounters {
  uint64_t offered = 0;
  uint64_t lost = 0;
  uint64_t wire_bits = 0;        // of the offered packets
  uint32_t most_frames = 0;      // of one packet
  uint64_t last_arrival = 0;     // cycle
  std::vector<uint32_t> depths;  // frames in the queue that the packet went to, when it came
};

}  // namespace xnic::exec::sim::hxdp
