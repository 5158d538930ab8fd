// SPDX-License-Identifier: Apache-2.0
// struct xdp_md, the context of an XDP program (include/uapi/linux/bpf.h). All fields are u32 in the program's view;
// loads of the three packet fields give full pointers.
#pragma once

#include <cstdint>
#include <string_view>

namespace xnic::arch::ebpf {

enum ContextOffset : uint32_t {
  kCtxData = 0,
  kCtxDataEnd = 4,
  kCtxDataMeta = 8,
  kCtxIngressIfindex = 12,
  kCtxRxQueueIndex = 16,
  kCtxEgressIfindex = 20,  // programs attached to a devmap only
};
inline constexpr uint32_t kContextBytes = 24;

inline constexpr uint32_t kStackBytes = 512;      // per frame
inline constexpr uint32_t kMaxCallDepth = 8;      // frames, RFC 9669 leaves it to the platform; kernel MAX_CALL_FRAMES
inline constexpr uint32_t kMaxTailCalls = 33;     // kernel MAX_TAIL_CALL_CNT
inline constexpr uint32_t kMaxInsns = 1'000'000;  // slots a privileged program may have, and the verifier's budget

// XDP actions, as in r0 at exit.
enum XdpAction : uint32_t { kXdpAborted = 0, kXdpDrop = 1, kXdpPass = 2, kXdpTx = 3, kXdpRedirect = 4 };
constexpr std::string_view action_name(uint32_t action) {
  switch (action) {
    case kXdpAborted:
      return "aborted";
    case kXdpDrop:
      return "drop";
    case kXdpPass:
      return "pass";
    case kXdpTx:
      return "tx";
    case kXdpRedirect:
      return "redirect";
    default:
      return "aborted";  // the kernel treats an unknown action as aborted
  }
}

}  // namespace xnic::arch::ebpf
