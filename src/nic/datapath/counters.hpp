// SPDX-License-Identifier: Apache-2.0
// What the datapath counts. Each worker has its own counters of each port, so counting needs no locked instruction;
// readers add them up. A packet that comes into being (received, or copied) ends in exactly one count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "exec/verdict.hpp"

namespace xnic::nic::datapath {

// Ends of a packet other than a port. Name, and what it means, for people.
#define XNIC_DATAPATH_DROPS(X)                                                        \
  X(kProgram, "program", "the program said DROP")                                     \
  X(kAborted, "aborted", "the program said ABORTED, or a number that is no action")   \
  X(kFilter, "filter", "a filter drops it")                                           \
  X(kChecksum, "checksum", "a checksum was wrong on receipt")                         \
  X(kNoHost, "pass_no_host", "PASS, and the port has no host side")                   \
  X(kNoTarget, "no_target", "redirected to a port, worker or entry that isn't there") \
  X(kEntryProgram, "entry_program", "the program of a map entry did not let it pass") \
  X(kNoFrame, "no_frame", "no free frame for a copy")                                 \
  X(kTransmitFull, "transmit_full", "the transmit queue was full")                    \
  X(kStalled, "stalled", "a lossless port took nothing for too long")                 \
  X(kHandOverFull, "hand_over_full", "the ring to another worker was full")           \
  X(kPortGone, "port_gone", "its port was removed while it was on its way")

enum class Drop : uint8_t {
#define XNIC_DROP_ENUM(id, name, text) id,
  XNIC_DATAPATH_DROPS(XNIC_DROP_ENUM)
#undef XNIC_DROP_ENUM
};
#define XNIC_DROP_ONE(id, name, text) +1
inline constexpr size_t kDropCount = 0 XNIC_DATAPATH_DROPS(XNIC_DROP_ONE);
#undef XNIC_DROP_ONE
std::string_view drop_name(Drop drop);
std::string_view drop_text(Drop drop);

inline constexpr size_t kActionCount = 5;  // XDP actions

// Sums over workers, of a port or of the whole card.
struct Totals {
  uint64_t received = 0;  // from ports
  uint64_t copied = 0;    // made of others: broadcast, filters that copy
  uint64_t sent = 0;      // that a port's transmit() has dealt with; what the port dropped, the port counts
  std::array<uint64_t, kDropCount> drops{};
  uint64_t held = 0;         // in a backlog, or in a ring between workers, now
  uint64_t handed_over = 0;  // given to another worker; no end
  uint64_t bad_checksums = 0;
  uint64_t residence_ns = 0;  // of sent packets with a time stamp: from arrival to transmission, the sum
  uint64_t residence_count = 0;
  uint64_t residence_max_ns = 0;
  uint64_t drop(Drop reason) const { return drops[static_cast<size_t>(reason)]; }
  uint64_t dropped() const {
    uint64_t sum = 0;
    for (const uint64_t one : drops) sum += one;
    return sum;
  }
  // Every packet accounted for. True of a card at rest; while it runs, counters are read one after another.
  bool balanced() const { return received + copied == sent + dropped() + held; }
};

// The verdicts of the port's program on one queue.
struct QueueTotals {
  uint64_t packets = 0;
  std::array<uint64_t, kActionCount> verdicts{};
};

// One worker's counters of one port. Written by that worker.
struct WorkerCounters {
  using Counter = std::atomic<uint64_t>;
  explicit WorkerCounters(uint32_t queues) : verdicts(new Verdicts[queues]) {}
  Counter received{0}, copied{0}, sent{0}, handed_over{0}, bad_checksums{0};
  Counter residence_ns{0}, residence_count{0}, residence_max_ns{0};
  std::array<Counter, kDropCount> drops{};
  using Verdicts = std::array<Counter, kActionCount>;
  std::unique_ptr<Verdicts[]> verdicts;  // by queue

  void add_to(Totals& totals) const;
};

}  // namespace xnic::nic::datapath
