// SPDX-License-Identifier: Apache-2.0
// Queue and stack: a circular buffer of values under one lock. Keys have size 0. Errors are those of
// kernel/bpf/queue_stack_maps.c; a push with kExist into a full map drops the oldest value.
#pragma once

#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"

namespace xnic::exec::maps {

class QueueStackMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  int push(const void* value, uint64_t flags) override;
  int pop(void* value) override;
  int peek(void* value) override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_lookup_and_delete(const void* key, void* value, uint64_t flags) override;
  int update(const void* key, const void* value, uint64_t flags, uint32_t cpu) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override { return count_; }

 private:
  QueueStackMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  int get(void* value, bool remove);
  uint8_t* at(uint64_t position) const;
  Memory memory_;
  uint32_t lock_ = 0;
  uint64_t oldest_ = 0;             // position of the oldest value, below max_entries
  std::atomic<uint64_t> count_{0};  // written under the lock
};

}  // namespace xnic::exec::maps
