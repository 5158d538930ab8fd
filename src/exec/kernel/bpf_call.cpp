// SPDX-License-Identifier: Apache-2.0
// The system call instruction, and errors in words.
#include "exec/kernel/bpf_call.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace xnic::exec::kernel {

long kernel_call(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "exec/kernel knows the system call instruction of x86-64 and arm64"
#endif
}

long bpf_call(int command, union bpf_attr& attr) {
  constexpr int kAttempts = 16;
  long result = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    result = kernel_call(SYS_bpf, command, static_cast<long>(attr_pointer(&attr)), sizeof attr);
    if (result != -EINTR && result != -EAGAIN) break;
  }
  return result;
}

base::Unexpected kernel_error(std::string where, const std::string& what, long negative_errno) {
  const int number = static_cast<int>(-negative_errno);
  if (number == EPERM && geteuid() != 0)
    return base::make_error(base::ErrorKind::kIo, std::move(where),
                            "{}: the engine \"kernel\" needs root (CAP_BPF and CAP_NET_ADMIN)", what);
  return base::make_error(base::ErrorKind::kIo, std::move(where), "{}: {} (errno {})", what, std::strerror(number),
                          number);
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace xnic::exec::kernel
