// SPDX-License-Identifier: Apache-2.0
// Polling, waiting and waking. Two kinds of events meet here: those that others wrote into the event ring in the card's
// memory (frames received, signals), and those of the interface's own sending, which is done when the call returns and
// leaves counters behind. What was sent is told first, and takes at most half of the room.
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>

#include <etherfabric/packedstream.h>

#include "nic/vi/interface.hpp"

namespace xnic::nic::vi {
namespace {

// The pointer moves by this for each event. It wraps around earlier than the number of the event, which does not matter
// for the place in the ring and the phase.
constexpr uint32_t kEventBytes = 8;
constexpr uint32_t kNoId = 0xffffffff;
constexpr uint32_t kMaxSentDescriptors = 128;  // that one event stands for

class Poll {
 public:
  Poll(VirtualInterface& it, ef_event* events, int room) : it_(it), out_(events), room_(room) {}

  int run() {
    const int received_room = room_;
    room_ = std::max(1, room_ / 2);
    for (int label = 0; label < it_.vi->vi_qs_n; ++label)
      if (ef_vi* const vi = it_.vi->vi_qs[label]; vi != nullptr && !of(vi).tx.slots.empty()) poll_sent(of(vi), label);
    room_ = received_room;
    poll_received();
    return count_;
  }

 private:
  ef_event& next() {
    ef_event& event = out_[count_++];
    event = {};
    return event;
  }

  void poll_sent(VirtualInterface& sender, int label) {
    TransmitQueue& tx = sender.tx;
    const uint32_t done = tx.done.load(std::memory_order_acquire);
    const auto q_id = static_cast<unsigned>(label);
    while (tx.reported != done && count_ < room_) {
      if ((sender.vi->vi_flags & EF_VI_TX_TIMESTAMPS) != 0)
        report_stamped(sender, q_id);
      else
        report_sent(sender, q_id, done);
    }
    while (!tx.sent_alternatives.empty() && count_ < room_) {
      ef_event& event = next();
      event.tx_alt.type = EF_EVENT_TYPE_TX_ALT;
      event.tx_alt.q_id = q_id;
      event.tx_alt.alt_id = tx.sent_alternatives.front();
      tx.sent_alternatives.pop_front();
    }
    const uint32_t error = tx.error.load(std::memory_order_acquire);
    if (error == 0 || tx.error_reported || tx.reported != tx.done.load(std::memory_order_acquire) || count_ >= room_)
      return;
    ef_event& event = next();
    event.tx_error.type = EF_EVENT_TYPE_TX_ERROR;
    event.tx_error.q_id = q_id;
    event.tx_error.desc_id = (tx.reported - 1) & sender.vi->vi_txq.mask;
    event.tx_error.subtype = error - 1;
    tx.error_reported = true;
  }

  // One event for a run of frames that were sent the same way.
  void report_sent(VirtualInterface& sender, unsigned label, uint32_t done) {
    TransmitQueue& tx = sender.tx;
    const uint32_t mask = sender.vi->vi_txq.mask;
    uint32_t at = tx.reported, descriptors = 0, frames = 0, end = at;
    bool first = true, ctpio = false;
    while (at != done && frames < EF_VI_TRANSMIT_BATCH && descriptors < kMaxSentDescriptors) {
      const TransmitSlot& slot = tx.slots[at & mask];
      ++at, ++descriptors;
      if (!slot.last) continue;
      const bool by_ctpio = slot.way == Way::kSent;
      if (!first && by_ctpio != ctpio) break;
      first = false;
      ctpio = by_ctpio;
      ++frames;
      end = at;
    }
    ef_event& event = next();
    event.tx.type = EF_EVENT_TYPE_TX;
    event.tx.q_id = label;
    event.tx.flags = ctpio ? EF_EVENT_FLAG_CTPIO : 0;
    event.tx.desc_id = (end - 1) & mask;
    tx.reported = end;
  }

