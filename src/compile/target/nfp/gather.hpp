// SPDX-License-Identifier: Apache-2.0
// Load/store gathering: copies of packet bytes, or of a map's value into the packet, word by word through a register.
// Internal to the compiler.
#pragma once

#include <optional>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "compile/target/nfp/passes.hpp"

namespace xnic::compile::target::nfp {

// A chain of loads and stores that one read and one write do the work of.
struct Copy {
  arch::ebpf::Slot first = 0, end = 0;     // instructions that it stands for
  arch::ebpf::Reg from{}, to{};            // base registers, as they are before it
  int16_t from_offset = 0, to_offset = 0;  // of the lowest byte
  uint32_t bytes = 0;
  arch::ebpf::Load last{};  // leaves its register as the chain does
};

class Copies {
 public:
  // Finds nothing when kGather is not in the set.
  Copies(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const PassSet& passes);
  // The copy that begins with this instruction, or null.
  const Copy* at(arch::ebpf::Slot slot) const;
  // The instruction is a part of one.
  bool stands_for(arch::ebpf::Slot slot) const { return number_[slot].has_value(); }

 private:
  const std::vector<arch::ebpf::Instruction>& insns_;
  std::vector<Copy> copies_;
  std::vector<std::optional<uint32_t>> number_;  // by slot
};

}  // namespace xnic::compile::target::nfp
