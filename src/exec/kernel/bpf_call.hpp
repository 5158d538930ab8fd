// SPDX-License-Identifier: Apache-2.0
// bpf(2) of the live kernel.
//
// xnic links libbpf with --wrap=syscall, so that libc's syscall() reaches the card's own bpf(2) door instead of the
// kernel, and a preload library does the same for other programs. This engine must never be answered by the card that
// it is compared with, so it enters the kernel by the instruction itself. (__real_syscall exists only in binaries that
// are linked with --wrap, and a preloaded syscall() would still stand before it.)
#pragma once

#include <linux/bpf.h>

#include <string>
#include <utility>

#include "base/result.hpp"

namespace xnic::exec::kernel {

// System call `number`; a negative errno instead of -1 and errno.
long kernel_call(long number, long a, long b, long c, long d = 0, long e = 0);
// bpf(2); repeated while the kernel says EINTR or EAGAIN.
long bpf_call(int command, union bpf_attr& attr);

// A kIo error that says what failed and why; without the privilege, that it needs root.
base::Unexpected kernel_error(std::string where, const std::string& what, long negative_errno);

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// 0 made to a bpf_attr's pointer field.
inline uint64_t attr_pointer(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

}  // namespace xnic::exec::kernel
