// SPDX-License-Identifier: Apache-2.0
// A lane: numbered frames on their way through the card, made at one end and judged at the other.
//
// Every byte of a frame follows from lane, flow and sequence number, so the far end makes the frame that it should have
// got and compares. What it finds is one of: changed (anything is different), a duplicate (this number came before),
// late (a higher number of its flow came before), or in order. A number that never came is missing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace xnic::tests::soak {

class Lane {
 public:
  static constexpr uint32_t kMaxFrameBytes = 1514;
  // Numbers of a flow that are told apart at one time; a frame that comes later than that counts as changed.
  static constexpr uint64_t kWindow = 1 << 18;

  // `number` tells lanes apart; 1 to 64 flows.
  Lane(uint32_t number, uint32_t flows);

  // Used by one thread at a time.
  // Writes the next frame, up to kMaxFrameBytes, and returns its size.
  uint32_t write(uint8_t* to);
  void judge(base::Bytes frame);

  // By any thread.
  struct Seen {
    std::atomic<uint64_t> sent{0}, received{0}, in_order{0}, late{0}, duplicates{0}, changed{0};
  };
  const Seen& seen() const { return seen_; }
  // Pre: nothing is under way.
  uint64_t missing() const { return seen_.sent - seen_.in_order - seen_.late; }

 private:
  struct Flow {
    uint64_t next_sent = 0;
    uint64_t next_due = 0;       // one above the highest number that came
    std::vector<uint64_t> came;  // a bit for each number of the window
  };
  uint32_t make(uint8_t* to, uint32_t flow, uint64_t sequence) const;
  bool is_whole(base::Bytes frame, uint32_t flow, uint64_t sequence);
  static void clear(Flow& flow, uint64_t from, uint64_t to);

  const uint32_t number_;
  std::array<uint8_t, kMaxFrameBytes> pattern_;
  std::array<uint8_t, kMaxFrameBytes> expected_;
  std::vector<Flow> flows_;
  uint32_t turn_ = 0;
  Seen seen_;
};

}  // namespace xnic::tests::soak
