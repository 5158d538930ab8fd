// SPDX-License-Identifier: Apache-2.0
// HashTable: the concurrent table under all hash maps. Chained buckets over a preallocated slab of elements.
//
// Element layout (offsets in bytes; for engines that inline look-ups):
//   +0  next   u32  link to the next element of the bucket, 0 at the end
//   +4  hash   u32
//   +8  free   u32  link within a free list, unused while the element is in a bucket
//   +12 index  u32  number of the element in the slab, constant once the element was first used
//   +16 key         key_size bytes, padded with zeros to a multiple of 8
//   +value_offset() value, 8-byte aligned
// A link is the element's offset from slab() divided by 8. Bucket b is 8 bytes at buckets() + 8 * b: head link u32,
// then version u32. The bucket of hash h is h & bucket_mask().
//
// Look-ups take no lock. Invariants that make them right while writers run:
//  - a writer owns a bucket while the version's bit 0 is set, and each ownership ends with a version never seen before;
//  - an element is published by one store of a link (release) after its fields are written, and a replacement takes the
//    place of the old element in the chain by one such store, so a key that stays in the table is always reachable from
//    the head;
//  - a removed element keeps its `next`. It may be reused at once, which can lead a reader astray; but reuse follows
//  the
//    end of the removal, so the version of the reader's bucket has changed by then. A reader that finds nothing while
//    the version changed looks again, and after a few attempts under the lock. A hit needs no such check.
// A value pointer stays valid memory for ever; after removal it may become another element's (as in the kernel).
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/bytes.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"

