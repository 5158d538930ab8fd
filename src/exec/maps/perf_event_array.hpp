// SPDX-License-Identifier: Apache-2.0
// Perf event array, the sinks its entries refer to, and PerfRing, the sink that a host reads as it reads perf's ring.
#pragma once

#include <mutex>

#include "base/bytes.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"
#include "exec/maps/shared_slots.hpp"

namespace xnic::exec::maps {

// Where bpf_perf_event_output puts samples.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Appends one sample made of `head` and then `tail` (the part of the packet that the program asked for). 0, or
  // -ENOSPC when there is no room; the sample is then counted as lost. Thread-safe.
  virtual int write(base::Bytes head, base::Bytes tail) = 0;
};

// A ring in perf's mmap layout (include/uapi/linux/perf_event.h): one page of perf_event_mmap_page, of which data_head
// (offset 1024), data_tail (1032), data_offset (1040) and data_size (1048) are used, then the data pages. Records are
// PERF_RECORD_SAMPLE with PERF_SAMPLE_RAW: {u32 type, u16 misc, u16 size} {u32 raw size} raw bytes, padded to 8; and
// PERF_RECORD_LOST {header} {u64 id} {u64 lost} before the first sample after a loss. A record may wrap at the end of
// the data. Positions are bytes and only grow; the host owns data_tail.
class PerfRing final : public EventSink {
 public:
  // `data_pages` must be a power of two. With `storage_fd` >= 0 the ring lives in that file (sized here, not owned), so
  // that the host can mmap it. Null when there is no memory or the size is bad.
  static std::shared_ptr<PerfRing> make(uint32_t data_pages, int storage_fd);
  int write(base::Bytes head, base::Bytes tail) override;
  uint64_t lost() const { return lost_total_.load(std::memory_order_relaxed); }

 private:
  PerfRing() = default;
  void put(uint64_t& position, const void* bytes, uint64_t count);
  void put_lost_record(uint64_t& position);
  std::mutex writers_;
  Memory memory_;
  uint8_t* data_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t lost_unreported_ = 0;
  std::atomic<uint64_t> lost_total_{0};
};

class PerfEventArrayMap final : public Map {
 public:
  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);

  // bpf_perf_event_output to entry `index`: 0, -E2BIG (no such index), -ENOENT (empty), -ENOSPC (ring full).
  int output(uint32_t index, base::Bytes head, base::Bytes tail);

  int host_lookup(const void* key, void* value, uint64_t flags) override;
  int host_update(const void* key, const void* value, uint64_t flags) override;
  int host_update_reference(const void* key, Reference reference, const void* value, uint64_t flags) override;
  int erase(const void* key) override;
  int host_next_key(const void* key, void* next_key) override;
  uint64_t entries() const override;

 private:
  PerfEventArrayMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  SharedSlots<EventSink> slots_;
};

}  // namespace xnic::exec::maps
