// SPDX-License-Identifier: Apache-2.0
// The control flow of eBPF code before it is lifted: basic blocks of each subprogram, in reverse postorder, with loops.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"

namespace xnic::compile::opt {

struct BasicBlock {
  arch::ebpf::Slot first = 0;
  arch::ebpf::Slot end = 0;          // exclusive
  std::vector<uint32_t> successors;  // blocks: fall-through first, then the taken one
  uint32_t order = 0;                // reverse postorder, over the whole subprogram
  uint32_t tail_insns = 0;           // instructions reachable from here
  uint32_t longest = 0;              // longest path to an exit, in instructions, loops once
  bool loop_header = false;          // target of a retreating edge
  uint16_t loop_writes = 0;   // loop_header: registers that the loop may change; bit 11: the turns left to may_goto
  bool loop_effects = false;  // loop_header: the loop stores or calls
  std::vector<bool> loop_body{};  // loop_header: by block, those that may come back to it without leaving the loop
};

// Blocks by index; `block_at[slot]` is the block that starts there (or ~0). Calls of subprograms end blocks.
struct Cfg {
  std::vector<BasicBlock> blocks;
  std::vector<uint32_t> block_at;
};

Cfg build_cfg(const arch::ebpf::Program& program);

}  // namespace xnic::compile::opt
