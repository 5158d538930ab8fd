// SPDX-License-Identifier: Apache-2.0
// Hash maps: flag checks and value copies of kernel/bpf/hashtab.c around HashTable.
#include "exec/maps/hash.hpp"

#include "base/check.hpp"
#include "exec/maps/checks.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;
using Place = HashTable::Place;

namespace {

bool is_lru(const MapSpec& spec) {
  return spec.type == arch::ebpf::kMapLruHash || spec.type == arch::ebpf::kMapLruPercpuHash;
}

// With BPF_F_NO_COMMON_LRU the kernel gives each CPU an equal share: entries become a multiple of the CPUs.
MapSpec with_equal_shares(MapSpec spec, uint32_t cpus) {
  if ((spec.flags & arch::ebpf::kNoCommonLru) == 0 || spec.max_entries % cpus == 0) return spec;
  uint64_t up = round_up(spec.max_entries, cpus);
  spec.max_entries = up > UINT32_MAX ? spec.max_entries / cpus * cpus : static_cast<uint32_t>(up);
  return spec;
}

}  // namespace

int check_hash_spec(const MapSpec& spec) {
  constexpr uint32_t kAllowed =
      arch::ebpf::kNoPrealloc | arch::ebpf::kNoCommonLru | arch::ebpf::kNumaNode | kAccessFlags | arch::ebpf::kZeroSeed;
  constexpr uint64_t kElementHeaderBytes = 48;  // sizeof(struct htab_elem) on 64-bit kernels
  bool percpu = arch::ebpf::is_percpu(spec.type);
  bool lru_per_cpu = (spec.flags & arch::ebpf::kNoCommonLru) != 0;
  if ((spec.flags & ~kAllowed) != 0 || !access_flags_ok(spec.flags)) return -EINVAL;
  if (!is_lru(spec) && lru_per_cpu) return -EINVAL;
  if (is_lru(spec) && (spec.flags & arch::ebpf::kNoPrealloc) != 0) return -kErrNotSupported;
  if ((spec.flags & arch::ebpf::kNumaNode) != 0 && (percpu || lru_per_cpu)) return -EINVAL;
  if (spec.max_entries == 0 || spec.key_size == 0 || spec.value_size == 0) return -EINVAL;
  if (uint64_t{spec.key_size} + spec.value_size >= kKmallocMaxBytes - kElementHeaderBytes) return -E2BIG;
  if (percpu && value_stride(spec.value_size) > kPercpuMinUnitBytes) return -E2BIG;
  return 0;
}

HashMap::HashMap(const MapSpec& spec, const MapOptions& options)
    : Map(spec, options), copier_(spec), lru_(is_lru(spec)) {}

std::shared_ptr<Map> HashMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_hash_spec(spec)) != 0) return nullptr;
  std::shared_ptr<HashMap> map(new HashMap(with_equal_shares(spec, options.cpus), options));
  uint64_t seed = (spec.flags & arch::ebpf::kZeroSeed) != 0 ? 0 : options.seed;
  bool lazily = (spec.flags & arch::ebpf::kNoPrealloc) != 0;
  error = map->table_.allocate(spec.key_size, spec.value_size, map->spec_.max_entries, seed, lazily);
  if (error == 0 && map->lru_ && !map->stamps_.allocate(map->table_.slots())) error = -ENOMEM;
  return error == 0 ? map : nullptr;
}

void* HashMap::lookup(const void* key, uint32_t) {
  HashTable::Element* element = table_.find(key);
  if (element == nullptr) return nullptr;
  if (lru_) stamps_.mark(element);
  return table_.value(element);
}

int HashMap::update(const void* key, const void* value, uint64_t flags, uint32_t) {
  bool locked = (flags & kLock) != 0;
  uint64_t mode = flags & ~uint64_t{kLock};
  if (mode > kExist || (locked && (lru_ || !copier_.has_lock()))) return -EINVAL;
  return table_.update(
      key, mode, locked,
      [&](HashTable::Element* element, Place place) {
        if (place == Place::kInPlace) return copier_.in_locked(table_.value(element), value);
        copier_.in_fresh(table_.value(element), value);
        if (lru_) stamps_.admit(element);
      },
      [&] {
        if (lru_) stamps_.evict_one(table_);
        return lru_;
      });
}

int HashMap::erase(const void* key) {
  return table_.erase(key, [](HashTable::Element*) {});
}

bool HashMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = 0;
  if (table_.element_of(address, offset) == nullptr) return false;
  return offset >= table_.value_offset() && offset - table_.value_offset() + bytes <= spec_.value_size;
}

int HashMap::host_lookup(const void* key, void* value, uint64_t flags) {
  if ((flags & ~uint64_t{kLock}) != 0 || (flags != 0 && !copier_.has_lock())) return -EINVAL;
  HashTable::Element* element = table_.find(key);  // the host's curiosity is no use: no LRU mark
  if (element == nullptr) return -ENOENT;
  if (flags != 0)
    copier_.out_locked(value, table_.value(element));
  else
    copier_.out(value, table_.value(element));
  return 0;
}

