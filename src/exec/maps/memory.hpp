// SPDX-License-Identifier: Apache-2.0
// Memory: the pages that hold a map's buckets, elements and values.
//
// Pages come from mmap, so they are zero, page-aligned, and cost nothing until touched: a map of a million entries is
// made in microseconds. Addresses never change during the life of the object.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xnic::exec::maps {

constexpr uint64_t kPageBytes = 4096;

constexpr uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }
// Stride of values in every map, and of per-CPU copies in bpf(2) buffers.
constexpr uint32_t value_stride(uint32_t value_size) { return static_cast<uint32_t>(round_up(value_size, 8)); }

class Memory {
 public:
  Memory() = default;
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Maps `bytes` (rounded up to pages) of private zero memory. False when the system has no such memory.
  bool allocate(uint64_t bytes);
  // As allocate(), without asking the system to promise the pages: for maps that the kernel does not preallocate, whose
  // limit may be far beyond what is ever used.
  bool allocate_lazily(uint64_t bytes);
  // Gives the file `bytes` (rounded up to pages) and maps it shared; `fd` stays the caller's.
  bool allocate_in(int fd, uint64_t bytes);

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  // Offset of `address` from data(), or size() when it lies outside.
  uint64_t offset_of(const void* address) const {
    auto offset = reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(data_);
    return offset < size_ ? offset : size_;
  }

 private:
  bool map(int fd, uint64_t bytes, int flags);
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace xnic::exec::maps
