// SPDX-License-Identifier: Apache-2.0
// Frames are UDP over IPv4, a source port for each flow, so that the card spreads flows over its queues. Lane, flow and
// sequence number stand behind the UDP header; the rest is a pattern. The programs on the way may swap the MAC
// addresses and change nothing else.
#include "lane.hpp"

#include <algorithm>
#include <cstring>

#include "nic/port/port.hpp"

namespace xnic::tests::soak {

using nic::port::count;

namespace {

constexpr uint32_t kEthernetBytes = 14, kIpBytes = 20, kUdpBytes = 8;
constexpr uint32_t kLaneAt = kEthernetBytes + kIpBytes + kUdpBytes;
constexpr uint32_t kFlowAt = kLaneAt + 2;
constexpr uint32_t kSequenceAt = kFlowAt + 2;
constexpr uint32_t kSmallestBytes = 60;
constexpr uint32_t kInverseAt =
    kSequenceAt + 8;  // the number's low half once more, so that no flipped bit makes another
static_assert(kInverseAt + 4 <= kSmallestBytes);

// Mostly the smallest, as full rate wants it; now and then a large one.
uint32_t size_of(uint64_t sequence) {
  if (sequence % 16 == 5) return 508;
  return sequence % 64 == 9 ? Lane::kMaxFrameBytes : kSmallestBytes;
}

}  // namespace

Lane::Lane(uint32_t number, uint32_t flows) : number_(number), flows_(flows) {
  for (size_t i = 0; i < pattern_.size(); ++i) pattern_[i] = static_cast<uint8_t>(i * 151 + number);
  const uint8_t headers[] = {2,    0, 0, 0, 0, 2, 2, 0, 0,  0,  0, 1, 8,  0,                     // Ethernet
                             0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,  // IPv4
                             0,    0, 0, 9, 0, 0, 0, 0};                                         // UDP
  static_assert(sizeof headers == kLaneAt);
  std::memcpy(pattern_.data(), headers, sizeof headers);
  for (Flow& flow : flows_) flow.came.resize(kWindow / 64);
}

uint32_t Lane::make(uint8_t* to, uint32_t flow, uint64_t sequence) const {
  const uint32_t size = size_of(sequence);
  std::memcpy(to, pattern_.data(), size);
  base::store_be(to + kEthernetBytes + 2, static_cast<uint16_t>(size - kEthernetBytes));
  base::store_be(to + kEthernetBytes + kIpBytes, static_cast<uint16_t>(1000 + flow));
  base::store_be(to + kEthernetBytes + kIpBytes + 4, static_cast<uint16_t>(size - kEthernetBytes - kIpBytes));
  base::store_be(to + kLaneAt, static_cast<uint16_t>(number_));
  base::store_be(to + kFlowAt, static_cast<uint16_t>(flow));
  base::store_be(to + kSequenceAt, sequence);
  base::store_be(to + kInverseAt, ~static_cast<uint32_t>(sequence));
  return size;
}

uint32_t Lane::write(uint8_t* to) {
  Flow& flow = flows_[turn_];
  const uint32_t size = make(to, turn_, flow.next_sent++);
  turn_ = (turn_ + 1) % static_cast<uint32_t>(flows_.size());
  count(seen_.sent, 1);
  return size;
}

bool Lane::is_whole(base::Bytes frame, uint32_t flow, uint64_t sequence) {
  if (make(expected_.data(), flow, sequence) != frame.size()) return false;
  const uint8_t* const expected = expected_.data();
  if (std::memcmp(frame.data() + 12, expected + 12, frame.size() - 12) != 0) return false;
  const auto same = [&](size_t at, size_t as) { return std::memcmp(frame.data() + at, expected + as, 6) == 0; };
  return (same(0, 0) && same(6, 6)) || (same(0, 6) && same(6, 0));
}

void Lane::clear(Flow& flow, uint64_t from, uint64_t to) {
  for (uint64_t sequence = from; sequence < to;) {
    const uint64_t at = sequence % kWindow;
    if (at % 64 == 0 && to - sequence >= 64) {
      flow.came[at / 64] = 0;
      sequence += 64;
    } else {
      flow.came[at / 64] &= ~(uint64_t{1} << at % 64);
      ++sequence;
    }
  }
}

void Lane::judge(base::Bytes frame) {
  count(seen_.received, 1);
  if (frame.size() < kSmallestBytes) return count(seen_.changed, 1);
  const uint32_t number = base::load_be<uint16_t>(frame.data() + kFlowAt);
  const auto sequence = base::load_be<uint64_t>(frame.data() + kSequenceAt);
  if (number >= flows_.size()) return count(seen_.changed, 1);
  Flow& flow = flows_[number];
  // A number that was never sent, or one too old to be told from a duplicate.
  if (sequence >= flow.next_sent || sequence + kWindow <= flow.next_due || !is_whole(frame, number, sequence))
    return count(seen_.changed, 1);
  const bool late = sequence < flow.next_due;
  if (!late) {
    clear(flow, std::max(flow.next_due, sequence < kWindow ? 0 : sequence - kWindow + 1), sequence + 1);
    flow.next_due = sequence + 1;
  }
  uint64_t& word = flow.came[sequence % kWindow / 64];
  const uint64_t bit = uint64_t{1} << sequence % 64;
  if ((word & bit) != 0) return count(seen_.duplicates, 1);
  word |= bit;
  count(late ? seen_.late : seen_.in_order, 1);
}

}  // namespace xnic::tests::soak
