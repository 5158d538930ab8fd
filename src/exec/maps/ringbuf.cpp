// SPDX-License-Identifier: Apache-2.0
// Ring buffers; layout in ringbuf.hpp. Invariants: the producer position is stored (release) after the header, with its
// busy bit; a commit is one exchange of the header's first word; the span from the oldest busy record and from the
// consumer to the producer stays below the ring's size. What the host writes (consumer position; in user rings all) is
// not trusted: it can cost samples, never memory outside the ring.
#include "exec/maps/ringbuf.hpp"

#include <bit>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "base/check.hpp"
#include "exec/maps/checks.hpp"
#include "exec/maps/value.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

namespace {

constexpr uint32_t kBusy = 1u << 31;
constexpr uint32_t kDiscard = 1u << 30;
constexpr uint32_t kHeaderBytes = 8;
constexpr uint64_t kMaxSampleBytes = UINT32_MAX / 4;
constexpr uint32_t kMaxDynptrBytes = (1u << 24) - 1;  // bpf_dynptr_check_size

uint64_t record_bytes(uint64_t sample_bytes) { return round_up(sample_bytes + kHeaderBytes, 8); }

// All rings by the end of their storage, for of_sample().
struct Registry {
  std::shared_mutex mutex;
  std::map<uintptr_t, RingbufMap*> by_end;
};
Registry& registry() {
  static Registry instance;
  return instance;
}

uintptr_t end_of(const Memory& memory) { return reinterpret_cast<uintptr_t>(memory.data()) + memory.size(); }

}  // namespace

std::shared_ptr<Map> RingbufMap::make(const MapSpec& spec, const MapOptions& options, int& error) {
  bool size_ok = std::has_single_bit(spec.max_entries) && spec.max_entries % kPageBytes == 0;
  if ((spec.flags & ~uint32_t{arch::ebpf::kNumaNode}) != 0 || spec.key_size != 0 || spec.value_size != 0 || !size_ok) {
    error = -EINVAL;
    return nullptr;
  }
  std::shared_ptr<RingbufMap> map(new RingbufMap(spec, options));
  uint64_t bytes = 2 * kPageBytes + uint64_t{2} * spec.max_entries;
  if (!(options.storage_fd >= 0 ? map->memory_.allocate_in(options.storage_fd, bytes) : map->memory_.allocate(bytes))) {
    error = -ENOMEM;
    return nullptr;
  }
  map->mask_ = uint64_t{spec.max_entries} - 1;
  std::unique_lock lock(registry().mutex);
  registry().by_end[end_of(map->memory_)] = map.get();
  return map;
}

RingbufMap::~RingbufMap() {
  if (memory_.data() == nullptr) return;
  std::unique_lock lock(registry().mutex);
  registry().by_end.erase(end_of(memory_));
}

RingbufMap* RingbufMap::of_sample(const void* sample) {
  std::shared_lock lock(registry().mutex);
  auto found = registry().by_end.upper_bound(reinterpret_cast<uintptr_t>(sample));
  if (found == registry().by_end.end() || found->second->memory_.offset_of(sample) == found->second->memory_.size())
    return nullptr;
  return found->second;
}

void* RingbufMap::reserve(uint64_t size) {
  if (size > kMaxSampleBytes || record_bytes(size) > mask_ + 1) return nullptr;
  uint64_t read = __atomic_load_n(consumer(), __ATOMIC_ACQUIRE);
  lock_word(&lock_);
  uint64_t position = produced_;  // not from the shared page, which a host might have written
  uint64_t next = position + record_bytes(size);
  while (pending_ < position) {
    auto* header = reinterpret_cast<uint32_t*>(data() + (pending_ & mask_));
    uint32_t length = __atomic_load_n(header, __ATOMIC_ACQUIRE);
    if ((length & kBusy) != 0) break;
    pending_ += record_bytes(length & ~kDiscard);
  }
  if (next - read > mask_ || next - pending_ > mask_) {
    unlock_word(&lock_);
    return nullptr;
  }
  uint8_t* header = data() + (position & mask_);
  auto page = static_cast<uint32_t>((header - memory_.data()) / static_cast<int64_t>(kPageBytes));
  __atomic_store_n(reinterpret_cast<uint32_t*>(header), static_cast<uint32_t>(size) | kBusy, __ATOMIC_RELAXED);
  __atomic_store_n(reinterpret_cast<uint32_t*>(header + 4), page, __ATOMIC_RELAXED);
  produced_ = next;
  __atomic_store_n(producer(), next, __ATOMIC_RELEASE);
  unlock_word(&lock_);
  return header + kHeaderBytes;
}