  void report_stamped(VirtualInterface& sender, unsigned label) {
    TransmitQueue& tx = sender.tx;
    const uint32_t mask = sender.vi->vi_txq.mask;
    uint32_t at = tx.reported;
    while (!tx.slots[at & mask].last) sender.tx_ids[at++ & mask] = kNoId;
    const TransmitSlot& slot = tx.slots[at & mask];
    ef_event& event = next();
    event.tx_timestamp.type = EF_EVENT_TYPE_TX_WITH_TIMESTAMP;
    event.tx_timestamp.q_id = label;
    event.tx_timestamp.flags = slot.way == Way::kSent ? EF_EVENT_FLAG_CTPIO : 0;
    event.tx_timestamp.rq_id = sender.tx_ids[at & mask];
    event.tx_timestamp.ts_sec = static_cast<uint32_t>(slot.sent_ns / 1'000'000'000);
    event.tx_timestamp.ts_nsec = slot.sent_ns % 1'000'000'000 & 0x3fffffff;
    event.tx_timestamp.ts_flags = EF_VI_SYNC_FLAG_CLOCK_SET;
    sender.tx_ids[at & mask] = kNoId;
    tx.reported = sender.state.txq.removed = at + 1;
  }

  void poll_received() {
    if (it_.shared->event_entries == 0) return;
    std::atomic<uint64_t>* const events = it_.card.events(*it_.shared);
    const uint32_t entries = it_.shared->event_entries;
    uint32_t pointer = it_.shared->events_taken.load(std::memory_order_relaxed);
    const uint32_t before = pointer;
    while (count_ < room_) {
      const uint64_t word = events[pointer & (entries - 1)].load(std::memory_order_acquire);
      if (((word & 1) != 0) != phase_of(pointer, entries)) break;
      ++pointer;
      take(unpack(word));
    }
    if (pointer != before) {
      it_.state.evq.evq_ptr = pointer * kEventBytes;
      it_.shared->events_taken.store(pointer, std::memory_order_release);
    } else if (count_ < room_ && it_.shared->overflow.load(std::memory_order_relaxed) != 0) {
      // Told when all that had room has been taken.
      it_.shared->overflow.store(0, std::memory_order_relaxed);
      next().generic.type = EF_EVENT_TYPE_OFLOW;
    }
  }

  void take(const Event& event) {
    if (event.kind == EventKind::kSoftware) {
      ef_event& out = next();
      out.sw.type = EF_EVENT_TYPE_SW;
      out.sw.data = event.bytes;
      return;
    }
    if (event.kind == EventKind::kReset) {
      next().generic.type = EF_EVENT_TYPE_RESET;
      return;
    }
    ef_vi* const vi = event.label < EF_VI_MAX_QS ? it_.vi->vi_qs[event.label] : nullptr;
    if (vi == nullptr) {
      ++it_.stats.rx_ev_bad_q_label;
      return;
    }
    if (event.kind == EventKind::kNoBuffer) {
      ef_event& out = next();
      out.rx_no_desc_trunc.type = EF_EVENT_TYPE_RX_NO_DESC_TRUNC;
      out.rx_no_desc_trunc.q_id = event.label;
    } else if (event.kind == EventKind::kStream) {
      take_stream(*vi, event);
    } else if ((vi->vi_flags & EF_VI_RX_EVENT_MERGE) != 0) {
      take_merged(event);
    } else {
      take_one(*vi, event);
    }
  }

  void take_one(ef_vi& vi, const Event& event) {
    VirtualInterface& it = of(&vi);
    const bool discard = event.kind == EventKind::kDiscarded;
    uint32_t& id = it.rx_ids[it.state.rxq.removed++ & vi.vi_rxq.mask];
    ef_event& out = next();
    out.rx_discard.type = discard ? EF_EVENT_TYPE_RX_DISCARD : EF_EVENT_TYPE_RX;
    out.rx_discard.q_id = event.label;
    out.rx_discard.rq_id = id;
    out.rx_discard.len = event.bytes;
    out.rx_discard.flags = event.flags;
    out.rx_discard.subtype = discard ? event.subtype : 0;
    id = kNoId;
  }

  // Another buffer for the event before, if that is alike.
  void take_merged(const Event& event) {
    const bool discard = event.kind == EventKind::kDiscarded;
    const unsigned type = discard ? EF_EVENT_TYPE_RX_MULTI_DISCARD : EF_EVENT_TYPE_RX_MULTI;
    if (merging_ && count_ > 0) {
      ef_event& last = out_[count_ - 1];
      if (last.generic.type == type && last.rx_multi.q_id == event.label && last.rx_multi.flags == event.flags &&
          last.rx_multi.n_descs < EF_VI_RECEIVE_BATCH && (!discard || last.rx_multi_discard.subtype == event.subtype)) {
        ++last.rx_multi.n_descs;
        return;
      }
    }
    merging_ = true;
    ef_event& out = next();
    out.rx_multi_discard.type = type;
    out.rx_multi_discard.q_id = event.label;
    out.rx_multi_discard.n_descs = 1;
    out.rx_multi_discard.flags = event.flags;
    out.rx_multi_discard.subtype = discard ? event.subtype : 0;
  }

  void take_stream(ef_vi& vi, const Event& event) {
    const bool next_buffer = (event.flags & EF_EVENT_FLAG_PS_NEXT_BUFFER) != 0;
    if (next_buffer) of(&vi).rx_ids[of(&vi).state.rxq.removed++ & vi.vi_rxq.mask] = kNoId;
    if (merging_ && count_ > 0 && !next_buffer) {
      ef_event& last = out_[count_ - 1];
      if (last.generic.type == EF_EVENT_TYPE_RX_PACKED_STREAM && last.rx_packed_stream.q_id == event.label &&
          last.rx_packed_stream.n_pkts < EF_VI_RECEIVE_BATCH) {
        ++last.rx_packed_stream.n_pkts;
        return;
      }
    }
    merging_ = true;
    ef_event& out = next();
    out.rx_packed_stream.type = EF_EVENT_TYPE_RX_PACKED_STREAM;
    out.rx_packed_stream.q_id = event.label;
    out.rx_packed_stream.flags = next_buffer ? EF_EVENT_FLAG_PS_NEXT_BUFFER : 0;
    out.rx_packed_stream.n_pkts = 1;
    out.rx_packed_stream.ps_flags = EF_VI_PS_FLAG_CLOCK_SET;
  }

  VirtualInterface& it_;
  ef_event* const out_;
  int room_;
  int count_ = 0;
  bool merging_ = false;
};

int eventq_poll(ef_vi* vi, ef_event* events, int room) { return Poll(of(vi), events, room).run(); }

// Events of sending that nobody has polled yet: at least so many.
int sent_waiting(const ef_vi* evq) {
  int waiting = 0;
  for (int label = 0; label < evq->vi_qs_n; ++label) {
    const ef_vi* const vi = evq->vi_qs[label];
    if (vi == nullptr || of(vi).tx.slots.empty()) continue;
    const TransmitQueue& tx = of(vi).tx;
    waiting += tx.reported != tx.done.load(std::memory_order_acquire);
    waiting += static_cast<int>(tx.sent_alternatives.size());
    waiting += tx.error.load(std::memory_order_acquire) != 0 && !tx.error_reported;
  }
  return waiting;
}

bool received_waiting(const VirtualInterface& it, uint32_t pointer) {
  const uint32_t entries = it.shared->event_entries;
  if (entries == 0) return false;
  const uint64_t word = it.card.events(*it.shared)[pointer & (entries - 1)].load(std::memory_order_acquire);
  return ((word & 1) != 0) == phase_of(pointer, entries);
}

// In the merging modes one event stands for several: more of them may be needed in the ring than said.
int has_many_events(const ef_vi* vi, int more_than) {
  const int rest = more_than - sent_waiting(vi);
  if (rest < 0) return 1;
  const VirtualInterface& it = of(vi);
  if (static_cast<uint32_t>(rest) >= it.shared->event_entries) return 0;
  return received_waiting(it, it.state.evq.evq_ptr / kEventBytes + static_cast<uint32_t>(rest)) ? 1 : 0;
}

int has_event(const ef_vi* vi) { return of(vi).has_event_at(vi->ep_state->evq.evq_ptr) ? 1 : 0; }

void eventq_prime(ef_vi* vi) { of(vi).handle->prime(of(vi), vi->ep_state->evq.evq_ptr); }
void timer_set(ef_vi*, unsigned) {}
void timer_stop(ef_vi*) {}
int no_poll(ef_vi*, ef_event*, int) { return -EOPNOTSUPP; }

}  // namespace

bool VirtualInterface::has_event_at(uint32_t pointer) const {
  return received_waiting(*this, pointer / kEventBytes) || sent_waiting(vi) != 0 ||
         shared->overflow.load(std::memory_order_relaxed) != 0;
}

void set_event_ops(ef_vi& vi) {
  vi.ops.eventq_poll = eventq_poll;
  vi.ops.eventq_prime = eventq_prime;
  vi.ops.eventq_timer_prime = timer_set;
  vi.ops.eventq_timer_run = timer_set;
  vi.ops.eventq_timer_clear = timer_stop;
  vi.ops.eventq_timer_zero = timer_stop;
  vi.ops.receive_poll = no_poll;
  vi.ops.future_eventq_poll = no_poll;
  vi.ops.eventq_has_event = has_event;
  vi.ops.eventq_has_many_events = has_many_events;
}

}  // namespace xnic::nic::vi

using namespace xnic::nic::vi;

int ef_eventq_capacity(ef_vi* vi) {
  const uint32_t entries = of(vi).shared->event_entries;
  return entries == 0 ? -EINVAL : static_cast<int>(entries) - 1;
}

int ef_vi_prime(ef_vi* vi, ef_driver_handle dh, unsigned current_ptr) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  VirtualInterface& it = of(vi);
  if (it.handle != handle || it.shared->event_entries == 0) return -EINVAL;
  handle->prime(it, current_ptr);
  return 0;
}