namespace xnic::exec::maps {

namespace detail {

// Multiply to 128 bits and fold: each input bit reaches each output bit with one multiplication.
inline uint64_t fold(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Odd constants with about as many ones as zeros (fractional parts of the golden ratio and of square roots).
inline constexpr uint64_t kMixA = 0x9e3779b97f4a7c15u;
inline constexpr uint64_t kMixB = 0x6a09e667f3bcc909u;
inline constexpr uint64_t kMixC = 0xbb67ae8584caa73bu;

inline uint32_t finish(uint64_t mixed) { return static_cast<uint32_t>(mixed ^ (mixed >> 32)); }

// The bytes of a key from `from` on as a word, zero-padded: how write_key stores the tail. Pre: bytes < 8.
inline uint64_t tail_word(const uint8_t* from, uint32_t bytes) {
  if (bytes == 4) return base::load<uint32_t>(from);
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

}  // namespace detail

// Seeded hash of a key; specialised for 4, 8 and 16 bytes. Equal on every machine of one byte order. Inline, with the
// rest of what a look-up is, because native code specialises it for the map's key size.
inline uint32_t hash_key(const void* key, uint32_t bytes, uint64_t seed) {
  using namespace detail;
  if (bytes == 4) return finish(fold(base::load<uint32_t>(key) ^ seed ^ kMixB, kMixA));
  if (bytes == 8) return finish(fold(base::load<uint64_t>(key) ^ seed ^ kMixB, kMixA));
  auto* at = static_cast<const uint8_t*>(key);
  if (bytes == 16) return finish(fold(base::load<uint64_t>(at) ^ seed ^ kMixB, base::load<uint64_t>(at + 8) ^ kMixA));
  uint64_t state = fold(seed ^ kMixB, kMixA + bytes);
  for (; bytes >= 8; bytes -= 8, at += 8) state = fold(state ^ base::load<uint64_t>(at), kMixC);
  if (bytes != 0) state = fold(state ^ tail_word(at, bytes), kMixA);
  return finish(fold(state, kMixB));
}

class HashTable {
 public:
  struct Element {
    std::atomic<uint32_t> next;
    std::atomic<uint32_t> hash;
    uint32_t free;
    uint32_t index;
    uint8_t* key() { return reinterpret_cast<uint8_t*>(this + 1); }
    const uint8_t* key() const { return reinterpret_cast<const uint8_t*>(this + 1); }
  };
  static_assert(sizeof(Element) == 16);
  struct Bucket {
    std::atomic<uint32_t> head;
    std::atomic<uint32_t> version;
  };
  // All that a look-up needs to know of a table; constants to native code.
  struct Parts {
    uint8_t* slab;
    uint8_t* buckets;
    uint32_t bucket_mask;
    uint32_t key_size;
    uint64_t seed;
  };
  // What update() gives its fill function: a new key's element, one that takes an old one's place, or the old one.
  enum class Place { kNew, kReplacing, kInPlace };

  // Elements beyond max_entries, so that replacing a value at full capacity finds a free element.
  static constexpr uint32_t kSpareElements = 64;

  HashTable() = default;
  HashTable(const HashTable&) = delete;
  HashTable& operator=(const HashTable&) = delete;

  // `value_bytes` is the inline value's size. With `lazily` the system need not promise all pages (BPF_F_NO_PREALLOC).
  // 0, -ENOMEM or -E2BIG. Call once.
  int allocate(uint32_t key_size, uint32_t value_bytes, uint32_t max_entries, uint64_t seed, bool lazily = false);

  uint8_t* slab() const { return slab_.data(); }
  const uint8_t* buckets() const { return buckets_memory_.data(); }
  uint32_t bucket_mask() const { return bucket_mask_; }
  uint32_t value_offset() const { return value_offset_; }
  uint64_t seed() const { return seed_; }
  uint32_t slots() const { return slots_; }  // elements ever usable: max_entries + kSpareElements
  uint32_t used() const {
    return fresh_.load(std::memory_order_relaxed);
  }  // elements with an index below this were used
  uint32_t count() const { return count_.load(std::memory_order_relaxed); }
  uint8_t* value(Element* element) const { return reinterpret_cast<uint8_t*>(element) + value_offset_; }
  Element* element_at(uint32_t index) const { return at(first_link_ + index * stride_units_); }
  // Element whose storage holds `address`, or null; `offset` is then the distance from the element's start.
  Element* element_of(const void* address, uint64_t& offset) const;

  // The element with `key`, or null. Lock-free.
  Element* find(const void* key) const;
  Parts parts() const { return {slab_.data(), buckets_memory_.data(), bucket_mask_, key_size_, seed_}; }
  // find() by a table's parts; `busy` when writers changed the bucket too often to tell. Lock-free.
  static Element* find_in(const Parts& parts, const void* key, bool& busy) {
    constexpr int kAttempts = 8;
    uint32_t hash = hash_key(key, parts.key_size, parts.seed);
    auto& home = reinterpret_cast<Bucket*>(parts.buckets)[hash & parts.bucket_mask];
    busy = false;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      uint32_t before = home.version.load(std::memory_order_acquire);
      if (Element* element = walk(parts, home, key, hash, nullptr)) return element;
      if (home.version.load(std::memory_order_acquire) == before) return nullptr;
    }
    busy = true;
    return nullptr;
  }

  // Inserts or changes `key`. `fill(element, place)` writes the value while the bucket is owned; kNew and kReplacing
  // elements are not visible yet. With `in_place` an existing element is filled itself, else another takes its place.
  // `make_room()` is called without locks when the table is full: it returns true when it removed an element and kept
  // its reservation for the caller. Flags as in bpf(2), without kLock. 0, -EEXIST, -ENOENT, -E2BIG.
  template <class Fill, class MakeRoom>
  int update(const void* key, uint64_t flags, bool in_place, Fill fill, MakeRoom make_room);

  // Removes `key`; `take(element)` sees it last, while the bucket is owned. 0 or -ENOENT.
  template <class Take>
  int erase(const void* key, Take take);

  // Unlinks this very element if it is in its bucket and `still(element)` holds while the bucket is owned. The entry
  // count is left as it is: the caller inherits the reservation.
  template <class Still>
  bool evict(Element* element, Still still);
  // Whether this element is in the bucket of its hash.
  bool linked(Element* element);
  // Gives back a reservation got from evict().
  void release_reservation() { count_.fetch_sub(1, std::memory_order_relaxed); }

  // Iteration: key after `key` in bucket order, the first when `key` is null or absent. -ENOENT at the end.
  int next_key(const void* key, void* next) const;

 private:
  struct alignas(64) Shard {  // one free list
    std::atomic<uint32_t> locked{0};
    std::atomic<uint32_t> head{0};
  };
  static constexpr uint32_t kShards = 16;

  Element* at(uint32_t link) const { return reinterpret_cast<Element*>(slab_.data() + uint64_t{link} * 8); }
  uint32_t link_of(const Element* element) const {
    return static_cast<uint32_t>((reinterpret_cast<const uint8_t*>(element) - slab_.data()) / 8);
  }
  Bucket& bucket(uint32_t hash) const { return reinterpret_cast<Bucket*>(buckets_memory_.data())[hash & bucket_mask_]; }
  static bool key_equal(const Element* element, const void* key, uint32_t key_size) {
    auto* mine = reinterpret_cast<const uint64_t*>(element->key());
    auto* other = static_cast<const uint8_t*>(key);
    uint32_t left = key_size;
    for (; left >= 8; left -= 8, ++mine, other += 8)
      if (__atomic_load_n(mine, __ATOMIC_RELAXED) != base::load<uint64_t>(other)) return false;
    return left == 0 || __atomic_load_n(mine, __ATOMIC_RELAXED) == detail::tail_word(other, left);
  }
  void write_key(Element* element, const void* key);
  // The element of the bucket with `key`, or null; `found_at` receives the link that leads to it.
  static Element* walk(const Parts& parts, const Bucket& in, const void* key, uint32_t hash,
                       std::atomic<uint32_t>** found_at) {
    // A writer wants the link to change; it owns the bucket, so casting away the reader's const is its right.
    auto* link = const_cast<std::atomic<uint32_t>*>(&in.head);
    for (uint32_t current = link->load(std::memory_order_acquire); current != 0;
         current = link->load(std::memory_order_acquire)) {
      auto* element = reinterpret_cast<Element*>(parts.slab + uint64_t{current} * 8);
      if (element->hash.load(std::memory_order_relaxed) == hash && key_equal(element, key, parts.key_size)) {
        if (found_at != nullptr) *found_at = link;
        return element;
      }
      link = &element->next;
    }
    return nullptr;
  }
  Element* walk(const Bucket& in, const void* key, uint32_t hash, std::atomic<uint32_t>** found_at) const {
    return walk(parts(), in, key, hash, found_at);
  }
  // The link that leads to `element` in an owned bucket, or null.
  std::atomic<uint32_t>* link_to(Bucket& in, const Element* element) const;
  static void lock(Bucket& bucket);
  static void unlock(Bucket& bucket);
  bool reserve();
  Element* take_free();
  Element* pop(Shard& shard);
  void push_free(Element* element);

  uint32_t key_size_ = 0;
  uint32_t value_offset_ = 0;
  uint32_t stride_units_ = 0;  // bytes of an element / 8
  uint32_t first_link_ = 8;    // link 0 means none, so the slab starts with an unused cache line
  uint32_t max_entries_ = 0;
  uint32_t slots_ = 0;
  uint32_t bucket_mask_ = 0;
  uint64_t seed_ = 0;
  Memory slab_;
  Memory buckets_memory_;
  alignas(64) std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> fresh_{0};  // elements [0, fresh_) have been used
  Shard shards_[kShards];
};

template <class Fill, class MakeRoom>
int HashTable::update(const void* key, uint64_t flags, bool in_place, Fill fill, MakeRoom make_room) {
  uint32_t hash = hash_key(key, key_size_, seed_);
  Bucket& home = bucket(hash);
  bool reserved = false;
  for (;;) {
    lock(home);
    std::atomic<uint32_t>* link = nullptr;
    Element* old = walk(home, key, hash, &link);
    int error = old != nullptr && flags == kNoExist ? -EEXIST : old == nullptr && flags == kExist ? -ENOENT : 0;
    if (error != 0 || (old != nullptr && in_place)) {
      if (error == 0) fill(old, Place::kInPlace);
      unlock(home);
      if (reserved) release_reservation();
      return error;
    }
    if (old == nullptr && !reserved && !reserve()) {
      unlock(home);
      if (!make_room()) return -E2BIG;
      reserved = true;
      continue;  // another writer may have inserted the key meanwhile
    }
    Element* element = take_free();
    write_key(element, key);
    element->hash.store(hash, std::memory_order_relaxed);
    fill(element, old == nullptr ? Place::kNew : Place::kReplacing);
    if (old == nullptr) link = &home.head;
    element->next.store((old != nullptr ? old->next : home.head).load(std::memory_order_relaxed),
                        std::memory_order_relaxed);
    link->store(link_of(element), std::memory_order_release);
    unlock(home);
    if (old != nullptr) {
      push_free(old);
      if (reserved) release_reservation();
    }
    return 0;
  }
}

template <class Take>
int HashTable::erase(const void* key, Take take) {
  uint32_t hash = hash_key(key, key_size_, seed_);
  Bucket& home = bucket(hash);
  lock(home);
  std::atomic<uint32_t>* link = nullptr;
  Element* old = walk(home, key, hash, &link);
  if (old != nullptr) {
    take(old);
    link->store(old->next.load(std::memory_order_relaxed), std::memory_order_release);
  }
  unlock(home);
  if (old == nullptr) return -ENOENT;
  push_free(old);
  release_reservation();
  return 0;
}

template <class Still>
bool HashTable::evict(Element* element, Still still) {
  Bucket& home = bucket(element->hash.load(std::memory_order_relaxed));
  lock(home);
  std::atomic<uint32_t>* link = link_to(home, element);
  bool found = link != nullptr && still(element);
  if (found) link->store(element->next.load(std::memory_order_relaxed), std::memory_order_release);
  unlock(home);
  if (found) push_free(element);
  return found;
}

}  // namespace xnic::exec::maps
