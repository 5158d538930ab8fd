// SPDX-License-Identifier: Apache-2.0
// HashTable: hashing, chains and free lists; the invariants are in hash_table.hpp.
#include "exec/maps/hash_table.hpp"

#include <bit>

#include "base/check.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

namespace {

// Multiply to 128 bits and fold: each input bit reaches each output bit with one multiplication.
uint64_t fold(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Odd constants with about as many ones as zeros (fractional parts of the golden ratio and of square roots).
constexpr uint64_t kMixA = 0x9e3779b97f4a7c15u;
constexpr uint64_t kMixB = 0x6a09e667f3bcc909u;
constexpr uint64_t kMixC = 0xbb67ae8584caa73bu;

uint32_t finish(uint64_t mixed) { return static_cast<uint32_t>(mixed ^ (mixed >> 32)); }

// A thread keeps to one free list, so that threads rarely meet.
uint32_t thread_shard(uint32_t shards) {
  static std::atomic<uint32_t> threads{0};
  thread_local uint32_t number = threads.fetch_add(1, std::memory_order_relaxed);
  return number % shards;
}

// The bytes of a key from `from` on as a word, zero-padded: how write_key stores the tail.
uint64_t tail_word(const uint8_t* from, uint32_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

}  // namespace

uint32_t hash_key(const void* key, uint32_t bytes, uint64_t seed) {
  if (bytes == 4) return finish(fold(base::load<uint32_t>(key) ^ seed ^ kMixB, kMixA));
  if (bytes == 8) return finish(fold(base::load<uint64_t>(key) ^ seed ^ kMixB, kMixA));
  auto* at = static_cast<const uint8_t*>(key);
  if (bytes == 16) return finish(fold(base::load<uint64_t>(at) ^ seed ^ kMixB, base::load<uint64_t>(at + 8) ^ kMixA));
  uint64_t state = fold(seed ^ kMixB, kMixA + bytes);
  for (; bytes >= 8; bytes -= 8, at += 8) state = fold(state ^ base::load<uint64_t>(at), kMixC);
  if (bytes != 0) state = fold(state ^ tail_word(at, bytes), kMixA);
  return finish(fold(state, kMixB));
}

int HashTable::allocate(uint32_t key_size, uint32_t value_bytes, uint32_t max_entries, uint64_t seed, bool lazily) {
  CHECK(slab_.data() == nullptr && max_entries > 0);
  if (max_entries > (uint32_t{1} << 31)) return -E2BIG;
  key_size_ = key_size;
  value_offset_ = static_cast<uint32_t>(sizeof(Element) + round_up(key_size, 8));
  uint64_t stride = value_offset_ + round_up(value_bytes, 8);
  stride_units_ = static_cast<uint32_t>(stride / 8);
  max_entries_ = max_entries;
  seed_ = seed;
  uint64_t slots = uint64_t{max_entries} + kSpareElements;
  uint64_t bytes = uint64_t{first_link_} * 8 + slots * stride;
  if (bytes / 8 > UINT32_MAX || slots > UINT32_MAX) return -ENOMEM;  // links are 32 bits wide
  slots_ = static_cast<uint32_t>(slots);
  uint64_t bucket_count = std::bit_ceil(uint64_t{max_entries});
  bucket_mask_ = static_cast<uint32_t>(bucket_count - 1);
  bool enough = lazily ? slab_.allocate_lazily(bytes) : slab_.allocate(bytes);
  return enough && buckets_memory_.allocate(bucket_count * sizeof(Bucket)) ? 0 : -ENOMEM;
}

HashTable::Element* HashTable::element_of(const void* address, uint64_t& offset) const {
  uint64_t from_start = slab_.offset_of(address);
  if (from_start < first_link_ * 8) return nullptr;
  from_start -= first_link_ * 8;
  uint64_t stride = uint64_t{stride_units_} * 8;
  if (from_start >= slots_ * stride) return nullptr;
  offset = from_start % stride;
  return element_at(static_cast<uint32_t>(from_start / stride));
}

bool HashTable::key_equal(const Element* element, const void* key) const {
  auto* mine = reinterpret_cast<const uint64_t*>(element->key());
  auto* other = static_cast<const uint8_t*>(key);
  uint32_t left = key_size_;
  for (; left >= 8; left -= 8, ++mine, other += 8)
    if (__atomic_load_n(mine, __ATOMIC_RELAXED) != base::load<uint64_t>(other)) return false;
  if (left == 0) return true;
  uint64_t word = left == 4 ? base::load<uint32_t>(other) : tail_word(other, left);
  return __atomic_load_n(mine, __ATOMIC_RELAXED) == word;
}

void HashTable::write_key(Element* element, const void* key) {
  auto* mine = reinterpret_cast<uint64_t*>(element->key());
  auto* from = static_cast<const uint8_t*>(key);
  uint32_t left = key_size_;
  for (; left >= 8; left -= 8, ++mine, from += 8) __atomic_store_n(mine, base::load<uint64_t>(from), __ATOMIC_RELAXED);
  if (left != 0) __atomic_store_n(mine, tail_word(from, left), __ATOMIC_RELAXED);
}

HashTable::Element* HashTable::walk(const Bucket& in, const void* key, uint32_t hash,
                                    std::atomic<uint32_t>** found_at) const {
  // A writer wants the link to change; it owns the bucket, so casting away the reader's const is its right.
  auto* link = const_cast<std::atomic<uint32_t>*>(&in.head);
  for (uint32_t current = link->load(std::memory_order_acquire); current != 0;
       current = link->load(std::memory_order_acquire)) {
    Element* element = at(current);
    if (element->hash.load(std::memory_order_relaxed) == hash && key_equal(element, key)) {
      if (found_at != nullptr) *found_at = link;
      return element;
    }
    link = &element->next;
  }
  return nullptr;
}

HashTable::Element* HashTable::find(const void* key) const {
  constexpr int kAttempts = 8;
  uint32_t hash = hash_key(key, key_size_, seed_);
  Bucket& home = bucket(hash);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint32_t before = home.version.load(std::memory_order_acquire);
    if (Element* element = walk(home, key, hash, nullptr)) return element;
    if (home.version.load(std::memory_order_acquire) == before) return nullptr;
  }
  lock(home);
  Element* element = walk(home, key, hash, nullptr);
  unlock(home);
  return element;
}

int HashTable::next_key(const void* key, void* next) const {
  uint64_t from = 0;
  if (key != nullptr) {
    uint32_t hash = hash_key(key, key_size_, seed_);
    Bucket& home = bucket(hash);
    lock(home);
    Element* element = walk(home, key, hash, nullptr);
    uint32_t link = element == nullptr ? 0 : element->next.load(std::memory_order_relaxed);
    if (link != 0) std::memcpy(next, at(link)->key(), key_size_);
    unlock(home);
    if (link != 0) return 0;
    if (element != nullptr) from = uint64_t{hash & bucket_mask_} + 1;
  }
  for (uint64_t i = from; i <= bucket_mask_; ++i) {
    Bucket& candidate = bucket(static_cast<uint32_t>(i));
    if (candidate.head.load(std::memory_order_acquire) == 0) continue;
    lock(candidate);
    uint32_t link = candidate.head.load(std::memory_order_relaxed);
    if (link != 0) std::memcpy(next, at(link)->key(), key_size_);
    unlock(candidate);
    if (link != 0) return 0;
  }
  return -ENOENT;
}

std::atomic<uint32_t>* HashTable::link_to(Bucket& in, const Element* element) const {
  std::atomic<uint32_t>* link = &in.head;
  uint32_t wanted = link_of(element);
  for (uint32_t current = link->load(std::memory_order_relaxed); current != 0;
       current = link->load(std::memory_order_relaxed)) {
    if (current == wanted) return link;
    link = &at(current)->next;
  }
  return nullptr;
}

bool HashTable::linked(Element* element) {
  Bucket& home = bucket(element->hash.load(std::memory_order_relaxed));
  lock(home);
  bool found = link_to(home, element) != nullptr;
  unlock(home);
  return found;
}

void HashTable::lock(Bucket& bucket) {
  for (uint32_t spins = 0;;) {
    uint32_t version = bucket.version.load(std::memory_order_relaxed);
    if ((version & 1) == 0 && bucket.version.compare_exchange_weak(version, version + 1, std::memory_order_acquire))
      return;
    relax(spins);
  }
}

void HashTable::unlock(Bucket& bucket) {
  bucket.version.store(bucket.version.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

bool HashTable::reserve() {
  uint32_t now = count_.load(std::memory_order_relaxed);
  do {
    if (now >= max_entries_) return false;
  } while (!count_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
  return true;
}

HashTable::Element* HashTable::pop(Shard& shard) {
  if (shard.head.load(std::memory_order_relaxed) == 0) return nullptr;
  for (uint32_t spins = 0; shard.locked.exchange(1, std::memory_order_acquire) != 0;) relax(spins);
  uint32_t link = shard.head.load(std::memory_order_relaxed);
  if (link != 0) shard.head.store(at(link)->free, std::memory_order_relaxed);
  shard.locked.store(0, std::memory_order_release);
  return link == 0 ? nullptr : at(link);
}

// Own list, then elements never used, then the other threads' lists. Writers hold a reservation or are about to free
// the element they replace, and there are spare elements for the latter, so the wait ends.
HashTable::Element* HashTable::take_free() {
  uint32_t own = thread_shard(kShards);
  for (uint32_t spins = 0;;) {
    if (Element* element = pop(shards_[own])) return element;
    uint32_t index = fresh_.load(std::memory_order_relaxed);
    while (index < slots_ && !fresh_.compare_exchange_weak(index, index + 1, std::memory_order_relaxed)) {
    }
    if (index < slots_) {
      Element* element = element_at(index);
      element->index = index;
      return element;
    }
    for (uint32_t i = 1; i < kShards; ++i)
      if (Element* element = pop(shards_[(own + i) % kShards])) return element;
    relax(spins);
  }
}

void HashTable::push_free(Element* element) {
  Shard& shard = shards_[thread_shard(kShards)];
  for (uint32_t spins = 0; shard.locked.exchange(1, std::memory_order_acquire) != 0;) relax(spins);
  element->free = shard.head.load(std::memory_order_relaxed);
  shard.head.store(link_of(element), std::memory_order_relaxed);
  shard.locked.store(0, std::memory_order_release);
}

}  // namespace xnic::exec::maps
