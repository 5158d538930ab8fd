// SPDX-License-Identifier: Apache-2.0
// syscall(2): bpf(2) goes to the card unless it is about an object of the kernel. Libraries enter bpf(2) this way,
// since the C library has no function for it.
//
// What belongs to whom: a command about a descriptor goes where the descriptor is from; ids and new objects are the
// card's; a pinned object that the card does not have is looked for in the kernel's bpffs.
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "preload/card.hpp"
#include "preload/perf.hpp"
#include "preload/real.hpp"

namespace {
xnic::preload::Real<long(long, ...)> real_syscall("syscall");
}

// All arguments are passed on, as the C library's own syscall() does: the caller's unused ones are never looked at.
XNIC_EXPORT long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long a[6];
  for (long& argument : a) argument = va_arg(list, long);
  va_end(list);
  if (number == SYS_bpf) {
    const long result =
        xnic::preload::card_bpf(static_cast<int>(a[0]), static_cast<uint64_t>(a[1]), static_cast<uint32_t>(a[2]));
    const bool kernels = result == xnic::preload::kNotOurs || (result == -ENOENT && a[0] == BPF_OBJ_GET);
    if (!kernels && result >= 0) return result;
    if (!kernels) {
      errno = static_cast<int>(-result);
      return -1;
    }
  }
  if (number == SYS_perf_event_open) {
    const long result = xnic::preload::open_perf(reinterpret_cast<const perf_event_attr*>(a[0]));
    if (result >= 0) return result;
    if (result != xnic::preload::kNotOurs) {
      errno = static_cast<int>(-result);
      return -1;
    }
  }
  return real_syscall.get()(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
