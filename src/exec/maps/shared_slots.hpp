// SPDX-License-Identifier: Apache-2.0
// SharedSlots: an array of shared pointers that programs read while the host replaces them.
//
// Each slot has its own one-word lock, held for the copy of one pointer. The presence word is read first without the
// lock, so that empty slots cost one load.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

template <class T>
class SharedSlots {
 public:
  // False when there is no memory. Call once.
  bool allocate(uint64_t slots) {
    slots_.reset(new (std::nothrow) Slot[slots]);
    return slots_ != nullptr;
  }
  std::shared_ptr<T> get(uint64_t index) const {
    Slot& slot = slots_[index];
    if (!slot.present.load(std::memory_order_acquire)) return nullptr;
    lock_word(&slot.lock);
    std::shared_ptr<T> copy = slot.pointer;
    unlock_word(&slot.lock);
    return copy;
  }
  bool present(uint64_t index) const { return slots_[index].present.load(std::memory_order_acquire); }
  // Puts `pointer` in and gives back what was there; the caller drops it after the lock, since dropping may free a map.
  std::shared_ptr<T> exchange(uint64_t index, std::shared_ptr<T> pointer) {
    Slot& slot = slots_[index];
    lock_word(&slot.lock);
    slot.present.store(pointer != nullptr, std::memory_order_release);
    std::swap(slot.pointer, pointer);
    unlock_word(&slot.lock);
    return pointer;
  }

 private:
  struct Slot {
    uint32_t lock = 0;
    std::atomic<bool> present{false};
    std::shared_ptr<T> pointer;
  };
  std::unique_ptr<Slot[]> slots_;
};

}  // namespace xnic::exec::maps
