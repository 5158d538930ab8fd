// SPDX-License-Identifier: Apache-2.0
// The card's work, done by whoever sends: a frame is copied into the posted buffers of those that get it, and an event
// is written for each buffer. Every process that has the card's memory mapped can do so, and so does the service for
// frames that come from the kernel.
#pragma once

#include <array>
#include <functional>

#include "nic/vi/card_memory.hpp"
#include "nic/vi/steering.hpp"

namespace xnic::nic::vi {

struct Piece {
  const uint8_t* data;
  uint32_t bytes;
};

// What is wrong with a frame as the receiver's checks find it: EF_VI_DISCARD_RX_* bits.
enum Fault : uint32_t { kFaultL4 = 1, kFaultL3 = 2, kFaultCrc = 4 };

// A frame to be delivered: pieces in a row, none of them empty.
struct Frame {
  static constexpr size_t kMaxPieces = 34;
  std::array<Piece, kMaxPieces> pieces;
  uint32_t count = 0;
  uint32_t bytes = 0;
  uint32_t faults = 0;
  void add(const uint8_t* data, uint32_t size) {
    pieces[count++] = {data, size};
    bytes += size;
  }
};

// Frames shorter than this are filled up with zeros, as on a wire (IEEE 802.3, FCS not counted).
inline constexpr uint32_t kShortestFrame = 60;
void pad(Frame& frame);

// What a process needs to deliver, besides the card's memory.
struct Delivery {
  CardView card;
  uint32_t client = 0;                           // number of the process's connection, for locks
  std::function<void(uint32_t interface)> ring;  // wakes the owner of the event queue of `interface`
  std::function<bool()> card_lives;              // asked when a lock is not given up for long

  // Puts the frame into the interface's posted buffers. When there are none, or no room for the events, it is counted
  // and gone. Group: the frame went to more than one station. `now_ns`: since the epoch, of the frame; 0: not known.
  void deliver(const Target& target, const Frame& frame, bool group, uint64_t now_ns) const;
  // An event that is not about a frame. False when the event queue is full or its interface is gone.
  bool signal(uint32_t interface, const Event& event) const;
  // No buffer that is posted now is written any more. How many of all that were posted have been used.
  uint32_t take_back(uint32_t interface) const;
  // Service only: whoever delivers to the interface has ended, and nobody begins.
  void retire(uint32_t interface) const;

 private:
  bool lock(Interface& queue) const;
  void unlock(Interface& queue, uint32_t number) const;
};

// Service only: frees the event queue's lock when `client`, which is dead, holds it, and brings queue and descriptors
// to what the events say that were written. True when it did.
bool recover(CardView card, uint32_t interface, uint32_t client);

// Copies upwards, so that whoever waits for the last byte may read all before it.
void copy_up(uint8_t* to, const uint8_t* from, size_t bytes);

}  // namespace xnic::nic::vi
