// SPDX-License-Identifier: Apache-2.0
// Bloom filter over one array of bits, set with atomic ors, so that pushes and peeks need no lock.
#include "exec/maps/bloom_filter.hpp"

#include <bit>

#include "exec/maps/checks.hpp"
#include "exec/maps/hash_table.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

std::shared_ptr<Map> BloomFilterMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  uint32_t unknown = spec.flags & ~(arch::ebpf::kNumaNode | arch::ebpf::kZeroSeed | kAccessFlags);
  if (spec.value_size > kKmallocMaxBytes)
    error = -E2BIG;
  else if (spec.key_size != 0 || spec.value_size == 0 || spec.max_entries == 0 || unknown != 0 ||
           !access_flags_ok(spec.flags) || spec.map_extra > 15)
    error = -EINVAL;
  if (error != 0) return nullptr;
  std::shared_ptr<BloomFilterMap> map(new BloomFilterMap(spec, options));
  map->functions_ = spec.map_extra == 0 ? 5 : static_cast<uint32_t>(spec.map_extra);
  // The best size for n values and k functions is n * k / ln 2 bits; 7/5 stands for 1 / ln 2 as in the kernel.
  uint64_t wanted = uint64_t{spec.max_entries} * map->functions_;
  wanted = wanted > UINT32_MAX ? uint64_t{1} << 32 : wanted / 5 * 7;
  uint64_t bits = wanted > (uint64_t{1} << 31) ? uint64_t{1} << 32 : std::bit_ceil(wanted < 64 ? uint64_t{64} : wanted);
  map->mask_ = static_cast<uint32_t>(bits - 1);
  if (map->bits_.allocate(bits / 8)) return map;
  error = -ENOMEM;
  return nullptr;
}

uint32_t BloomFilterMap::bit_of(const void* value, uint32_t function) const {
  uint64_t seed = (spec_.flags & arch::ebpf::kZeroSeed) != 0 ? 0 : options_.seed;
  return hash_key(value, spec_.value_size, seed + (uint64_t{function} << 40)) & mask_;
}

int BloomFilterMap::push(const void* value, uint64_t flags) {
  if (flags != kAny) return -EINVAL;
  for (uint32_t function = 0; function < functions_; ++function) {
    uint32_t bit = bit_of(value, function);
    __atomic_fetch_or(bits_.data() + bit / 8, static_cast<uint8_t>(1u << bit % 8), __ATOMIC_RELAXED);
  }
  return 0;
}

int BloomFilterMap::peek(void* value) {
  for (uint32_t function = 0; function < functions_; ++function) {
    uint32_t bit = bit_of(value, function);
    if ((__atomic_load_n(bits_.data() + bit / 8, __ATOMIC_RELAXED) >> bit % 8 & 1) == 0) return -ENOENT;
  }
  return 0;
}

int BloomFilterMap::pop(void*) { return -EOPNOTSUPP; }

int BloomFilterMap::host_lookup(const void*, void* value, uint64_t flags) { return flags != 0 ? -EINVAL : peek(value); }

int BloomFilterMap::host_update(const void*, const void* value, uint64_t flags) {
  return frozen() ? -EPERM : push(value, flags);
}

int BloomFilterMap::update(const void*, const void*, uint64_t, uint32_t) { return -EINVAL; }
int BloomFilterMap::erase(const void*) { return -EOPNOTSUPP; }
int BloomFilterMap::host_next_key(const void*, void*) { return -EOPNOTSUPP; }

}  // namespace xnic::exec::maps
