// SPDX-License-Identifier: Apache-2.0
// Memory and descriptors of the calling process. Copies use process_vm_readv/writev, which report a bad address instead
// of faulting; a short count means that the rest is not mapped.
#include "device/caller.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace xnic::device {
namespace {

constexpr uint64_t kPageBytes = 4096;

using Copy = ssize_t (*)(pid_t, const iovec*, unsigned long, const iovec*, unsigned long, unsigned long);

// Returns 0, -EFAULT, or 1 when the machine does not allow the call at all.
int copy_checked(Copy copy, uint64_t address, void* ours, size_t bytes) {
  iovec local{ours, bytes};
  iovec remote{reinterpret_cast<void*>(address), bytes};
  ssize_t copied = copy(getpid(), &local, 1, &remote, 1, 0);
  if (copied == static_cast<ssize_t>(bytes)) return 0;
  if (copied < 0 && (errno == ENOSYS || errno == EPERM)) return 1;
  return -EFAULT;
}

}  // namespace

int Caller::read_string(uint64_t address, size_t max, std::string& to) const {
  to.clear();
  std::array<char, kPageBytes> chunk;
  while (to.size() + 1 < max) {
    // Up to the end of the page, so that a string that ends right before an unmapped page can be read.
    size_t bytes = std::min<size_t>(max - 1 - to.size(), kPageBytes - address % kPageBytes);
    if (int error = read(address, chunk.data(), bytes)) return error;
    size_t length = strnlen(chunk.data(), bytes);
    to.append(chunk.data(), length);
    if (length < bytes) return 0;
    address += bytes;
  }
  return 0;
}

int Caller::check_zero(uint64_t address, size_t bytes) const {
  std::array<uint8_t, 256> chunk;
  while (bytes > 0) {
    size_t step = std::min(bytes, chunk.size());
    if (int error = read(address, chunk.data(), step)) return error;
    if (std::any_of(chunk.begin(), chunk.begin() + step, [](uint8_t byte) { return byte != 0; })) return -E2BIG;
    address += step;
    bytes -= step;
  }
  return 0;
}

int Caller::write_some(uint64_t address, const void* from, size_t bytes, size_t room) const {
  return write(address, from, std::min(bytes, room));
}

int LocalCaller::read(uint64_t address, void* to, size_t bytes) const {
  if (bytes == 0) return 0;
  int result = copy_checked(process_vm_readv, address, to, bytes);
  if (result <= 0) return result;
  if (address < kPageBytes) return -EFAULT;
  std::memcpy(to, reinterpret_cast<const void*>(address), bytes);
  return 0;
}

int LocalCaller::write(uint64_t address, const void* from, size_t bytes) const {
  if (bytes == 0) return 0;
  int result = copy_checked(process_vm_writev, address, const_cast<void*>(from), bytes);
  if (result <= 0) return result;
  if (address < kPageBytes) return -EFAULT;
  std::memcpy(reinterpret_cast<void*>(address), from, bytes);
  return 0;
}

int LocalCaller::identify(int fd, FileIdentity& identity) const {
  struct stat status;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fstat(fd, &status) != 0) return -EBADF;
  int access = flags & O_ACCMODE;
  identity = {status.st_dev, status.st_ino, access != O_WRONLY, access != O_RDONLY};
  return 0;
}

}  // namespace xnic::device
