// SPDX-License-Identifier: Apache-2.0
// What the creation checks of all map types share (kernel include/linux/bpf.h, kernel/bpf/syscall.c).
#pragma once

#include <cerrno>
#include <cstdint>

#include "arch/ebpf/map_types.hpp"

namespace xnic::exec::maps {

// The kernel's internal ENOTSUPP, which bpf(2) lets out; <errno.h> has no name for it.
constexpr int kErrNotSupported = 524;

constexpr uint32_t kAccessFlags =
    arch::ebpf::kRdonly | arch::ebpf::kWronly | arch::ebpf::kRdonlyProg | arch::ebpf::kWronlyProg;
// Largest allocation of kmalloc (4 MiB with 4 KiB pages) and smallest per-CPU unit: the kernel's size limits.
constexpr uint64_t kKmallocMaxBytes = uint64_t{1} << 22;
constexpr uint64_t kPercpuMinUnitBytes = 32768;

// A map cannot be read-only and write-only for programs at once.
constexpr bool access_flags_ok(uint32_t flags) {
  constexpr uint32_t kBoth = arch::ebpf::kRdonlyProg | arch::ebpf::kWronlyProg;
  return (flags & kBoth) != kBoth;
}

}  // namespace xnic::exec::maps
