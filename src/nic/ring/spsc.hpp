// SPDX-License-Identifier: Apache-2.0
// A ring for one producer and one consumer, in one process or in memory shared by two.
//
// The memory holds two counters, each on a cache line of its own, and a power of two of entries. Counters count entries
// since the beginning, modulo 2^32: filled = produced - consumed. Each side writes its own counter with release order
// after it has written (read) the entries, and reads the other's with acquire order, only when its last look at it says
// that the ring is full (empty): in steady flow a side touches the other's line once a batch.
//
// The other side is not trusted. Sizes and masks are this side's own, entries are copied out before they are looked at,
// and a counter that lies (more filled than there are entries) breaks the ring for good: it then has neither room nor
// entries, and broken() says so.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/check.hpp"

namespace xnic::nic::ring {

// What both sides see. All zero is an empty ring.
struct Counters {
  alignas(64) std::atomic<uint32_t> produced;
  alignas(64) std::atomic<uint32_t> consumed;
  // 1: the consumer sleeps, or is about to, and wants a wake-up (a doorbell); see port/memory.hpp for the protocol.
  alignas(64) std::atomic<uint32_t> consumer_sleeps;
};
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(Counters) == 192);

template <class T>
class Producer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Pre: `entries` has `capacity` entries, a power of two; both outlive this. Not owned.
  Producer(Counters* counters, T* entries, uint32_t capacity)
      : counters_(counters), entries_(entries), mask_(capacity - 1) {
    CHECK(std::has_single_bit(capacity));
    produced_ = counters->produced.load(std::memory_order_relaxed);
    consumed_ = counters->consumed.load(std::memory_order_acquire);
  }
  uint32_t capacity() const { return mask_ + 1; }

  // How many entries can be put; looks at the other side only when fewer than `wanted` are known of.
  uint32_t room(uint32_t wanted) {
    uint32_t filled = produced_ - consumed_;
    if (capacity() - filled < wanted) {
      consumed_ = counters_->consumed.load(std::memory_order_acquire);
      filled = produced_ - consumed_;
      if (filled > capacity()) {  // the consumer claims entries that were never put
        broken_ = true;
        consumed_ = produced_ - capacity();
        return 0;
      }
    }
    return broken_ ? 0 : capacity() - filled;
  }
  // The place of the entry that the next put() writes: for what goes beside the entry.
  uint32_t next_slot() const { return produced_ & mask_; }
  // Pre: room() was more than the number of entries put since the last publish().
  void put(const T& entry) { entries_[produced_++ & mask_] = entry; }
  // Lets the consumer see what was put.
  void publish() { counters_->produced.store(produced_, std::memory_order_release); }
  // After publish(): true when the consumer sleeps and has to be woken, which the caller then does: it is said once a
  // sleep. The fence orders our counter before its flag, as the consumer orders its flag before its last look at our
  // counter: one of the two sees the other. (Should the flag that is cleared be the one of its next sleep already, the
  // doorbell that follows ends that one: one look in vain.)
  bool must_wake() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (counters_->consumer_sleeps.load(std::memory_order_relaxed) == 0) return false;
    counters_->consumer_sleeps.store(0, std::memory_order_relaxed);
    return true;
  }
  // Entries that the consumer has not yet taken.
  uint32_t filled() const { return produced_ - counters_->consumed.load(std::memory_order_acquire); }
  bool broken() const { return broken_; }

 private:
  Counters* counters_;
  T* entries_;
  uint32_t mask_;
  uint32_t produced_ = 0;
  uint32_t consumed_ = 0;  // as last seen
  bool broken_ = false;
};

template <class T>
class Consumer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Pre: as Producer's.
  Consumer(Counters* counters, const T* entries, uint32_t capacity)
      : counters_(counters), entries_(entries), mask_(capacity - 1) {
    CHECK(std::has_single_bit(capacity));
    consumed_ = counters->consumed.load(std::memory_order_relaxed);
    produced_ = consumed_;
  }
  uint32_t capacity() const { return mask_ + 1; }

  // How many entries there are; looks at the other side only when fewer than `wanted` are known of.
  uint32_t available(uint32_t wanted) {
    uint32_t filled = produced_ - consumed_;
    if (filled < wanted) {
      produced_ = counters_->produced.load(std::memory_order_acquire);
      filled = produced_ - consumed_;
      if (filled > capacity()) {
        broken_ = true;
        produced_ = consumed_;
        return 0;
      }
    }
    return broken_ ? 0 : filled;
  }
  // The place of the `i`th entry that is available: for what lies beside it.
  uint32_t slot(uint32_t i) const { return (consumed_ + i) & mask_; }
  // The `i`th entry that is available, as a copy. Pre: i < available().
  T peek(uint32_t i) const { return entries_[(consumed_ + i) & mask_]; }
  // Gives `count` entries back to the producer. Pre: count <= available().
  void release(uint32_t count) {
    consumed_ += count;
    counters_->consumed.store(consumed_, std::memory_order_release);
  }
  // Before sleeping: asks to be woken. Returns false when entries have come in the meantime: do not sleep then.
  bool prepare_sleep() {
    counters_->consumer_sleeps.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (available(capacity()) == 0) return true;
    wake();
    return false;
  }
  void wake() { counters_->consumer_sleeps.store(0, std::memory_order_relaxed); }
  bool broken() const { return broken_; }

 private:
  Counters* counters_;
  const T* entries_;
  uint32_t mask_;
  uint32_t consumed_ = 0;
  uint32_t produced_ = 0;  // as last seen
  bool broken_ = false;
};

}  // namespace xnic::nic::ring
