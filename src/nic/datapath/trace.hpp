// SPDX-License-Identifier: Apache-2.0
// Looking at packets as they pass: each worker copies the first bytes of chosen packets, with their verdict, into a
// ring that the control side reads. A full ring loses records and counts them; it never holds a packet up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "exec/verdict.hpp"
#include "nic/datapath/filter.hpp"
#include "nic/ring/local.hpp"

namespace xnic::nic::datapath {

inline constexpr uint32_t kTraceBytes = 256;
inline constexpr uint32_t kTraceRecords = 1024;  // in each worker's ring

// A packet as the program left it.
struct TraceRecord {
  uint64_t time_ns = 0;  // of the card's clock
  uint32_t ingress_ifindex = 0;
  uint32_t rx_queue = 0;
  uint32_t packet_bytes = 0;
  uint16_t captured = 0;  // of `bytes`
  uint8_t worker = 0;
  uint8_t action = 0;  // XdpAction
  uint32_t code = 0;   // r0 of the program
  exec::Redirect redirect;
  std::array<uint8_t, kTraceBytes> bytes;
};

// Which packets are recorded: those that meet all of it.
struct TraceOptions {
  uint32_t ifindex = 0;   // ingress port; 0: every one
  uint32_t actions = 31;  // bits by XdpAction
  Match match;            // of the packet as it is after the program; no fields: every packet
  uint32_t snap_bytes = kTraceBytes;
};

// Immutable while workers look at it.
struct TraceFilter {
  TraceOptions options;
  std::shared_ptr<const FilterTable> match;  // null: every packet
};

class TraceRing {
 public:
  TraceRing() : ring_(kTraceRecords) {}

  // The worker. Counts a record that finds no room as missed.
  void add(const exec::packet::Packet& packet, const exec::Verdict& verdict, uint32_t worker, uint32_t snap_bytes,
           uint64_t now_ns);
  void publish() { ring_.producer.publish(); }

  // The control side, one thread at a time. False: there is none.
  bool take(TraceRecord& record) {
    if (ring_.consumer.available(1) == 0) return false;
    record = ring_.consumer.peek(0);
    ring_.consumer.release(1);
    return true;
  }
  uint64_t missed() const { return missed_.load(std::memory_order_relaxed); }

 private:
  ring::Local<TraceRecord> ring_;
  std::atomic<uint64_t> missed_{0};
};

// The records that `filter` wants of a batch that was run. Publishes them.
void trace_batch(const TraceFilter& filter, TraceRing& ring, std::span<const exec::packet::Packet> packets,
                 std::span<const exec::Verdict> verdicts, const port::MacAddress& own, uint32_t worker,
                 uint64_t now_ns);

}  // namespace xnic::nic::datapath
