// SPDX-License-Identifier: Apache-2.0
// Caller: the process that issued a bpf(2) command, as the commands see it: its memory, and its file descriptors. All
// pointers and descriptors of bpf_attr go through here, so that the same commands can serve other processes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace xnic::device {

// What a descriptor refers to, and how it may be used.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool readable = false;
  bool writable = false;
};

class Caller {
 public:
  virtual ~Caller() = default;
  // Copies between the caller's memory and ours. 0, or -EFAULT when any byte is not accessible (some may be copied).
  virtual int read(uint64_t address, void* to, size_t bytes) const = 0;
  virtual int write(uint64_t address, const void* from, size_t bytes) const = 0;
  // 0, or -EBADF.
  virtual int identify(int fd, FileIdentity& identity) const = 0;
  // Moves a descriptor of ours into the caller; its number there, or -errno. `fd` is no longer ours afterwards.
  virtual int give(int fd) const = 0;
  // These bytes will be read soon, in order and in pieces: a caller that is far away sends them together.
  virtual void expect(uint64_t address, uint64_t bytes) const {
    (void)address;
    (void)bytes;
  }
  // True when this caller may look at the card's objects but change nothing.
  virtual bool read_only() const { return false; }
  // Who owns what the caller makes.
  virtual uint32_t uid() const { return 0; }

  // A NUL-terminated string of at most `max` - 1 characters, cut there. 0 or -EFAULT.
  int read_string(uint64_t address, size_t max, std::string& to) const;
  // -E2BIG if one of the bytes is not zero; 0; -EFAULT.
  int check_zero(uint64_t address, size_t bytes) const;
  // What libbpf calls "copy what fits": writes min(bytes, room). 0 or -EFAULT.
  int write_some(uint64_t address, const void* from, size_t bytes, size_t room) const;
};

// This process. Wild pointers give -EFAULT, as in the kernel (process_vm_readv on oneself). Where a sandbox forbids
// that call, memory is copied directly and only addresses in the first page are refused.
class LocalCaller final : public Caller {
 public:
  int read(uint64_t address, void* to, size_t bytes) const override;
  int write(uint64_t address, const void* from, size_t bytes) const override;
  int identify(int fd, FileIdentity& identity) const override;
  int give(int fd) const override { return fd; }
};

}  // namespace xnic::device
