// SPDX-License-Identifier: Apache-2.0
// Functions under construction: instructions whose jump targets are labels and whose call targets are functions, put
// together into one program at the end.
#pragma once

#include <deque>
#include <vector>

#include "arch/ebpf/instruction.hpp"

namespace xnic::tests {

using arch::ebpf::Slot;
using Label = Slot;
using FunctionId = Slot;

class Function {
 public:
  void emit(arch::ebpf::Instruction insn) {
    const bool wide = is_wide(insn);
    code_.push_back(std::move(insn));
    if (wide) code_.push_back(arch::ebpf::WideTail{});
  }
  Label label() {
    positions_.push_back(0);
    return Label(positions_.size() - 1);
  }
  void bind(Label label) { positions_[label] = Slot(code_.size()); }
  size_t size() const { return code_.size(); }

  // Appends the code to `program`, with jump targets as slots; call targets stay function ids.
  void append_to(std::vector<arch::ebpf::Instruction>& program) const {
    const auto base = Slot(program.size());
    for (arch::ebpf::Instruction insn : code_) {
      std::visit(
          [&](auto& each) {
            using Insn = std::decay_t<decltype(each)>;
            if constexpr (std::is_same_v<Insn, arch::ebpf::Jump> || std::is_same_v<Insn, arch::ebpf::Goto> ||
                          std::is_same_v<Insn, arch::ebpf::MayGoto>)
              each.target = base + positions_[each.target];
          },
          insn);
      program.push_back(insn);
    }
  }

 private:
  std::vector<arch::ebpf::Instruction> code_;
  std::vector<Slot> positions_;
};

// Function 0 is the entry. Returns the first slot of each function.
inline std::vector<Slot> link(const std::deque<Function>& functions, std::vector<arch::ebpf::Instruction>& program) {
  std::vector<Slot> first;
  for (const Function& function : functions) {
    first.push_back(Slot(program.size()));
    function.append_to(program);
  }
  for (arch::ebpf::Instruction& insn : program) {
    if (auto* call = std::get_if<arch::ebpf::CallLocal>(&insn)) call->target = first[call->target];
    if (auto* load = std::get_if<arch::ebpf::LoadFunction>(&insn)) load->target = first[load->target];
  }
  return first;
}

}  // namespace xnic::tests
