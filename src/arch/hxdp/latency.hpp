// SPDX-License-Identifier: Apache-2.0
// What a call costs: the helper module and the map module as one table, each line with its reason in hardware.
//
// Clock cycles for which the call holds its row, with map memory on the chip. Where the paper has the helper or the map
// its figure stands (§4.1.3, fig. 14, 15: one cycle for array and hash with keys of up to 32 bytes, one for a helper);
// else the work decides: the module moves frame_bytes a cycle, walks a trie eight bits a cycle, does one round of a
// keyed hash a cycle, looks at one character a cycle.
#pragma once

#include <span>
#include <string_view>

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"
#include "arch/hxdp/machine.hpp"

namespace xnic::arch::hxdp {

// What a call's cost depends on. Sizes in bytes.
struct CallShape {
  ebpf::HelperId helper = 0;
  ebpf::MapType map = 0;     // of its map argument; 0: none
  uint32_t key_bytes = 0;    // of the map
  uint32_t value_bytes = 0;  // of the map
  uint32_t hashes = 0;       // bloom filter: hash functions (0: the kernel's 5)
  uint32_t bytes = 0;        // sum of its length arguments
};

struct CallCost {
  uint32_t cycles = 1;
  uint32_t map_accesses = 0;  // one after the other; each takes Timing::map_memory_cycles more when memory is external
};

// Pre: has_latency(shape.helper).
CallCost call_cost(const CallShape& shape, const Parameters& parameters);
// The module has the helper.
bool has_latency(ebpf::HelperId helper);

// The table, for documents and tests.
enum class Work : uint8_t {
  kFixed,       // `cycles`
  kFrames,      // bytes of the length arguments, frame_bytes a cycle
  kCharacters,  // bytes of the length arguments, one a cycle
  kLookup,      // as the map's type says
  kUpdate,      // as a look-up; values beyond one frame take a cycle a frame more
  kElement,     // queue, stack: the value, frame_bytes a cycle; bloom filter: one bit of memory a hash function
};
struct HelperLatency {
  std::string_view helper;  // as in arch/ebpf/helpers.def
  Work work;
  uint32_t cycles;  // kFixed
  std::string_view why;
};
std::span<const HelperLatency> helper_latencies();

}  // namespace xnic::arch::hxdp
