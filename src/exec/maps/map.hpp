// SPDX-License-Identifier: Apache-2.0
// Map: one implementation for every engine and for the host side of the bpf(2) door.
//
// Errors are negative errno values, since programs and bpf(2) callers both see the kernel's numbers (-ENOENT, -EEXIST,
// -E2BIG, …). Thread safety: all operations may run at once from several queues and the host. A pointer from lookup()
// stays readable and writable memory for the life of the map; after the element is deleted it may become another
// element's value, as with the kernel's preallocated maps.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "arch/ebpf/map_types.hpp"
#include "arch/ebpf/program.hpp"
#include "base/bytes.hpp"

namespace xnic::exec {
struct LoadedProgram;
}

namespace xnic::exec::maps {

// Flags of update (BPF_ANY, BPF_NOEXIST, BPF_EXIST, BPF_F_LOCK).
enum UpdateFlag : uint64_t { kAny = 0, kNoExist = 1, kExist = 2, kLock = 4 };

struct MapOptions {
  uint32_t cpus = 1;  // copies of each value in per-CPU maps
  int storage_fd =
      -1;  // memfd that shall hold the values of mmap-able maps and ring buffers; the map sizes and maps it, not owned
  uint64_t seed = 0;  // of hash functions; 0 for repeatable order
};

class Map;
class EventSink;  // perf_event_array.hpp

// What the host reads or writes as the value of a reference-holding map (prog array, map of maps, devmap, cpumap,
// xskmap) goes through these; device/ translates file descriptors and ids.
struct Reference {
  std::shared_ptr<const LoadedProgram> program;  // prog array; devmap/cpumap with a program
  std::shared_ptr<Map> map;                      // map of maps
  std::shared_ptr<EventSink> events;             // perf event array
};

class Map {
 public:
  // Checks the spec as the kernel's map_alloc_check of that type does. On failure returns null and sets `error` to
  // -errno (-EINVAL, -E2BIG, -ENOMEM, -ENOTSUPP (524) for types the card lacks).
  static std::shared_ptr<Map> create(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  virtual ~Map() = default;
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  const arch::ebpf::MapSpec& spec() const { return spec_; }
  uint32_t cpus() const { return options_.cpus; }
  // Bytes of one value as bpf(2) carries it: value_size, for per-CPU maps round_up(value_size, 8) * cpus.
  uint32_t host_value_bytes() const;

  // --- Program side: what helpers and engines call on the packet path. `cpu` selects the copy of per-CPU values. ---
  virtual void* lookup(const void* key, uint32_t cpu);
  virtual int update(const void* key, const void* value, uint64_t flags, uint32_t cpu);
  virtual int erase(const void* key);
  virtual int push(const void* value, uint64_t flags);
  virtual int pop(void* value);
  virtual int peek(void* value);
  // Array maps: address of the first value (global data, LoadMapValue); null for others.
  virtual uint8_t* values_base() { return nullptr; }
  // Map of maps: the inner map (lookup() gives null there); prog array, devmap, cpumap: the program. Null when absent.
  virtual std::shared_ptr<Map> inner(const void* key);
  virtual std::shared_ptr<const LoadedProgram> program(uint32_t index);
  // True if [address, address + bytes) lies inside one value (checked mode of the interpreter).
  virtual bool owns(const void* address, uint64_t bytes) const;

  // --- Host side: the bpf(2) commands. Values are host_value_bytes(). ---
  virtual int host_lookup(const void* key, void* value, uint64_t flags);
  virtual int host_update(const void* key, const void* value, uint64_t flags);
  // Update of a reference-holding map. `value` is what bpf(2) brought (value_size bytes), except for maps of maps:
  // there it is the u32 id of the inner map, which host_lookup shall report. A plain host_update of a prog array, map
  // of maps or perf event array gives -EBADF, since its value names no object.
  virtual int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags);
  virtual int host_erase(const void* key);
  virtual int host_lookup_and_delete(const void* key, void* value, uint64_t flags);
  // First key when `key` is null or absent; -ENOENT at the end. Kernel order where the kernel defines one (arrays, LPM
  // post-order).
  virtual int host_next_key(const void* key, void* next_key);
  // Number of elements now present (for statistics and tests).
  virtual uint64_t entries() const;

  // Host: BPF_MAP_FREEZE; later host writes give -EPERM.
  int freeze();
  bool frozen() const { return frozen_; }

 protected:
  Map(const arch::ebpf::MapSpec& spec, const MapOptions& options) : spec_(spec), options_(options) {}
  arch::ebpf::MapSpec spec_;
  MapOptions options_;
  std::atomic<bool> frozen_ = false;
};

}  // namespace xnic::exec::maps
