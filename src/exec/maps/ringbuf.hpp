// SPDX-License-Identifier: Apache-2.0
// Ring buffer and user ring buffer, in the kernel's shared-memory layout (kernel/bpf/ringbuf.c; libbpf ringbuf.c).
//
// Storage (in options.storage_fd if given, so that the host can mmap it), n = max_entries bytes:
//   [0, 4096)             consumer page, u64 consumer position at 0; written by the consumer
//   [4096, 8192)          producer page, u64 producer position at 0; written by the producer
//   [8192, 8192 + n)      data;  [8192 + n, 8192 + 2n) room for the end of a record that wraps
// A record is {u32 length | busy << 31 | discard << 30, u32 page offset}, then the sample, padded to 8. Its address is
// data + (position & (n - 1)); both sides address it linearly from there, so the second region need not mirror the
// first: the bytes of a record that runs over the end stay where they were written until the ring comes round again.
// Headers are 8 bytes at multiples of 8 and never wrap. Positions only grow.
#pragma once

#include <functional>

#include "exec/maps/map.hpp"
#include "exec/maps/memory.hpp"

namespace xnic::exec::maps {

class RingbufMap final : public Map {
 public:
  enum QueryFlag : uint64_t { kAvailableBytes = 0, kRingBytes = 1, kConsumerPosition = 2, kProducerPosition = 3 };
  enum CommitFlag : uint64_t { kNoWakeup = 1, kForceWakeup = 2 };

  static std::shared_ptr<Map> make(const arch::ebpf::MapSpec& spec, const MapOptions& options, int& error);
  ~RingbufMap() override;

  // The ring whose data holds `sample`, since bpf_ringbuf_submit names no map. Null when there is none.
  static RingbufMap* of_sample(const void* sample);

  // --- Producer: programs ---
  // Room for a sample of `size` bytes, busy until commit(); null when the ring is full or never that large.
  void* reserve(uint64_t size);
  // Ends a reservation: the consumer sees the sample, or skips it if `discard`. Pre: `sample` is from reserve().
  void commit(void* sample, uint64_t flags, bool discard);
  // 0, -EINVAL (flags), -EAGAIN (no room).
  int output(const void* data, uint64_t size, uint64_t flags);
  // 0 for an unknown flag.
  uint64_t query(uint64_t flag) const;

  // --- Consumer of a user ring buffer: programs (bpf_user_ringbuf_drain) ---
  // Only one at a time: false while another drains.
  bool begin_drain();
  void end_drain();
  // Next sample of the host. 0; -ENODATA (none, or the next is busy); -EAGAIN (skipped a discarded one);
  // -EINVAL, -E2BIG (the host wrote nonsense). The host may change the bytes while they are read.
  int next_user_sample(void** sample, uint32_t* size);
  void release_user_sample(uint32_t size);

  // Called where the kernel would wake the host's epoll; must not block. Set before programs run.
  void set_wakeup(std::function<void()> wakeup) { wakeup_ = std::move(wakeup); }

  uint8_t* storage() const { return memory_.data(); }
  bool owns(const void* address, uint64_t bytes) const override;
  int host_lookup(const void* key, void* value, uint64_t flags) override;

 private:
  RingbufMap(const arch::ebpf::MapSpec& spec, const MapOptions& options) : Map(spec, options) {}
  uint64_t* consumer() const { return reinterpret_cast<uint64_t*>(memory_.data()); }
  uint64_t* producer() const { return reinterpret_cast<uint64_t*>(memory_.data() + kPageBytes); }
  uint8_t* data() const { return memory_.data() + 2 * kPageBytes; }
  Memory memory_;
  uint64_t mask_ = 0;
  uint32_t lock_ = 0;      // of producers
  uint64_t produced_ = 0;  // under lock_: the producer position
  uint64_t pending_ = 0;   // under lock_: no record before this position is busy
  std::atomic<bool> draining_{false};
  std::function<void()> wakeup_;
};

}  // namespace xnic::exec::maps
