// SPDX-License-Identifier: Apache-2.0
// Copying of keys and values between callers' buffers and a map's storage.
//
// Storage is 8-byte aligned and shared with running programs, so it is read and written with relaxed atomic words
// (plain moves on x86-64): a racing reader sees old or new words, never a torn aligned word. Special fields
// (bpf_spin_lock, bpf_timer) belong to the map, not to the caller: copies in leave them alone, copies out show zeros,
// as copy_map_value and check_and_init_map_value do (kernel include/linux/bpf.h).
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <utility>

#include "arch/ebpf/program.hpp"

namespace xnic::exec::maps {

constexpr uint32_t kSpinLockBytes = 4;
constexpr uint32_t kTimerBytes = 16;

// One step of a busy wait; gives the processor away now and then, since the holder may wait for it.
inline void relax(uint32_t& spins) {
  if (++spins % 64 == 0) {
    sched_yield();
  } else {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

// bpf_spin_lock in a value: 0 free, 1 held. Helpers use the same two functions, so host and programs exclude each
// other.
inline void lock_word(void* word) {
  std::atomic_ref<uint32_t> lock(*static_cast<uint32_t*>(word));
  for (uint32_t spins = 0; lock.exchange(1, std::memory_order_acquire) != 0;) relax(spins);
}
inline void unlock_word(void* word) {
  std::atomic_ref<uint32_t>(*static_cast<uint32_t*>(word)).store(0, std::memory_order_release);
}

namespace detail {
template <class T>
void store_one(void* storage, const void* from) {
  T word;
  std::memcpy(&word, from, sizeof word);
  __atomic_store_n(static_cast<T*>(storage), word, __ATOMIC_RELAXED);
}
template <class T>
void load_one(void* to, const void* storage) {
  T word = __atomic_load_n(static_cast<const T*>(storage), __ATOMIC_RELAXED);
  std::memcpy(to, &word, sizeof word);
}
}  // namespace detail

// Copies `bytes` into storage. Pre: `storage` is 4-byte aligned at least; the other side needs no alignment.
inline void store_bytes(void* storage, const void* from, uint32_t bytes) {
  auto* to = static_cast<uint8_t*>(storage);
  auto* in = static_cast<const uint8_t*>(from);
  uint32_t i = 0;
  if (bytes >= 4 && reinterpret_cast<uintptr_t>(to) % 8 == 4) {
    detail::store_one<uint32_t>(to, in);
    i = 4;
  }
  for (; i + 8 <= bytes; i += 8) detail::store_one<uint64_t>(to + i, in + i);
  if (i + 4 <= bytes) {
    detail::store_one<uint32_t>(to + i, in + i);
    i += 4;
  }
  for (; i < bytes; ++i) detail::store_one<uint8_t>(to + i, in + i);
}

// Copies `bytes` out of storage; alignment as store_bytes.
inline void load_bytes(void* to_buffer, const void* storage, uint32_t bytes) {
  auto* to = static_cast<uint8_t*>(to_buffer);
  auto* in = static_cast<const uint8_t*>(storage);
  uint32_t i = 0;
  if (bytes >= 4 && reinterpret_cast<uintptr_t>(in) % 8 == 4) {
    detail::load_one<uint32_t>(to, in);
    i = 4;
  }
  for (; i + 8 <= bytes; i += 8) detail::load_one<uint64_t>(to + i, in + i);
  if (i + 4 <= bytes) {
    detail::load_one<uint32_t>(to + i, in + i);
    i += 4;
  }
  for (; i < bytes; ++i) detail::load_one<uint8_t>(to + i, in + i);
}

inline void zero_bytes(void* storage, uint32_t bytes) {
  auto* to = static_cast<uint8_t*>(storage);
  uint32_t i = 0;
  for (; i + 8 <= bytes; i += 8) __atomic_store_n(reinterpret_cast<uint64_t*>(to + i), uint64_t{0}, __ATOMIC_RELAXED);
  for (; i < bytes; ++i) __atomic_store_n(to + i, uint8_t{0}, __ATOMIC_RELAXED);
}

// How values of one map are copied.
class ValueCopier {
 public:
  explicit ValueCopier(const arch::ebpf::MapSpec& spec)
      : size_(spec.value_size), lock_(spec.spin_lock_offset), timer_(spec.timer_offset) {}

  bool has_lock() const { return lock_ >= 0; }

  // Caller's buffer -> storage, special fields kept.
  void in(void* storage, const void* value) const {
    if (lock_ < 0 && timer_ < 0) [[likely]]
      return store_bytes(storage, value, size_);
    for_each_plain_part([&](uint32_t from, uint32_t bytes) {
      store_bytes(static_cast<uint8_t*>(storage) + from, static_cast<const uint8_t*>(value) + from, bytes);
    });
  }
  // Storage of a new element: special fields start as zero.
  void in_fresh(void* storage, const void* value) const {
    if (lock_ >= 0) zero_bytes(static_cast<uint8_t*>(storage) + lock_, kSpinLockBytes);
    if (timer_ >= 0) zero_bytes(static_cast<uint8_t*>(storage) + timer_, kTimerBytes);
    in(storage, value);
  }
  void in_locked(void* storage, const void* value) const {
    lock_word(static_cast<uint8_t*>(storage) + lock_);
    in(storage, value);
    unlock_word(static_cast<uint8_t*>(storage) + lock_);
  }
  // Storage -> caller's buffer, special fields shown as zero.
  void out(void* value, const void* storage) const {
    load_bytes(value, storage, size_);
    if (lock_ >= 0) std::memset(static_cast<uint8_t*>(value) + lock_, 0, kSpinLockBytes);
    if (timer_ >= 0) std::memset(static_cast<uint8_t*>(value) + timer_, 0, kTimerBytes);
  }
  void out_locked(void* value, void* storage) const {
    lock_word(static_cast<uint8_t*>(storage) + lock_);
    out(value, storage);
    unlock_word(static_cast<uint8_t*>(storage) + lock_);
  }

 private:
  template <class Copy>
  void for_each_plain_part(Copy copy) const {
    struct Hole {
      uint32_t at, bytes;
    } holes[2] = {{size_, 0}, {size_, 0}};
    uint32_t count = 0;
    if (lock_ >= 0) holes[count++] = {static_cast<uint32_t>(lock_), kSpinLockBytes};
    if (timer_ >= 0) holes[count++] = {static_cast<uint32_t>(timer_), kTimerBytes};
    if (count == 2 && holes[0].at > holes[1].at) std::swap(holes[0], holes[1]);
    uint32_t from = 0;
    for (uint32_t i = 0; i < count; ++i) {
      if (holes[i].at > from) copy(from, holes[i].at - from);
      from = holes[i].at + holes[i].bytes;
    }
    if (from < size_) copy(from, size_ - from);
  }

  uint32_t size_;
  int32_t lock_;
  int32_t timer_;
};

}  // namespace xnic::exec::maps
