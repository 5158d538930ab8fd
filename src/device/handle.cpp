// SPDX-License-Identifier: Apache-2.0
// Handles as memfds. A write lease on our own description is granted only when the inode has no other open description
// (fs/locks.c check_conflicting_open compares the inode's read and write counts with our own one). The descriptor that
// memfd_create returns is not in those counts, so it is closed after opening the file anew through /proc.
// A mapping keeps the description it was made through; mappings made through our own description do not count.
#include "device/handle.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace xnic::device {
namespace {

int open_anew(int fd, int flags) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int opened = ::open(path, flags | O_CLOEXEC);
  return opened < 0 ? -errno : opened;
}

}  // namespace

Handle Handle::create(const char* name, int& error) {
  Handle handle;
  int memfd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memfd < 0) {
    error = -errno;
    return handle;
  }
  fchmod(memfd, 0600);  // others keep the access of the descriptor that they were given: they cannot open it anew
  int own = open_anew(memfd, O_RDWR);
  close(memfd);
  struct stat status;
  if (own < 0 || fstat(own, &status) != 0) {
    error = own < 0 ? own : -errno;
    if (own >= 0) close(own);
    return handle;
  }
  handle.fd_ = own;
  handle.device_ = status.st_dev;
  handle.inode_ = status.st_ino;
  error = 0;
  return handle;
}

Handle::~Handle() {
  if (fd_ >= 0) close(fd_);
}

Handle::Handle(Handle&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), device_(other.device_), inode_(other.inode_) {}

Handle& Handle::operator=(Handle&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

int Handle::open(Access access) const {
  int flags = access == Access::kReadOnly ? O_RDONLY : access == Access::kWriteOnly ? O_WRONLY : O_RDWR;
  return open_anew(fd_, flags);
}

bool Handle::is_held() const {
  if (fcntl(fd_, F_SETLEASE, F_WRLCK) != 0) return true;  // a machine without leases keeps its objects
  fcntl(fd_, F_SETLEASE, F_UNLCK);
  return false;
}

void Handle::seal_size() const { fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW); }

void Handle::seal_writes() const { fcntl(fd_, F_ADD_SEALS, F_SEAL_FUTURE_WRITE); }

}  // namespace xnic::device
