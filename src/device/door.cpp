// SPDX-License-Identifier: Apache-2.0
// The door: the linker replaces every call of syscall() by __wrap_syscall (option --wrap=syscall of this room). bpf(2)
// goes to the device that answers for the thread, else to the one installed for the process, else to the kernel; all
// other calls go on unchanged. The engine "kernel" enters the kernel by the system call instruction and never comes
// here. mmap, munmap, fcntl and close work on handles as they are, since handles are memfds.
#include "device/door.hpp"

#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <utility>

extern "C" {
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
}

namespace xnic::device {
namespace {

std::atomic<Device*> g_installed{nullptr};
thread_local Device* t_device = nullptr;

}  // namespace

void install_device(Device* device) { g_installed.store(device); }

void uninstall_device(const Device* device) {
  Device* expected = const_cast<Device*>(device);
  g_installed.compare_exchange_strong(expected, nullptr);
}

DeviceForThread::DeviceForThread(Device& device) : previous_(std::exchange(t_device, &device)) {}
DeviceForThread::~DeviceForThread() { t_device = previous_; }

void door_is_linked() {}

namespace {

Device* answering() { return t_device ? t_device : g_installed.load(); }

}  // namespace
}  // namespace xnic::device

// All arguments are passed on, as the C library's own syscall() does: the caller's unused ones are never looked at.
long __wrap_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  if (number == SYS_bpf) {
    if (auto* device = xnic::device::answering()) {
      long result = device->bpf(static_cast<int>(arguments[0]), reinterpret_cast<union bpf_attr*>(arguments[1]),
                                static_cast<uint32_t>(arguments[2]));
      if (result >= 0) return result;
      errno = static_cast<int>(-result);
      return -1;
    }
  }
  return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
