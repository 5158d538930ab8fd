// SPDX-License-Identifier: Apache-2.0
// HashTable: hashing, chains and free lists; the invariants are in hash_table.hpp.
#include "exec/maps/hash_table.hpp"

#include <bit>

#include "base/check.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

namespace {

// A thread keeps to one free list, so that threads rarely meet.
uint32_t thread_shard(uint32_t shards) {
  static std::atomic<uint32_t> threads{0};
  thread_local uint32_t number = threads.fetch_add(1, std::memory_order_relaxed);
  return number % shards;
}

}  // namespace

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

void HashTable::write_key(Element* element, const void* key) {
  auto* mine = reinterpret_cast<uint64_t*>(element->key());
  auto* from = static_cast<const uint8_t*>(key);
  uint32_t left = key_size_;
  for (; left >= 8; left -= 8, ++mine, from += 8) __atomic_store_n(mine, base::load<uint64_t>(from), __ATOMIC_RELAXED);
  if (left != 0) __atomic_store_n(mine, detail::tail_word(from, left), __ATOMIC_RELAXED);
}

HashTable::Element* HashTable::find(const void* key) const {
  bool busy = false;
  if (Element* element = find_in(parts(), key, busy); !busy) return element;
  uint32_t hash = hash_key(key, key_size_, seed_);
  Bucket& home = bucket(hash);
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
