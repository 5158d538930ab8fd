// SPDX-License-Identifier: Apache-2.0
// Order of a delivery, under the lock of the event queue: the journal; the bytes, upwards; the events, each with
// release order; the descriptors as consumed; the events as put. A sender that dies on the way leaves the lock with its
// number in it and a journal that says from where to count again.
#include "nic/vi/delivery.hpp"

#include <etherfabric/vi.h>
#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace xnic::nic::vi {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kRelease = std::memory_order_release;

void count(std::atomic<uint32_t>& counter) { counter.store(counter.load(kRelaxed) + 1, kRelaxed); }

// Reads a frame piece by piece.
class Reader {
 public:
  explicit Reader(const Frame& frame) : frame_(frame) {}
  // The next `bytes` of the frame to `to`.
  void copy_to(uint8_t* to, uint32_t bytes) {
    while (bytes != 0) {
      const Piece& piece = frame_.pieces[index_];
      const uint32_t part = std::min(bytes, piece.bytes - at_);
      copy_up(to, piece.data + at_, part);
      to += part;
      bytes -= part;
      at_ += part;
      if (at_ == piece.bytes) ++index_, at_ = 0;
    }
  }

 private:
  const Frame& frame_;
  uint32_t index_ = 0, at_ = 0;
};

// The memory that an interface's domain may reach; the range found last is kept.
bool may_reach(CardView card, const Interface& interface, uint64_t address, uint32_t bytes) {
  struct Kept {
    const Domain* domain = nullptr;
    uint32_t generation = 0;
    Range range{};
  };
  static thread_local std::array<Kept, 8> kept;
  const Domain& domain = card.header().domains[interface.domain];
  const uint32_t generation = domain.generation.load(kAcquire);
  Kept& last = kept[interface.domain % kept.size()];
  if (last.domain == &domain && last.generation == generation && address >= last.range.begin &&
      address + bytes <= last.range.end)
    return true;
  const uint32_t ranges = std::min(domain.count.load(kAcquire), kMaxRanges);
  for (uint32_t i = 0; i < ranges; ++i) {
    const Range range = domain.ranges[i];
    if (address < range.begin || address + bytes > range.end) continue;
    last = {&domain, generation, range};
    return true;
  }
  return false;
}

