// SPDX-License-Identifier: Apache-2.0
// Perf event array and PerfRing. The ring has many writers (a mutex) and one reader (the host, by data_tail); a record
// becomes visible by one release store of data_head.
#include "exec/maps/perf_event_array.hpp"

#include <linux/perf_event.h>

#include <algorithm>
#include <bit>

#include "exec/maps/array.hpp"
#include "exec/maps/checks.hpp"
#include "exec/maps/reference_maps.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {
perf_event_mmap_page* page_of(const Memory& memory) { return reinterpret_cast<perf_event_mmap_page*>(memory.data()); }
constexpr uint64_t kLostRecordBytes = sizeof(perf_event_header) + 16;
}  // namespace

std::shared_ptr<PerfRing> PerfRing::make(uint32_t data_pages, int storage_fd) {
  if (!std::has_single_bit(data_pages)) return nullptr;
  std::shared_ptr<PerfRing> ring(new PerfRing);
  uint64_t bytes = (uint64_t{data_pages} + 1) * kPageBytes;
  if (!(storage_fd >= 0 ? ring->memory_.allocate_in(storage_fd, bytes) : ring->memory_.allocate(bytes))) return nullptr;
  ring->data_ = ring->memory_.data() + kPageBytes;
  ring->mask_ = uint64_t{data_pages} * kPageBytes - 1;
  page_of(ring->memory_)->data_offset = kPageBytes;
  page_of(ring->memory_)->data_size = ring->mask_ + 1;
  return ring;
}

void PerfRing::put(uint64_t& position, const void* bytes, uint64_t count) {
  if (count == 0) return;
  uint64_t at = position & mask_;
  uint64_t first = std::min(count, mask_ + 1 - at);
  std::memcpy(data_ + at, bytes, first);
  std::memcpy(data_, static_cast<const uint8_t*>(bytes) + first, count - first);
  position += count;
}

void PerfRing::put_lost_record(uint64_t& position) {
  perf_event_header header{PERF_RECORD_LOST, 0, static_cast<uint16_t>(kLostRecordBytes)};
  uint64_t body[2] = {0, lost_unreported_};
  put(position, &header, sizeof header);
  put(position, body, sizeof body);
  lost_unreported_ = 0;
}

int PerfRing::write(base::Bytes head, base::Bytes tail) {
  std::lock_guard lock(writers_);
  auto* page = page_of(memory_);
  uint64_t raw = head.size() + tail.size();
  uint64_t record = round_up(sizeof(perf_event_header) + sizeof(uint32_t) + raw, 8);
  uint64_t needed = record + (lost_unreported_ != 0 ? kLostRecordBytes : 0);
  uint64_t position = page->data_head;
  uint64_t read = __atomic_load_n(&page->data_tail, __ATOMIC_ACQUIRE);
  uint64_t used = position - read;  // a host that writes nonsense only loses its own samples
  if (record > UINT16_MAX || used > mask_ + 1 || needed > mask_ + 1 - used) {
    ++lost_unreported_;
    lost_total_.fetch_add(1, std::memory_order_relaxed);
    return -ENOSPC;
  }
  if (lost_unreported_ != 0) put_lost_record(position);
  perf_event_header header{PERF_RECORD_SAMPLE, 0, static_cast<uint16_t>(record)};
  // The raw size covers the padding, as perf writes it.
  uint32_t raw_size = static_cast<uint32_t>(record - sizeof header - sizeof(uint32_t));
  put(position, &header, sizeof header);
  put(position, &raw_size, sizeof raw_size);
  put(position, head.data(), head.size());
  put(position, tail.data(), tail.size());
  uint64_t zeros = 0;
  put(position, &zeros, raw_size - raw);
  __atomic_store_n(&page->data_head, position, __ATOMIC_RELEASE);
  return 0;
}

std::shared_ptr<Map> PerfEventArrayMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  if ((error = check_reference_array_spec(spec)) != 0) return nullptr;
  std::shared_ptr<PerfEventArrayMap> map(new PerfEventArrayMap(spec, options));
  if (map->slots_.allocate(spec.max_entries)) return map;
  error = -ENOMEM;
  return nullptr;
}

int PerfEventArrayMap::output(uint32_t index, base::Bytes head, base::Bytes tail) {
  if (index >= spec_.max_entries) return -E2BIG;
  std::shared_ptr<EventSink> sink = slots_.get(index);
  return sink == nullptr ? -ENOENT : sink->write(head, tail);
}

// The kernel has no number to show for an event either.
int PerfEventArrayMap::host_lookup(const void*, void*, uint64_t flags) {
  return flags != 0 ? -EINVAL : -kErrNotSupported;
}

int PerfEventArrayMap::host_update(const void* key, const void*, uint64_t flags) {
  int error = check_reference_array_update(*this, key, flags);
  return error != 0 ? error : -EBADF;
}

int PerfEventArrayMap::host_update_reference(const void* key, Reference reference, const void*, uint64_t flags) {
  if (int error = check_reference_array_update(*this, key, flags)) return error;
  if (reference.events == nullptr) return -EBADF;
  slots_.exchange(base::load<uint32_t>(key), std::move(reference.events));
  return 0;
}

int PerfEventArrayMap::erase(const void* key) {
  uint32_t index = base::load<uint32_t>(key);
  if (index >= spec_.max_entries) return -E2BIG;
  return slots_.exchange(index, nullptr) != nullptr ? 0 : -ENOENT;
}

int PerfEventArrayMap::host_next_key(const void* key, void* next_key) {
  return next_array_index(key, next_key, spec_.max_entries);
}

uint64_t PerfEventArrayMap::entries() const {
  uint64_t count = 0;
  for (uint32_t index = 0; index < spec_.max_entries; ++index) count += slots_.present(index) ? 1 : 0;
  return count;
}

}  // namespace xnic::exec::maps