int HashMap::host_lookup_and_delete(const void* key, void* value, uint64_t flags) {
  if ((flags & ~uint64_t{kLock}) != 0) return -EINVAL;
  if (frozen()) return -EPERM;
  if (flags != 0 && !copier_.has_lock()) return -EINVAL;
  return table_.erase(key, [&](HashTable::Element* element) {
    if (flags != 0)
      copier_.out_locked(value, table_.value(element));
    else
      copier_.out(value, table_.value(element));
  });
}

int HashMap::host_next_key(const void* key, void* next_key) { return table_.next_key(key, next_key); }

PercpuHashMap::PercpuHashMap(const MapSpec& spec, const MapOptions& options)
    : Map(spec, options), copier_(spec), lru_(is_lru(spec)), stride_(value_stride(spec.value_size)) {}

std::shared_ptr<Map> PercpuHashMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_hash_spec(spec)) != 0) return nullptr;
  std::shared_ptr<PercpuHashMap> map(new PercpuHashMap(with_equal_shares(spec, options.cpus), options));
  uint64_t seed = (spec.flags & arch::ebpf::kZeroSeed) != 0 ? 0 : options.seed;
  error = map->table_.allocate(spec.key_size, 0, map->spec_.max_entries, seed);
  if (error != 0) return nullptr;
  map->cpu_stride_ = round_up(uint64_t{map->stride_} * map->table_.slots(), kPageBytes);
  bool enough = map->values_.allocate(map->cpu_stride_ * options.cpus) &&
                (!map->lru_ || map->stamps_.allocate(map->table_.slots()));
  if (!enough) error = -ENOMEM;
  return enough ? map : nullptr;
}

void* PercpuHashMap::lookup(const void* key, uint32_t cpu) {
  HashTable::Element* element = cpu < options_.cpus ? table_.find(key) : nullptr;
  if (element == nullptr) return nullptr;
  if (lru_) stamps_.mark(element);
  return value(element, cpu);
}

// `write(element, place)` fills the copies. Existing elements keep their place: another CPU's copy must survive.
template <class Write>
int PercpuHashMap::write(const void* key, uint64_t flags, Write write) {
  if (flags > kExist) return -EINVAL;
  return table_.update(
      key, flags, true,
      [&](HashTable::Element* element, Place place) {
        write(element, place);
        if (!lru_) return;
        if (place == Place::kInPlace)
          stamps_.mark(element);
        else
          stamps_.admit(element);
      },
      [&] {
        if (lru_) stamps_.evict_one(table_);
        return lru_;
      });
}

int PercpuHashMap::update(const void* key, const void* new_value, uint64_t flags, uint32_t cpu) {
  CHECK(cpu < options_.cpus);
  return write(key, flags, [&](HashTable::Element* element, Place place) {
    if (place == Place::kInPlace) return copier_.in(value(element, cpu), new_value);
    for (uint32_t other = 0; other < options_.cpus; ++other)
      if (other != cpu) zero_bytes(value(element, other), stride_);
    copier_.in_fresh(value(element, cpu), new_value);
  });
}

int PercpuHashMap::host_update(const void* key, const void* new_value, uint64_t flags) {
  if (frozen()) return -EPERM;
  auto* from = static_cast<const uint8_t*>(new_value);
  return write(key, flags, [&](HashTable::Element* element, Place place) {
    for (uint32_t cpu = 0; cpu < options_.cpus; ++cpu) {
      if (place == Place::kInPlace)
        copier_.in(value(element, cpu), from + uint64_t{cpu} * stride_);
      else
        copier_.in_fresh(value(element, cpu), from + uint64_t{cpu} * stride_);
    }
  });
}

int PercpuHashMap::erase(const void* key) {
  return table_.erase(key, [](HashTable::Element*) {});
}

bool PercpuHashMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = values_.offset_of(address);
  if (offset >= values_.size()) return false;
  offset %= cpu_stride_;
  return offset < uint64_t{stride_} * table_.slots() && offset % stride_ + bytes <= spec_.value_size;
}

void PercpuHashMap::copy_all_out(const HashTable::Element* element, void* value_out) const {
  auto* to = static_cast<uint8_t*>(value_out);
  std::memset(to, 0, host_value_bytes());
  for (uint32_t cpu = 0; cpu < options_.cpus; ++cpu) copier_.out(to + uint64_t{cpu} * stride_, value(element, cpu));
}

int PercpuHashMap::host_lookup(const void* key, void* value_out, uint64_t flags) {
  if (flags != 0) return -EINVAL;  // kLock too: per-CPU values cannot hold a lock
  HashTable::Element* element = table_.find(key);
  if (element == nullptr) return -ENOENT;
  copy_all_out(element, value_out);
  return 0;
}

int PercpuHashMap::host_lookup_and_delete(const void* key, void* value_out, uint64_t flags) {
  if (flags != 0) return -EINVAL;
  if (frozen()) return -EPERM;
  return table_.erase(key, [&](HashTable::Element* element) { copy_all_out(element, value_out); });
}

int PercpuHashMap::host_next_key(const void* key, void* next_key) { return table_.next_key(key, next_key); }

}  // namespace xnic::exec::maps
