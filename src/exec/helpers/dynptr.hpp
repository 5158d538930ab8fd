// SPDX-License-Identifier: Apache-2.0
// What the 16 bytes of a struct bpf_dynptr on the program's stack hold.
#pragma once

#include <cstdint>
#include <cstring>

namespace xnic::exec::helpers {

struct Dynptr {
  uint64_t data = 0;  // address of its memory; 0: null, every operation on it fails
  uint32_t size = 0;
  uint32_t flags = 0;

  static constexpr uint32_t kReadOnly = 1;
  static constexpr uint32_t kPacket = 2;  // stands for the packet of the run; `data` says only that it is not null

  static Dynptr at(uint64_t address) {
    Dynptr dynptr;
    std::memcpy(&dynptr, reinterpret_cast<const void*>(address), sizeof dynptr);
    return dynptr;
  }
  void put(uint64_t address) const { std::memcpy(reinterpret_cast<void*>(address), this, sizeof *this); }
  bool holds(uint64_t offset, uint64_t bytes) const { return bytes <= size && offset <= size - bytes; }
};
static_assert(sizeof(Dynptr) == 16);

inline constexpr uint32_t kMaxDynptrBytes = (1u << 24) - 1;  // kernel DYNPTR_MAX_SIZE

}  // namespace xnic::exec::helpers
