// SPDX-License-Identifier: Apache-2.0
// Verdict: what a program decided about a packet.
#pragma once

#include <cstdint>

#include "arch/ebpf/context.hpp"

namespace xnic::exec {

enum class RedirectKind : uint8_t { kNone, kInterface, kDevmap, kCpumap, kXskmap };

struct Redirect {
  RedirectKind kind = RedirectKind::kNone;
  uint32_t target = 0;  // ifindex, cpu, or the key in the xskmap
  uint32_t map_id = 0;  // device id of the map, 0 for bpf_redirect
  uint64_t flags = 0;   // BPF_F_BROADCAST, BPF_F_EXCLUDE_INGRESS, …
  bool operator==(const Redirect&) const = default;
};

struct Verdict {
  uint32_t code = arch::ebpf::kXdpAborted;  // r0 at exit, as the kernel's test run reports it
  Redirect redirect;                        // meaningful when code is kXdpRedirect
  // The closed set: an unknown code counts as aborted, as in the kernel.
  uint32_t action() const { return code <= arch::ebpf::kXdpRedirect ? code : uint32_t(arch::ebpf::kXdpAborted); }
};

}  // namespace xnic::exec
