// SPDX-License-Identifier: Apache-2.0
// Hash, LRU hash and their per-CPU forms, over HashTable.
//
// Layout (for engines that inline look-ups): elements and buckets as in hash_table.hpp.
//   HashMap:       value = element + table().value_offset()
//   PercpuHashMap: value(cpu) = base(cpu) + element->index * stride();  base(cpu) = base(0) + cpu * cpu_stride()
// A plain update replaces the element, so a reader sees the old or the new value whole; an update under kLock and a
// per-CPU update write in place, as in the kernel (kernel/bpf/hashtab.c). A look-up in an LRU map also marks the
// element (LruStamps).
#pragma once

#include "exec/maps/hash_table.hpp"
#include "exec/maps/lru_stamps.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

// The kernel's htab_map_alloc_check. 0 or -errno.
int check_hash_spec(const arch::ebpf::MapSpec& spec);

class HashMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);

  const HashTable& table() const { return table_; }
  bool lru() const { return lru_; }
  LruStamps& stamps() { return stamps_; }  // of an LRU map

  void* lookup(const void* key, uint32_t cpu) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_lookup_and_delete(const void* key, void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return table_.count(); }

 private:
  HashMap(const arch::ebpf::MapSpec& spec, const MapOptions& options);
  ValueCopier copier_;
  bool lru_;
  HashTable table_;
  LruStamps stamps_;
};

class PercpuHashMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);

  const HashTable& table() const { return table_; }
  bool lru() const { return lru_; }
  LruStamps& stamps() { return stamps_; }  // of an LRU map
  uint8_t* base(uint32_t cpu) const { return values_.data() + cpu * cpu_stride_; }
  uint32_t stride() const { return stride_; }
  uint64_t cpu_stride() const { return cpu_stride_; }

  void* lookup(const void* key, uint32_t cpu) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_lookup_and_delete(const void* key, void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return table_.count(); }

 private:
  PercpuHashMap(const arch::ebpf::MapSpec& spec, const MapOptions& options);
  uint8_t* value(const HashTable::Element* element, uint32_t cpu) const {
    return base(cpu) + uint64_t{element->index} * stride_;
  }
  void copy_all_out(const HashTable::Element* element, void* value_out) const;
  template <class Write>
  int write(const void* key, uint64_t flags, Write write);
  ValueCopier copier_;
  bool lru_;
  uint32_t stride_;
  uint64_t cpu_stride_ = 0;
  HashTable table_;
  LruStamps stamps_;
  Memory values_;
};

}  // namespace xnic::exec::maps
