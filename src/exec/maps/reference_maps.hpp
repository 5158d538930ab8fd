// SPDX-License-Identifier: Apache-2.0
// Prog array, array of maps and hash of maps: values are references to programs and maps. Only the host changes them.
// Errors are those of kernel/bpf/arraymap.c (fd arrays), hashtab.c (fd hash) and map_in_map.c.
#pragma once

#include "exec/maps/hash_table.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/shared_slots.hpp"

namespace xnic::exec::maps {

// The kernel's fd_array_map_alloc_check: prog array, array of maps, perf event array. 0 or -errno.
int check_reference_array_spec(const arch::ebpf::MapSpec& spec);
// Whether a map of `spec` may be the template of a map of maps. 0 or -errno (-EBADF when there is no template).
int check_inner_template(const arch::ebpf::MapSpec* inner);
// bpf_map_meta_equal with the additions of array and xskmap: whether `map` fits the template.
bool fits_template(const arch::ebpf::MapSpec& inner_template, const arch::ebpf::MapSpec& map);
// The checks that all arrays of references make before they look at the reference. 0 or -errno.
int check_reference_array_update(const Map& map, const void* key, uint64_t flags);

class ProgArrayMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  std::shared_ptr<const LoadedProgram> program(uint32_t index) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override;

 private:
  ProgArrayMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  SharedSlots<const LoadedProgram> slots_;
  // Tail calls may not lead between programs with and without fragment support: the first program decides
  // (bpf_prog_map_compatible). -1: none yet.
  std::atomic<int> owner_has_frags_{-1};
};

class ArrayOfMapsMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  std::shared_ptr<Map> inner(const void* key) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override;

 private:
  ArrayOfMapsMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  SharedSlots<Map> slots_;
  Memory ids_;  // u32 an element
};

class HashOfMapsMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  std::shared_ptr<Map> inner(const void* key) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return table_.count(); }

 private:
  HashOfMapsMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  HashTable table_;         // inline value: the inner map's id
  SharedSlots<Map> slots_;  // by element index
};

}  // namespace xnic::exec::maps
