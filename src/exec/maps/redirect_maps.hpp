// SPDX-License-Identifier: Apache-2.0
// Devmap, devmap hash, cpumap and xskmap: the targets of bpf_redirect_map. Only the host changes them; programs may
// read devmap and cpumap values. Whether an interface, CPU queue or socket exists is the device's business: these maps
// keep what the host stored. Errors are those of kernel/bpf/devmap.c, cpumap.c and net/xdp/xskmap.c.
//
// Layout: slot i of an array is 8 bytes at slots() + 8 * i.
//   devmap {u32 ifindex, u32 program id}, absent while ifindex is 0;  cpumap {u32 queue size, u32 program id}, absent
//   while the size is 0;  xskmap {u32 value, u32 present}.
#pragma once

#include <mutex>
#include <unordered_map>

#include "exec/maps/hash_table.hpp"
#include "exec/maps/map.hpp"

namespace xnic::exec::maps {

// Programs attached to entries of a devmap or cpumap, by key. Few entries have one, so they live aside.
class EntryPrograms {
 public:
  std::shared_ptr<const LoadedProgram> get(uint32_t key) const;
  void set(uint32_t key, std::shared_ptr<const LoadedProgram> program);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint32_t, std::shared_ptr<const LoadedProgram>> programs_;
};

// Devmap, cpumap and xskmap: arrays of 8-byte slots that differ in what a value may be.
class RedirectArrayMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  uint8_t* slots() const { return memory_.data(); }

  void* lookup(const void* key, uint32_t cpu) override;
  std::shared_ptr<const LoadedProgram> program(uint32_t index) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override;

 private:
  RedirectArrayMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  uint64_t* slot(uint32_t index) const { return reinterpret_cast<uint64_t*>(memory_.data()) + index; }
  bool present(uint64_t slot) const;
  int update_target(uint32_t index, uint32_t target, std::shared_ptr<const LoadedProgram> program);
  int update_socket(uint32_t index, uint32_t socket, uint64_t flags);
  std::mutex writers_;
  Memory memory_;
  EntryPrograms programs_;
};

class DevmapHashMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  const HashTable& table() const { return table_; }

  void* lookup(const void* key, uint32_t cpu) override;
  std::shared_ptr<const LoadedProgram> program(uint32_t key) override;
  int erase(const void* key) override;
  bool owns(const void* address, uint64_t bytes) const override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return table_.count(); }

 private:
  DevmapHashMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  std::mutex writers_;
  HashTable table_;  // inline value: {u32 ifindex, u32 program id}
  EntryPrograms programs_;
};

}  // namespace xnic::exec::maps
