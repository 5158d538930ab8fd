// SPDX-License-Identifier: Apache-2.0
// Bloom filter: push adds a value, peek tells whether it may be in (0) or is not (-ENOENT). Nothing can be removed.
// Sizes and errors are those of kernel/bpf/bloom_filter.c; map_extra is the number of hash functions (0: 5).
#pragma once

#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"

namespace xnic::exec::maps {

class BloomFilterMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  int push(const void* value, uint64_t flags) override;
  int pop(void* value) override;
  int peek(void* value) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;

 private:
  BloomFilterMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  uint32_t bit_of(const void* value, uint32_t function) const;
  Memory bits_;
  uint32_t mask_ = 0;  // bits - 1
  uint32_t functions_ = 0;
};

}  // namespace xnic::exec::maps
