// SPDX-License-Identifier: Apache-2.0
// Array and per-CPU array. All elements exist from the start and are zero; none can be deleted.
//
// Layout (for engines that inline look-ups):
//   ArrayMap:       value(i)      = values_base() + i * stride()                             stride =
//   round_up(value_size, 8) PercpuArrayMap: value(i, cpu) = base(cpu)     + i * stride();  base(cpu) = base(0) + cpu *
//   cpu_stride()
// Both for i < max_entries; addresses hold for the life of the map. Copies of different CPUs lie on different pages.
#pragma once

#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

// The kernel's array_map_alloc_check, shared by all types with array keys of that file. 0 or -errno.
int check_array_spec(const arch::ebpf::MapSpec& spec);
// Order of array keys (array_map_get_next_key): 0 after null or an index out of range.
int next_array_index(const void* key, void* next_key, uint32_t max_entries);

class ArrayMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);

  uint32_t stride() const { return stride_; }

  void* lookup(const void* key, uint32_t cpu) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  uint8_t* values_base() override { return memory_.data(); }
  bool owns(const void* address, uint64_t bytes) const override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return spec_.max_entries; }

 private:
  ArrayMap(const arch::ebpf::MapSpec& spec, const MapOptions& options);
  ValueCopier copier_;
  uint32_t stride_;
  Memory memory_;
};

class PercpuArrayMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);

  uint8_t* base(uint32_t cpu) const { return memory_.data() + cpu * cpu_stride_; }
  uint32_t stride() const { return stride_; }
  uint64_t cpu_stride() const { return cpu_stride_; }

  void* lookup(const void* key, uint32_t cpu) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return spec_.max_entries; }

 private:
  PercpuArrayMap(const arch::ebpf::MapSpec& spec, const MapOptions& options);
  int check_update(uint32_t index, uint64_t flags) const;
  ValueCopier copier_;
  uint32_t stride_;
  uint64_t cpu_stride_;
  Memory memory_;
};

}  // namespace xnic::exec::maps