void RingbufMap::commit(void* sample, uint64_t flags, bool discard) {
  uint8_t* header = static_cast<uint8_t*>(sample) - kHeaderBytes;
  auto* word = reinterpret_cast<uint32_t*>(header);
  uint32_t length = __atomic_load_n(word, __ATOMIC_RELAXED) & ~kBusy;
  __atomic_exchange_n(word, discard ? length | kDiscard : length, __ATOMIC_SEQ_CST);
  // A consumer that waits for this very record must be woken; any other will come to it by itself.
  uint64_t record = static_cast<uint64_t>(header - data());
  bool waits = (__atomic_load_n(consumer(), __ATOMIC_ACQUIRE) & mask_) == record;
  if (wakeup_ && ((flags & kForceWakeup) != 0 || (waits && (flags & kNoWakeup) == 0))) wakeup_();
}

int RingbufMap::output(const void* from, uint64_t size, uint64_t flags) {
  if ((flags & ~uint64_t{kNoWakeup | kForceWakeup}) != 0) return -EINVAL;
  void* sample = reserve(size);
  if (sample == nullptr) return -EAGAIN;
  std::memcpy(sample, from, size);
  commit(sample, flags, false);
  return 0;
}

uint64_t RingbufMap::query(uint64_t flag) const {
  uint64_t read = __atomic_load_n(consumer(), __ATOMIC_ACQUIRE);
  uint64_t written = __atomic_load_n(producer(), __ATOMIC_ACQUIRE);
  switch (flag) {
    case kAvailableBytes:
      return written - read;
    case kRingBytes:
      return mask_ + 1;
    case kConsumerPosition:
      return read;
    case kProducerPosition:
      return written;
    default:
      return 0;
  }
}

bool RingbufMap::begin_drain() { return !draining_.exchange(true, std::memory_order_acquire); }
void RingbufMap::end_drain() { draining_.store(false, std::memory_order_release); }

int RingbufMap::next_user_sample(void** sample, uint32_t* size) {
  uint64_t written = __atomic_load_n(producer(), __ATOMIC_ACQUIRE);
  if (written % 8 != 0) return -EINVAL;
  // Our own position, but on a page that a host can reach: keep its alignment, so that the header stays in the data.
  uint64_t read = __atomic_load_n(consumer(), __ATOMIC_ACQUIRE) & ~uint64_t{7};
  if (read >= written) return -ENODATA;
  uint8_t* header = data() + (read & mask_);
  uint32_t word = __atomic_load_n(reinterpret_cast<uint32_t*>(header), __ATOMIC_ACQUIRE);
  uint32_t length = word & ~(kBusy | kDiscard);
  uint64_t total = record_bytes(length);
  if (total > written - read) return -EINVAL;
  if (total > mask_ + 1 || length > kMaxDynptrBytes) return -E2BIG;
  if ((word & kDiscard) != 0) {
    __atomic_store_n(consumer(), read + total, __ATOMIC_RELEASE);
    return -EAGAIN;
  }
  if ((word & kBusy) != 0) return -ENODATA;
  // Kernel: data + ((position + 8) & mask), which differs from ours only where the sample starts at the ring's end.
  *sample = header + kHeaderBytes;
  *size = length;
  return 0;
}

void RingbufMap::release_user_sample(uint32_t size) {
  uint64_t read = __atomic_load_n(consumer(), __ATOMIC_RELAXED);
  __atomic_store_n(consumer(), read + record_bytes(size), __ATOMIC_RELEASE);
}

// A sample may be of any size; without trusting headers the check is against the data as a whole.
bool RingbufMap::owns(const void* address, uint64_t bytes) const {
  uint64_t offset = memory_.offset_of(address);
  return offset >= 2 * kPageBytes && offset < memory_.size() && bytes <= memory_.size() - offset;
}

int RingbufMap::host_lookup(const void*, void*, uint64_t flags) { return flags != 0 ? -EINVAL : -kErrNotSupported; }

}  // namespace xnic::exec::maps
