// SPDX-License-Identifier: Apache-2.0
// Array and per-CPU array: one multiplication to the value. Errors are those of kernel/bpf/arraymap.c.
#include "exec/maps/array.hpp"

#include <climits>

#include "base/check.hpp"
#include "exec/maps/checks.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

int check_array_spec(const MapSpec& spec) {
  constexpr uint32_t kAllowed =
      arch::ebpf::kNumaNode | arch::ebpf::kMmapable | kAccessFlags | arch::ebpf::kPreserveElems | arch::ebpf::kInnerMap;
  bool percpu = spec.type == arch::ebpf::kMapPercpuArray;
  if (spec.max_entries == 0 || spec.key_size != 4 || spec.value_size == 0) return -EINVAL;
  if ((spec.flags & ~kAllowed) != 0 || !access_flags_ok(spec.flags)) return -EINVAL;
  if (percpu && (spec.flags & arch::ebpf::kNumaNode) != 0) return -EINVAL;
  if (spec.type != arch::ebpf::kMapArray && (spec.flags & (arch::ebpf::kMmapable | arch::ebpf::kInnerMap)) != 0)
    return -EINVAL;
  if (spec.type != arch::ebpf::kMapPerfEventArray && (spec.flags & arch::ebpf::kPreserveElems) != 0) return -EINVAL;
  if (spec.value_size > INT_MAX) return -E2BIG;
  if (percpu && value_stride(spec.value_size) > kPercpuMinUnitBytes) return -E2BIG;
  return 0;
}

int next_array_index(const void* key, void* next_key, uint32_t max_entries) {
  uint32_t index = key == nullptr ? UINT32_MAX : base::load<uint32_t>(key);
  if (index >= max_entries) {
    base::store<uint32_t>(next_key, 0);
    return 0;
  }
  if (index == max_entries - 1) return -ENOENT;
  base::store<uint32_t>(next_key, index + 1);
  return 0;
}

ArrayMap::ArrayMap(const MapSpec& spec, const MapOptions& options)
    : Map(spec, options), copier_(spec), stride_(value_stride(spec.value_size)) {}

std::shared_ptr<Map> ArrayMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_array_spec(spec)) != 0) return nullptr;
  std::shared_ptr<ArrayMap> map(new ArrayMap(spec, options));
  uint64_t bytes = uint64_t{map->stride_} * spec.max_entries;
  bool in_file = (spec.flags & arch::ebpf::kMmapable) != 0 && options.storage_fd >= 0;
  if (!(in_file ? map->memory_.allocate_in(options.storage_fd, bytes) : map->memory_.allocate(bytes))) {
    error = -ENOMEM;
    return nullptr;
  }
  return map;
}

void* ArrayMap::lookup(const void* key, uint32_t) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries) return nullptr;
  return memory_.data() + uint64_t{index} * stride_;
}

int ArrayMap::update(const void* key, const void* value, uint64_t flags, uint32_t) {
  uint32_t index = base::load<uint32_t>(key);
  if ((flags & ~uint64_t{kLock}) > kExist) return -EINVAL;
  if (index >= spec_.max_entries) return -E2BIG;
  if ((flags & kNoExist) != 0) return -EEXIST;
  if ((flags & kLock) != 0 && !copier_.has_lock()) return -EINVAL;
  uint8_t* at = memory_.data() + uint64_t{index} * stride_;
  if ((flags & kLock) != 0)
    copier_.in_locked(at, value);
  else
    copier_.in(at, value);
  return 0;
}

int ArrayMap::erase(const void*) { return -EINVAL; }

bool ArrayMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = memory_.offset_of(address);
  if (offset >= uint64_t{stride_} * spec_.max_entries) return false;
  return offset % stride_ + bytes <= spec_.value_size;
}

int ArrayMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

PercpuArrayMap::PercpuArrayMap(const MapSpec& spec, const MapOptions& options)
    : Map(spec, options),
      copier_(spec),
      stride_(value_stride(spec.value_size)),
      cpu_stride_(round_up(uint64_t{stride_} * spec.max_entries, kPageBytes)) {}

std::shared_ptr<Map> PercpuArrayMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_array_spec(spec)) != 0) return nullptr;
  std::shared_ptr<PercpuArrayMap> map(new PercpuArrayMap(spec, options));
  if (!map->memory_.allocate(map->cpu_stride_ * options.cpus)) {
    error = -ENOMEM;
    return nullptr;
  }
  return map;
}

void* PercpuArrayMap::lookup(const void* key, uint32_t cpu) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries || cpu >= options_.cpus) return nullptr;
  return base(cpu) + uint64_t{index} * stride_;
}

int PercpuArrayMap::check_update(uint32_t index, uint64_t flags) const {
  if (flags > kExist) return -EINVAL;  // kLock too: per-CPU values cannot hold a lock
  if (index >= spec_.max_entries) return -E2BIG;
  return flags == kNoExist ? -EEXIST : 0;
}

int PercpuArrayMap::update(const void* key, const void* value, uint64_t flags, uint32_t cpu) {
  CHECK(cpu < options_.cpus);
  uint32_t index = base::load<uint32_t>(key);
  if (int error = check_update(index, flags)) return error;
  copier_.in(base(cpu) + uint64_t{index} * stride_, value);
  return 0;
}

int PercpuArrayMap::erase(const void*) { return -EINVAL; }

bool PercpuArrayMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = memory_.offset_of(address);
  if (offset >= memory_.size()) return false;
  offset %= cpu_stride_;
  return offset < uint64_t{stride_} * spec_.max_entries && offset % stride_ + bytes <= spec_.value_size;
}

int PercpuArrayMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if (flags != 0) return -EINVAL;
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries) return -ENOENT;
  auto* to = static_cast<uint8_t*>(value);
  std::memset(to, 0, host_value_bytes());
  for (uint32_t cpu = 0; cpu < options_.cpus; ++cpu)
    copier_.out(to + uint64_t{cpu} * stride_, base(cpu) + uint64_t{index} * stride_);
  return 0;
}

int PercpuArrayMap::host_update(const void* key, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  uint32_t index = base::load<uint32_t>(key);
  if (int error = check_update(index, flags)) return error;
  auto* from = static_cast<const uint8_t*>(value);
  for (uint32_t cpu = 0; cpu < options_.cpus; ++cpu)
    copier_.in(base(cpu) + uint64_t{index} * stride_, from + uint64_t{cpu} * stride_);
  return 0;
}

int PercpuArrayMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

}  // namespace xnic::exec::maps
