// SPDX-License-Identifier: Apache-2.0
// LruStamps: chooses what an LRU map forgets.
//
// Each element carries the time of its last use, counted in insertions. When room is needed, the oldest of a sample is
// evicted: four runs of eight neighbouring stamps at random places (four cache lines), or all stamps in a small map, so
// the cost is bounded. Without ties a victim is on average among the oldest 1/33. The kernel's order is approximate as
// well (two lists, kernel/bpf/bpf_lru_list.c); but unlike the kernel's this one evicts only when the map is really
// full.
#pragma once

#include "base/rng.hpp"
#include "exec/maps/hash_table.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

class LruStamps {
 public:
  bool allocate(uint32_t slots) { return stamps_.allocate(uint64_t{slots} * sizeof(uint32_t)); }

  // The element was used. Look-ups between two insertions store once.
  void mark(const HashTable::Element* element) {
    uint32_t now = now_.load(std::memory_order_relaxed);
    uint32_t* at = stamp(element->index);
    if (__atomic_load_n(at, __ATOMIC_RELAXED) != now) __atomic_store_n(at, now, __ATOMIC_RELAXED);
  }
  // The element holds a new key or value. Pre: the caller owns its bucket.
  void admit(const HashTable::Element* element) {
    uint32_t now = now_.fetch_add(1, std::memory_order_relaxed) + 1;
    __atomic_store_n(stamp(element->index), now == kAbsent ? 1 : now, __ATOMIC_RELAXED);
  }
  // Removes one element from the full table and keeps its reservation for the caller. Waits while all reservations
  // belong to insertions under way; they hold no lock that this needs.
  void evict_one(HashTable& table) {
    for (uint32_t spins = 0;;) {
      uint32_t used = table.used();
      bool exact = used <= kExactUpTo;
      Choice oldest;
      if (exact) {
        consider(0, used, oldest);
      } else {
        for (uint32_t run = 0; run < kRuns; ++run) {
          auto from = static_cast<uint32_t>((random() * (uint64_t{used} - kRunLength + 1)) >> 32);
          consider(from, from + kRunLength, oldest);
        }
      }
      if (oldest.found && try_evict(table, oldest)) return;
      relax(spins);
    }
  }

 private:
  static constexpr uint32_t kAbsent = 0;  // stamp of an element that was seen outside all buckets
  static constexpr uint32_t kRuns = 4;
  static constexpr uint32_t kRunLength = 8;
  static constexpr uint32_t kExactUpTo = 192;
  struct Choice {
    bool found = false;
    uint32_t index = 0;
    uint32_t stamp = 0;
    uint32_t age = 0;
  };

  uint32_t* stamp(uint32_t index) const { return reinterpret_cast<uint32_t*>(stamps_.data()) + index; }

  // 32 random bits; the sequence is the same in every run of one thread.
  uint64_t random() { return base::Rng(draws_.fetch_add(1, std::memory_order_relaxed)).next() >> 32; }

  void consider(uint32_t from, uint32_t end, Choice& oldest) const {
    uint32_t now = now_.load(std::memory_order_relaxed);
    for (uint32_t index = from; index < end; ++index) {
      uint32_t at = __atomic_load_n(stamp(index), __ATOMIC_RELAXED);
      uint32_t age = now - at;  // right across the wrap of the counter
      // A stamp that a racing thread just wrote may be ahead of `now`: it is young, not old.
      if (at == kAbsent || age > UINT32_MAX - 1024) continue;
      if (!oldest.found || age > oldest.age) oldest = {true, index, at, age};
    }
  }

  // An element outside all buckets (freed, or not yet linked) is marked absent, unless it was admitted meanwhile: then
  // its stamp has changed, and the exchange leaves it.
  bool try_evict(HashTable& table, const Choice& choice) {
    bool evicted = table.evict(table.element_at(choice.index), [&](HashTable::Element*) {
      return __atomic_load_n(stamp(choice.index), __ATOMIC_RELAXED) == choice.stamp;
    });
    uint32_t expected = choice.stamp;
    if (!evicted && !table.linked(table.element_at(choice.index)))
      __atomic_compare_exchange_n(stamp(choice.index), &expected, kAbsent, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return evicted;
  }

  Memory stamps_;  // u32 an element
  std::atomic<uint32_t> now_{1};
  std::atomic<uint64_t> draws_{0};
};

}  // namespace xnic::exec::maps
