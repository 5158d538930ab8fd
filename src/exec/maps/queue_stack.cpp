// SPDX-License-Identifier: Apache-2.0
// Queue and stack; see queue_stack.hpp. They share everything but the end that pop and peek look at.
#include "exec/maps/queue_stack.hpp"

#include "exec/maps/checks.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

std::shared_ptr<Map> QueueStackMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  uint32_t unknown = spec.flags & ~(arch::ebpf::kNumaNode | kAccessFlags);
  if (spec.max_entries == 0 || spec.key_size != 0 || spec.value_size == 0 || unknown != 0 ||
      !access_flags_ok(spec.flags))
    error = -EINVAL;
  else if (spec.value_size > kKmallocMaxBytes || spec.max_entries >= UINT32_MAX / spec.value_size)
    error = -E2BIG;
  if (error != 0) return nullptr;
  std::shared_ptr<QueueStackMap> map(new QueueStackMap(spec, options));
  if (map->memory_.allocate(uint64_t{value_stride(spec.value_size)} * spec.max_entries)) return map;
  error = -ENOMEM;
  return nullptr;
}

uint8_t* QueueStackMap::at(uint64_t position) const {
  return memory_.data() + position % spec_.max_entries * value_stride(spec_.value_size);
}

int QueueStackMap::push(const void* value, uint64_t flags) {
  if (flags != kAny && flags != kExist) return -EINVAL;
  lock_word(&lock_);
  uint64_t count = count_.load(std::memory_order_relaxed);
  bool full = count == spec_.max_entries;
  bool stored = !full || flags == kExist;
  if (full && stored) oldest_ = (oldest_ + 1) % spec_.max_entries;
  if (stored) {
    std::memcpy(at(oldest_ + (full ? count - 1 : count)), value, spec_.value_size);
    if (!full) count_.store(count + 1, std::memory_order_relaxed);
  }
  unlock_word(&lock_);
  return stored ? 0 : -E2BIG;
}

int QueueStackMap::get(void* value, bool remove) {
  lock_word(&lock_);
  uint64_t count = count_.load(std::memory_order_relaxed);
  if (count == 0) {
    unlock_word(&lock_);
    std::memset(value, 0, spec_.value_size);
    return -ENOENT;
  }
  bool queue = spec_.type == arch::ebpf::kMapQueue;
  std::memcpy(value, at(queue ? oldest_ : oldest_ + count - 1), spec_.value_size);
  if (remove) {
    if (queue) oldest_ = (oldest_ + 1) % spec_.max_entries;
    count_.store(count - 1, std::memory_order_relaxed);
  }
  unlock_word(&lock_);
  return 0;
}

int QueueStackMap::pop(void* value) { return get(value, true); }
int QueueStackMap::peek(void* value) { return get(value, false); }

int QueueStackMap::host_lookup(const void*, void* value, uint64_t flags) {
  return flags != 0 ? -EINVAL : get(value, false);
}

int QueueStackMap::host_update(const void*, const void* value, uint64_t flags) {
  return frozen() ? -EPERM : push(value, flags);
}

int QueueStackMap::host_lookup_and_delete(const void*, void* value, uint64_t flags) {
  if ((flags & ~uint64_t{kLock}) != 0) return -EINVAL;
  if (frozen()) return -EPERM;
  return flags != 0 ? -EINVAL : get(value, true);
}

int QueueStackMap::update(const void*, const void*, uint64_t, uint32_t) { return -EINVAL; }
int QueueStackMap::erase(const void*) { return -EINVAL; }
int QueueStackMap::host_next_key(const void*, void*) { return -EINVAL; }

}  // namespace xnic::exec::maps