void write_prefix(uint8_t* to, const Frame& frame, uint16_t filter, uint64_t now_ns) {
  const auto seconds = static_cast<uint32_t>(now_ns / 1'000'000'000);
  const uint32_t ticks = now_ns == 0 ? 0xffffffff : static_cast<uint32_t>(now_ns % 1'000'000'000 * 4);
  const auto length = static_cast<uint16_t>(frame.bytes);
  std::memcpy(to + kPrefixSecondsAt, &seconds, 4);
  std::memcpy(to + kPrefixFilterAt, &filter, 2);
  std::memset(to + kPrefixFilterAt + 2, 0, 2);
  std::memcpy(to + kPrefixLengthAt, &length, 2);
  std::memcpy(to + kPrefixTicksAt, &ticks, 4);
}

uint8_t subtype_of(uint32_t faults) {
  return static_cast<uint8_t>((faults & kFaultCrc) != 0 ? EF_EVENT_RX_DISCARD_CRC_BAD : EF_EVENT_RX_DISCARD_CSUM_BAD);
}

// One delivery to one interface whose event queue is locked.
class Put {
 public:
  Put(CardView card, uint32_t number, Interface& interface, Interface& queue)
      : card_(card), interface_(interface), queue_(queue), events_(card.events(queue)) {
    put_ = queue.events_put.load(kRelaxed);
    consumed_ = interface.consumed.load(kRelaxed);
    queue.journal_put.store(put_ - 1, kRelease);
    queue.journal_interface.store(number, kRelease);
    queue.journal_consumed.store(consumed_, kRelease);
    queue.journal_put.store(put_, kRelease);
  }
  // One event stays free: a full ring is one entry short, and the consumer learns of the loss.
  bool room_for(uint32_t events) {
    const uint32_t entries = queue_.event_entries;
    if (put_ - queue_.events_taken_seen + events < entries) return true;
    queue_.events_taken_seen = queue_.events_taken.load(kAcquire);
    if (put_ - queue_.events_taken_seen + events < entries) return true;
    queue_.overflow.store(1, kRelease);
    return false;
  }
  uint32_t buffers(uint32_t wanted) {
    if (interface_.posted_seen - consumed_ < wanted) interface_.posted_seen = interface_.posted.load(kAcquire);
    return std::min(interface_.posted_seen - consumed_, interface_.rx_entries);
  }
  uint64_t descriptor(uint32_t ahead) const {
    return card_.rx_ring(interface_)[(consumed_ + ahead) & (interface_.rx_entries - 1)];
  }
  void event(const Event& event) {
    const uint32_t entries = queue_.event_entries;
    events_[put_ & (entries - 1)].store(pack(event, phase_of(put_, entries)), kRelease);
    ++put_;
  }
  void consume(uint32_t descriptors) { consumed_ += descriptors; }
  void finish() {
    interface_.consumed.store(consumed_, kRelease);
    queue_.events_put.store(put_, kRelease);
  }

 private:
  CardView card_;
  Interface& interface_;
  Interface& queue_;
  std::atomic<uint64_t>* events_;
  uint32_t put_, consumed_;
};

// Into one buffer after the other; the events, when all bytes are there.
void put_frame(CardView card, Put& put, Interface& interface, const Frame& frame, const Event& like, uint64_t now_ns) {
  struct Filled {
    uint32_t end;  // bytes of the frame and its prefix so far
    bool allowed;
  };
  std::array<Filled, Frame::kMaxPieces * 2> filled;
  Reader reader(frame);
  const uint32_t total = interface.prefix_bytes + frame.bytes;
  uint32_t at = 0, used = 0;
  while (at < total && used < filled.size() && put.buffers(used + 1) > used) {
    const uint64_t descriptor = put.descriptor(used);
    const uint64_t address = descriptor_address(descriptor);
    const uint32_t part = std::min(total - at, descriptor_bytes(descriptor));
    const bool allowed = part > (at == 0 ? interface.prefix_bytes : 0) && may_reach(card, interface, address, part);
    if (allowed) {
      uint8_t* to = card.at(address);
      const uint32_t prefix = at == 0 ? interface.prefix_bytes : 0;
      if (prefix != 0) write_prefix(to, frame, like.filter, now_ns);
      reader.copy_to(to + prefix, part - prefix);
    }
    at += part;
    filled[used++] = {at, allowed};
    if (!allowed) break;
  }
  const bool whole = at == total;
  if (used == 0) return count(interface.no_buffer);
  if (!put.room_for(used + 1)) return count(interface.aborted);
  for (uint32_t i = 0; i < used; ++i) {
    Event event = like;
    event.bytes = static_cast<uint16_t>(filled[i].end);
    if (i == 0) event.flags |= EF_EVENT_FLAG_SOP;
    if (filled[i].end != total && filled[i].allowed) event.flags |= EF_EVENT_FLAG_CONT;
    if (!filled[i].allowed) event.kind = EventKind::kDiscarded, event.subtype = EF_EVENT_RX_DISCARD_RIGHTS;
    put.event(event);
  }
  put.consume(used);
  if (!whole && filled[used - 1].allowed) {
    put.event({EventKind::kNoBuffer, like.label});
    count(interface.truncated);
  }
}

// Behind the last packet of the current buffer, or first in the next one.
void put_stream(CardView card, Put& put, Interface& interface, const Frame& frame, Event event, uint64_t now_ns) {
  const uint32_t size = (interface.flags & EF_VI_RX_PS_BUF_SIZE_64K) != 0 ? 64u << 10 : 1u << 20;
  const uint32_t needed = kStreamHeadBytes + frame.bytes;
  uint64_t buffer = interface.stream_buffer.load(kRelaxed);
  uint32_t at = interface.stream_at.load(kRelaxed);
  const bool next = buffer == 0 || at + needed > size;
  if (next) {
    if (put.buffers(1) == 0) return count(interface.no_buffer);
    buffer = descriptor_address(put.descriptor(0));
    at = kStreamStart;
  }
  if (!put.room_for(1) || !may_reach(card, interface, buffer, size)) return count(interface.aborted);
  uint8_t* head = card.at(buffer) + at;
  const uint32_t step = (needed + kStreamAlign - 1) / kStreamAlign * kStreamAlign;
  const uint8_t faults =
      static_cast<uint8_t>(((frame.faults & kFaultCrc) != 0 ? 4 : 0) | ((frame.faults & kFaultL4) != 0 ? 8 : 0) |
                           ((frame.faults & kFaultL3) != 0 ? 16 : 0) | EF_VI_SYNC_FLAG_CLOCK_SET);
  const uint16_t lengths[2] = {static_cast<uint16_t>(frame.bytes), static_cast<uint16_t>(frame.bytes)};
  const uint32_t stamps[2] = {static_cast<uint32_t>(now_ns / 1'000'000'000),
                              static_cast<uint32_t>(now_ns % 1'000'000'000)};
  const auto step16 = static_cast<uint16_t>(step);
  std::memcpy(head, &step16, 2);
  head[2] = kStreamHeadBytes;
  head[3] = faults;
  std::memcpy(head + 4, lengths, 4);
  std::memcpy(head + 8, stamps, 8);
  Reader(frame).copy_to(head + kStreamHeadBytes, frame.bytes);
  event.kind = EventKind::kStream;
  event.bytes = static_cast<uint16_t>(frame.bytes);
  if (next) event.flags |= EF_EVENT_FLAG_PS_NEXT_BUFFER;
  put.event(event);
  if (next) put.consume(1);
  interface.stream_buffer.store(buffer, kRelaxed);
  interface.stream_at.store(at + step, kRelaxed);
}

}  // namespace

void pad(Frame& frame) {
  static constexpr std::array<uint8_t, kShortestFrame> kZeros{};
  if (frame.bytes < kShortestFrame) frame.add(kZeros.data(), kShortestFrame - frame.bytes);
}

void copy_up(uint8_t* to, const uint8_t* from, size_t bytes) {
  using Chunk = uint64_t __attribute__((vector_size(16), aligned(1), may_alias));
  const auto move = [&](size_t at) {
    *reinterpret_cast<Chunk*>(to + at) = *reinterpret_cast<const Chunk*>(from + at);
    std::atomic_signal_fence(kRelease);
  };
  if (bytes < 16) {
    for (size_t i = 0; i < bytes; ++i) to[i] = from[i];
    return;
  }
  size_t at = 0;
  for (; at + 64 <= bytes; at += 64) {
    move(at);
    move(at + 16);
    move(at + 32);
    move(at + 48);
  }
  for (; at + 16 <= bytes; at += 16) move(at);
  if (at != bytes) move(bytes - 16);
}

bool Delivery::lock(Interface& queue) const {
  for (uint32_t tries = 1;; ++tries) {
    uint32_t free = 0;
    if (queue.lock.load(kRelaxed) == 0 && queue.lock.compare_exchange_strong(free, client + 1, kAcquire)) return true;
    if (tries % 64 == 0) sched_yield();
    if (tries % 65536 == 0 && !card_lives()) return false;
  }
}

void Delivery::unlock(Interface& queue, uint32_t number) const {
  queue.lock.store(0, kRelease);
  // The owner says that it sleeps, then looks for events; here events come first. membarrier(2) of the owner stands for
  // the fence between them (prime() in client.cpp).
  if (card.header().fences.load(kRelaxed) != 0)
    std::atomic_thread_fence(std::memory_order_seq_cst);
  else
    std::atomic_signal_fence(std::memory_order_seq_cst);
  uint32_t armed = 1;
  if (queue.armed.load(kRelaxed) == 1 && queue.armed.compare_exchange_strong(armed, 2)) ring(number);
}

void Delivery::deliver(const Target& target, const Frame& frame, bool group, uint64_t now_ns) const {
  Interface& interface = card.header().interfaces[target.interface];
  const uint32_t number = interface.event_queue;
  if (number >= kMaxInterfaces) return;
  Interface& queue = card.header().interfaces[number];
  if (!lock(queue)) return;
  if (interface.state.load(kAcquire) == kLive && interface.generation.load(kAcquire) == target.generation &&
      interface.rx_entries != 0) {
    Event event;
    event.label = static_cast<uint8_t>(interface.label);
    event.filter = target.filter;
    if (group) event.flags |= EF_EVENT_FLAG_MULTICAST;
    const uint32_t faults = frame.faults & interface.discard_mask.load(kRelaxed);
    if ((frame.faults & kFaultCrc) != 0) count(interface.crc_errors);
    if (faults != 0) event.kind = EventKind::kDiscarded, event.subtype = subtype_of(faults);
    Put put(card, target.interface, interface, queue);
    if ((interface.flags & EF_VI_RX_PACKED_STREAM) != 0)
      put_stream(card, put, interface, frame, event, now_ns);
    else
      put_frame(card, put, interface, frame, event, (interface.flags & EF_VI_RX_TIMESTAMPS) != 0 ? now_ns : 0);
    put.finish();
  }
  unlock(queue, number);
}

bool Delivery::signal(uint32_t number, const Event& event) const {
  Interface& queue = card.header().interfaces[number];
  if (!lock(queue)) return false;
  bool done = false;
  if (queue.state.load(kAcquire) == kLive && queue.event_entries != 0) {
    Put put(card, number, queue, queue);
    done = put.room_for(1);
    if (done) put.event(event);
    put.finish();
  }
  unlock(queue, number);
  return done;
}

uint32_t Delivery::take_back(uint32_t number) const {
  Interface& interface = card.header().interfaces[number];
  Interface& queue = card.header().interfaces[interface.event_queue];
  const bool locked = lock(queue);
  const uint32_t used = interface.consumed.load(kAcquire);
  interface.posted.store(used, kRelease);
  interface.posted_seen = used;
  if (locked) unlock(queue, interface.event_queue);
  return used;
}

void Delivery::retire(uint32_t number) const {
  Interface& interface = card.header().interfaces[number];
  const uint32_t queue_number = interface.event_queue;
  Interface& queue = card.header().interfaces[queue_number];
  const bool locked = lock(queue);
  interface.state.store(kFree, kRelease);
  interface.generation.fetch_add(1);
  if (locked) unlock(queue, queue_number);
}

bool recover(CardView card, uint32_t number, uint32_t client) {
  Interface& queue = card.header().interfaces[number];
  if (queue.lock.load(kAcquire) != client + 1) return false;
  uint32_t put = queue.events_put.load(kRelaxed);
  const uint32_t entries = queue.event_entries;
  if (queue.state.load(kAcquire) == kLive && entries != 0 && queue.journal_put.load(kRelaxed) == put &&
      queue.journal_interface.load(kRelaxed) < kMaxInterfaces) {
    Interface& interface = card.header().interfaces[queue.journal_interface.load(kRelaxed)];
    uint32_t consumed = queue.journal_consumed.load(kRelaxed);
    std::atomic<uint64_t>* const events = card.events(queue);
    Event last;
    for (uint64_t word; ((word = events[put & (entries - 1)].load(kAcquire)) & 1) == phase_of(put, entries); ++put) {
      last = unpack(word);
      if (last.kind == EventKind::kReceived || last.kind == EventKind::kDiscarded ||
          (last.kind == EventKind::kStream && (last.flags & EF_EVENT_FLAG_PS_NEXT_BUFFER) != 0))
        ++consumed;
    }
    // Half a frame is announced as one that was cut; room for this event was seen to before the first.
    if ((last.flags & EF_EVENT_FLAG_CONT) != 0) {
      events[put & (entries - 1)].store(pack({EventKind::kNoBuffer, last.label}, phase_of(put, entries)), kRelease);
      ++put;
    }
    interface.stream_buffer.store(0, kRelaxed);
    interface.consumed.store(consumed, kRelease);
    queue.events_put.store(put, kRelease);
  }
  queue.lock.store(0, kRelease);
  return true;
}

}  // namespace xnic::nic::vi
