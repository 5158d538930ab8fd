// SPDX-License-Identifier: Apache-2.0
// Trace: what running a program on one packet asked of a core and of the memories, in order. The thread writes it, the
// model of the many cores reads it, so that time is told apart from what programs do.
#pragma once

#include <cstdint>
#include <vector>

namespace xnic::exec::sim::nfp {

enum class Access : uint8_t {
  kPacketRead,
  kPacketWrite,
  kValueRead,   // of a map, in the external memory
  kCount,       // atomic addition; nobody waits for it
  kLookupHash,  // routines of the firmware
  kLookupArray,
  kUpdate,
  kDelete,
  kEvent,
  kEnd,  // the result is with the firmware
};

// Cycles of the core, then a command.
struct Stretch {
  uint32_t issue;  // instructions and lost slots
  Access then;
  uint8_t words;   // that the command moves
  uint32_t place;  // which word, or bucket: commands of the same place meet there
};
using Trace = std::vector<Stretch>;

}  // namespace xnic::exec::sim::nfp