int ef_eventq_wait(ef_vi* vi, ef_driver_handle dh, unsigned current_ptr, const timeval* timeout) {
  VirtualInterface& it = of(vi);
  if (it.waiting.exchange(true)) return -EBUSY;
  int result = ef_vi_prime(vi, dh, current_ptr);
  if (result == 0) {
    const bool forever = timeout == nullptr || (timeout->tv_sec == 0 && timeout->tv_usec == 0);
    timespec limit{};
    if (!forever) limit = {timeout->tv_sec, timeout->tv_usec * 1000};
    pollfd waiting{dh, POLLIN, 0};
    const int ready = ppoll(&waiting, 1, forever ? nullptr : &limit, nullptr);
    result = ready > 0 ? 0 : ready == 0 ? -ETIMEDOUT : -errno;
  }
  it.waiting.store(false);
  return result;
}

int ef_eventq_put(unsigned resource_id, ef_driver_handle dh, unsigned ev_bits) {
  const auto handle = find_handle(dh);
  if (handle == nullptr) return -EBADF;
  if (resource_id >= kMaxInterfaces || (ev_bits & ~EF_EVENT_SW_DATA_MASK) != 0) return -EINVAL;
  const Interface& queue = handle->card().header().interfaces[resource_id];
  if (queue.state.load(std::memory_order_acquire) != kLive || queue.event_entries == 0 ||
      queue.client != handle->connection().client())
    return -EINVAL;
  Event event;
  event.kind = EventKind::kSoftware;
  event.bytes = static_cast<uint16_t>(ev_bits);
  return handle->delivery().signal(resource_id, event) ? 0 : -ENOSPC;
}
