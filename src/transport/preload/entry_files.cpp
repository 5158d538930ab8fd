// SPDX-License-Identifier: Apache-2.0
// close, dup, fcntl, ioctl: the kernel does what is asked to the real descriptor, and the table follows.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>

#include "transport/preload/entry.hpp"

using namespace xnic::transport::preload;

namespace {

constexpr unsigned kCloseRangeCloexec = 4;

// `made` is another descriptor of what `fd` is.
int copied(int fd, int made) {
  if (made < 0) return made;
  const Inside inside;
  FileTable& files = library().files;
  File* const file = files.find(fd);
  if (made == fd) return made;
  forget(made);
  if (file != nullptr && file->kind != Kind::kInternal && file->kind != Kind::kUnused) files.put(made, file);
  return made;
}

bool is_internal(int fd) {
  const File* const file = library().files.find(fd);
  return file != nullptr && file->kind == Kind::kInternal;
}

// Closes [first, last] but for the library's own.
int close_between(unsigned first, unsigned last, unsigned flags) {
  FileTable& files = library().files;
  const auto highest = static_cast<unsigned>(std::max(files.highest(), 0));
  unsigned from = first;
  for (unsigned fd = first; fd <= last && fd <= highest; ++fd) {
    if (files.find(static_cast<int>(fd)) == nullptr) continue;
    if (!is_internal(static_cast<int>(fd))) {
      if ((flags & kCloseRangeCloexec) == 0) forget(static_cast<int>(fd));
      continue;
    }
    if (from < fd && real().close_range(from, fd - 1, static_cast<int>(flags)) < 0) return -1;
    from = fd + 1;
  }
  return from <= last ? real().close_range(from, last, static_cast<int>(flags)) : 0;
}

}  // namespace

extern "C" {

int close(int fd) {
  if (is_inside()) return close_internal(fd);
  if (!library_ready()) return real().close(fd);
  if (File* file = library().files.find(fd)) {
    if (file->kind == Kind::kInternal) return give(-EBADF);
    const Inside inside;
    forget(fd);
  }
  return real().close(fd);
}

int close_range(unsigned first, unsigned last, int flags) noexcept {
  if (!concerns_us() || first > last) return real().close_range(first, last, flags);
  const Inside inside;
  return close_between(first, last, static_cast<unsigned>(flags));
}

void closefrom(int lowest) noexcept {
  const auto first = static_cast<unsigned>(std::max(lowest, 0));
  if (!concerns_us()) {
    real().close_range(first, ~0u, 0);
    return;
  }
  const Inside inside;
  close_between(first, ~0u, 0);
}

int dup(int fd) noexcept {
  const int made = real().dup(fd);
  return concerns_us() ? copied(fd, made) : made;
}

int dup2(int fd, int wanted) noexcept {
  if (concerns_us() && is_internal(wanted)) return give(-EBADF);
  const int made = real().dup2(fd, wanted);
  return concerns_us() ? copied(fd, made) : made;
}

int dup3(int fd, int wanted, int flags) noexcept {
  if (concerns_us() && is_internal(wanted)) return give(-EBADF);
  const int made = real().dup3(fd, wanted, flags);
  return concerns_us() ? copied(fd, made) : made;
}

int fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  const int result = real().fcntl64(fd, command, argument);
  if (!concerns_us() || result < 0) return result;
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return copied(fd, result);
  if (command == F_SETFL) {
    const auto flags = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    File* const file = library().files.find(fd);
    if (file != nullptr && file->kind != Kind::kInternal) file->nonblocking = (flags & O_NONBLOCK) != 0;
  }
  return result;
}
int fcntl(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return fcntl64(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (File* file = offloaded(fd)) {
    const Inside inside;
    return give(control_socket(fd, *file, request, argument));
  }
  return real().ioctl(fd, request, argument);
}

// sockatmark() is an ioctl inside libc.
int sockatmark(int fd) noexcept {
  int value = 0;
  return ioctl(fd, SIOCATMARK, &value) < 0 ? -1 : value;
}

}  // extern "C"
