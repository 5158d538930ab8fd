// SPDX-License-Identifier: Apache-2.0
// Pages from mmap; see memory.hpp.
#include "exec/maps/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "base/check.hpp"

namespace xnic::exec::maps {

Memory::~Memory() {
  if (data_ != nullptr) munmap(data_, size_);
}

bool Memory::map(int fd, uint64_t bytes, int flags) {
  CHECK(data_ == nullptr);
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (at == MAP_FAILED) return false;
  data_ = static_cast<uint8_t*>(at);
  size_ = bytes;
  return true;
}

bool Memory::allocate(uint64_t bytes) {
  // A hopeless size shall fail now (-ENOMEM) rather than kill the process later, hence no MAP_NORESERVE.
  return map(-1, round_up(bytes == 0 ? 1 : bytes, kPageBytes), MAP_PRIVATE | MAP_ANONYMOUS);
}

bool Memory::allocate_lazily(uint64_t bytes) {
  return map(-1, round_up(bytes == 0 ? 1 : bytes, kPageBytes), MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
}

bool Memory::allocate_in(int fd, uint64_t bytes) {
  bytes = round_up(bytes == 0 ? 1 : bytes, kPageBytes);
  if (ftruncate(fd, static_cast<off_t>(bytes)) != 0) return false;
  return map(fd, bytes, MAP_SHARED);
}

}  // namespace xnic::exec::maps
