// SPDX-License-Identifier: Apache-2.0
// From eBPF to the graph: the program is executed symbolically along its paths.
#pragma once

#include "arch/ebpf/facts.hpp"
#include "base/result.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

struct LiftOptions {
  bool fold = true;             // constants, copies, identities, pointers plus constants
  bool merge_loads = true;      // bytes put together become one load; byte order goes into loads
  bool forward = true;          // a load that an earlier store covers is the stored value
  bool thread = true;           // branches that the path has decided disappear
  bool duplicate = true;        // joins are split so that each path is optimised for itself
  bool bytes_arguments = true;  // keys and values of up to 8 bytes go to helpers without the stack
  bool array_lookups = true;  // a look-up in an array with a constant index is an address; with one in range, not null
  uint32_t growth = 300;      // duplicate: instructions that copies may add, in percent of the program
  // Profile: how often each jump (by slot) was taken and not taken. Empty: static heuristics.
  std::vector<std::pair<uint64_t, uint64_t>> profile{};
};

// Subprograms are inlined, frames become parts of one stack. Callbacks are, too, where expand_callbacks()
// (callbacks.hpp) has made calls of them. Errors (kUnsupported, kLimit) name the source line, the rule and the limit:
// other callbacks, tail calls, kernel functions, stack over 512 bytes.
base::Result<void> lift(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const LiftOptions& options,
                        Graph& graph);

// "file.c:12: text", or the slot when there is no line info.
std::string source_of(const arch::ebpf::Program& program, Slot slot);

}  // namespace xnic::compile::opt
