// SPDX-License-Identifier: Apache-2.0
// Handle: the memfd behind an object of the card (device.hpp). Move-only; owns the device's own descriptor.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace xnic::device {

enum class Access : uint8_t { kReadWrite, kReadOnly, kWriteOnly };

class Handle {
 public:
  Handle() = default;
  // Makes a memfd called `name`. On failure -errno is in `error` and the handle is empty.
  static Handle create(const char* name, int& error);
  ~Handle();
  Handle(Handle&& other) noexcept;
  Handle& operator=(Handle&& other) noexcept;

  // The device's own descriptor; what map storage is sized and mapped through.
  int own_fd() const { return fd_; }
  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }

  // A new open file description, close-on-exec. The descriptor, or -errno.
  int open(Access access) const;
  // Whether another description or a mapping made through one exists, in any process.
  bool is_held() const;
  // No one can change the file's size any more; call once storage has its size.
  void seal_size() const;
  // No new writable mapping can be made (the kernel refuses them for frozen maps).
  void seal_writes() const;

 private:
  int fd_ = -1;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace xnic::device
