// SPDX-License-Identifier: Apache-2.0
// What the library knows of a virtual interface besides what ef_vi shows: ef_vi.xnic points here.
#pragma once

#include <etherfabric/pio.h>
#include <etherfabric/vi.h>

#include <deque>
#include <memory>
#include <vector>

#include "nic/vi/client.hpp"
#include "nic/vi/offload.hpp"

namespace xnic::nic::vi {

// How a frame in the ring is sent, and was.
enum class Way : uint8_t { kDma, kInside, kSent };  // from registered memory; from memory of the library; by CTPIO
inline constexpr uint16_t kWire = 0xffff;           // no alternative: straight out

struct TransmitSlot {
  uint64_t address = 0;  // on the card; kInside: of this process
  uint32_t bytes = 0;
  uint16_t alternative = kWire;
  Way way = Way::kDma;
  bool last = false;     // of its frame
  uint64_t sent_ns = 0;  // with EF_VI_TX_TIMESTAMPS
};

struct Alternative {
  enum class State : uint8_t { kStop, kGo, kDiscard } state = State::kStop;
  std::deque<std::vector<uint8_t>> frames;
};

// The ring to send from. `previous` and `added` of ef_vi_txq_state say what has been pushed and what initialised.
struct TransmitQueue {
  std::vector<TransmitSlot> slots;
  std::atomic<uint32_t> done{0};  // descriptors that were sent; pushing and polling may be two threads
  uint32_t reported = 0;          // of those, what events have said
  // Sending stops at a bad descriptor until the ring is made anew.
  std::atomic<uint32_t> error{0};  // 1 + EF_EVENT_TX_ERROR_*
  bool error_reported = false;

  enum class Ctpio : uint8_t { kNone, kWon, kLost } ctpio = Ctpio::kNone;
  bool warming = false;
  ef_vi_tx_warm_state warm_state{};

  std::vector<Alternative> alternatives;
  size_t alternative_space = 0, alternative_used = 0;
  uint16_t selected = kWire;
  std::deque<uint16_t> sent_alternatives;  // TX_ALT events that nobody has polled

  std::unique_ptr<Steering> wire, loopback, outgoing;  // null: no wire; no loopback wanted
  Delivery delivery;
  Range reachable{0, 0};  // last range of the domain that an address was found in
  uint32_t reachable_generation = 0;
};

// As ef_vi_stats_query gives them.
struct Statistics {
  uint32_t crc_errors, truncated, no_buffer, aborted;
};

struct VirtualInterface {
  std::shared_ptr<Handle> handle;
  ef_vi* vi = nullptr;
  uint32_t number = kNone;
  CardView card;
  Interface* shared = nullptr;
  ef_vi* queue_vi = nullptr;  // whose event queue it uses; may be its own
  const Port* port = nullptr;
  ef_vi_state state{};
  ef_vi_stats stats{};
  Statistics statistics_base{};  // what had been counted at the last reset
  std::vector<uint32_t> rx_ids, tx_ids;
  TransmitQueue tx;
  std::atomic<bool> waiting{false};  // a thread is in ef_eventq_wait

  bool has_event_at(uint32_t pointer) const;
  ~VirtualInterface();
};

inline VirtualInterface& of(const ef_vi* vi) { return *static_cast<VirtualInterface*>(vi->xnic); }

// Entries of the table vi->ops, by file.
void set_receive_ops(ef_vi& vi);   // api_receive.cpp
void set_transmit_ops(ef_vi& vi);  // api_transmit.cpp
void set_event_ops(ef_vi& vi);     // api_events.cpp

// transmit.cpp. Sends what was initialised: everything from `previous` to `added`.
void push(VirtualInterface& it);
// Delivers a frame to everybody that gets it. Pre: 14 <= bytes <= longest_frame(). `offload`: checksums are filled in.
void send(VirtualInterface& it, Frame& frame, bool offload, uint32_t faults);
// Goes the same way and delivers nothing.
void rehearse(VirtualInterface& it, Frame& frame);
uint32_t longest_frame(const Port& port);
// Bytes of buffer that a frame takes in an alternative: what ef_vi_transmit_alt_query_overhead says.
inline constexpr ef_vi_transmit_alt_overhead kAlternativeOverhead = {31, ~31u, 32};
inline size_t alternative_usage(uint32_t bytes) { return ef_vi_transmit_alt_usage(&kAlternativeOverhead, bytes); }
uint64_t now_ns();

}  // namespace xnic::nic::vi
