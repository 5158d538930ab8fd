// SPDX-License-Identifier: Apache-2.0
// What the workers work by. The configuration is one immutable snapshot: a change makes a new one, publishes its
// address, and frees the old one when every worker has begun a poll after that. So within a poll everything (programs,
// filters, ports) is of one configuration, and changes need no lock on the packet path.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nic/datapath/attachment.hpp"
#include "nic/datapath/counters.hpp"
#include "nic/datapath/filter.hpp"
#include "nic/datapath/handover.hpp"
#include "nic/datapath/rss.hpp"
#include "nic/datapath/trace.hpp"
#include "nic/port/port.hpp"

namespace xnic::nic::datapath {

inline constexpr size_t kMaxPorts = 256;  // of a card; no list of ports grows on the packet path
inline constexpr size_t kBatch = 64;
inline constexpr size_t kBacklog = 256;  // packets that wait for a full lossless queue, at most

enum class ChecksumCheck : uint8_t { kOff, kCount, kDrop };
// Each of a port's abilities can be switched while it runs.
struct Features {
  ChecksumCheck check = ChecksumCheck::kOff;  // on receipt
  bool fill_checksums = false;                // on transmission: IPv4, TCP, UDP
  bool strip_vlan = false;                    // on receipt
  uint16_t strip_vlan_id = kNoVlan;           // which tag; kNoVlan: whatever id it has
  uint16_t insert_vlan_id = kNoVlan;          // on transmission; kNoVlan: no tag
  bool time_stamps = false;                   // arrival for ports that give none, and how long packets stay in the card
};

struct PortOptions {
  // 0: a port of the card, which programs attach to. Else a side of that port: its host side, a virtual interface. What
  // a side receives goes out of its port; no program, no filter sees it.
  uint32_t side_of = 0;
  bool host = false;       // of a side: packets that the program passes go here
  uint32_t rx_queues = 0;  // as programs see them, spread over by RSS; 0: those of the port, as the port spreads them
  uint32_t first_worker = 0;        // queue i is worker (first_worker + i) modulo the number of workers
  std::string engine{};             // of its programs; empty: the card's
  uint64_t stall_ns = 100'000'000;  // a lossless port that takes nothing for so long loses what waits for it
  Features features{};
};

// A port and what each worker needs for it. Lives as long as a configuration names it.
struct PortState {
  PortState(std::unique_ptr<port::Port> its_port, PortOptions its_options, uint32_t workers);

  // Used by one worker alone; others read the counters.
  struct alignas(64) Side {
    explicit Side(uint32_t queues) : counters(queues) {}
    WorkerCounters counters;
    bool own_queue = false;  // this worker has a transmit queue
    uint32_t queue = 0;      // that queue, or one of worker `via`
    uint32_t via = 0;        // who transmits
    bool touched = false;    // in the worker's list of ports to flush
    uint32_t staged_count = 0;
    std::array<exec::packet::Packet*, kBatch> staged;
    // What a full lossless queue did not take: a ring of packets from `oldest` on. Made when it is first needed, for
    // lossless ports when the port is added.
    std::vector<exec::packet::Packet> backlog;
    uint32_t oldest = 0;
    std::atomic<uint32_t> waiting{0};
    uint64_t waiting_since_ns = 0;  // the last time that the port took something
    bool stalled = false;           // nothing is held for it until it takes a whole batch again
  };

  const uint32_t ifindex;
  const std::unique_ptr<port::Port> port;
  const PortOptions options;
  const uint32_t queues;  // as programs see them
  const bool spread;      // by RSS
  const bool lossless;
  const port::MacAddress mac;
  std::vector<std::unique_ptr<Side>> sides;  // by worker
};

// A port in one configuration.
struct PortView {
  std::shared_ptr<PortState> state;
  std::shared_ptr<Attachment> program;         // null: everything passes
  std::shared_ptr<const FilterTable> filters;  // null: none
  std::shared_ptr<const Rss> rss;              // when the port is spread
  Features features{};
  uint32_t host = 0;   // ifindex of its host side; 0: none
  std::string engine;  // of the next program; empty: the card's
};

struct Config {
  struct Queue {
    const PortView* port;
    uint32_t queue;  // of the port
  };
  // Fills in `by_ifindex` and `receive` from `ports`.
  void index(uint32_t workers);
  const PortView* find(uint32_t ifindex) const {
    for (size_t at = ifindex * 0x9e3779b1u;; ++at) {
      const PortView* port = by_ifindex[at & (by_ifindex.size() - 1)];
      if (port == nullptr || port->state->ifindex == ifindex) return port;
    }
  }
  PortView* find(uint32_t ifindex) { return const_cast<PortView*>(std::as_const(*this).find(ifindex)); }

  std::vector<PortView> ports;
  std::vector<const PortView*> by_ifindex;   // a power of two, at most half full
  std::vector<std::vector<Queue>> receive;   // by worker: what it polls
  std::shared_ptr<const TraceFilter> trace;  // null: off
};

}  // namespace xnic::nic::datapath
