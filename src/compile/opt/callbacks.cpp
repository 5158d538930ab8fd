// SPDX-License-Identifier: Apache-2.0
// The loops, as eBPF. They say what kernel/bpf/bpf_iter.c (bpf_loop) and the maps' map_for_each_callback do: flags
// other than 0 are refused, so are more than 8 Mi turns; a callback that does not return 0 ends the loop; the result is
// the number of calls made.
#include "compile/opt/callbacks.hpp"

#include <algorithm>

namespace xnic::compile::opt {

using namespace arch::ebpf;

namespace {

constexpr uint32_t kLoop = 181, kForEachMapElem = 164, kLookup = 1;
constexpr Imm kMaxTurns = 8 << 20;
constexpr Imm kInvalid = -22, kTooBig = -7;

Instruction set(Reg dst, Operand src, Width width = Width::k64) { return Binary{BinaryOp::kMov, width, dst, src}; }

// long bpf_loop(u32 turns, function, context, flags): r6 turns, r7 turn, r8 context, r9 function.
std::vector<Instruction> loop_code(Slot at) {
  return {
      Jump{JumpOp::kNe, Width::k64, Reg::kR4, Imm{0}, at + 14},
      set(Reg::kR6, Reg::kR1, Width::k32),
      Jump{JumpOp::kGt, Width::k64, Reg::kR6, kMaxTurns, at + 16},
      set(Reg::kR7, Imm{0}),
      set(Reg::kR8, Reg::kR3),
      set(Reg::kR9, Reg::kR2),
      Jump{JumpOp::kGe, Width::k64, Reg::kR7, Reg::kR6, at + 12},  // 6: the next turn
      set(Reg::kR1, Reg::kR7),
      set(Reg::kR2, Reg::kR8),
      CallRegister{Reg::kR9},
      Binary{BinaryOp::kAdd, Width::k64, Reg::kR7, Imm{1}},
      Jump{JumpOp::kEq, Width::k64, Reg::kR0, Imm{0}, at + 6},
      set(Reg::kR0, Reg::kR7),  // 12: done
      Exit{},
      set(Reg::kR0, kInvalid),  // 14
      Exit{},
      set(Reg::kR0, kTooBig),  // 16
      Exit{},
  };
}

// long bpf_for_each_map_elem(map, function, context, flags): r6 map, r7 index, r8 context, r9 function; the key at
// fp-8.
std::vector<Instruction> walk_code(Slot at) {
  return {
      Jump{JumpOp::kNe, Width::k64, Reg::kR4, Imm{0}, at + 23},
      set(Reg::kR6, Reg::kR1),
      set(Reg::kR7, Imm{0}),
      set(Reg::kR8, Reg::kR3),
      set(Reg::kR9, Reg::kR2),
      Store{Size::k4, Reg::kR10, -8, Reg::kR7},  // 5: the next element
      set(Reg::kR1, Reg::kR6),
      set(Reg::kR2, Reg::kR10),
      Binary{BinaryOp::kAdd, Width::k64, Reg::kR2, Imm{-8}},
      CallHelper{kLookup},
      Jump{JumpOp::kEq, Width::k64, Reg::kR0, Imm{0}, at + 21},
      set(Reg::kR3, Reg::kR0),
      set(Reg::kR1, Reg::kR6),
      set(Reg::kR2, Reg::kR10),
      Binary{BinaryOp::kAdd, Width::k64, Reg::kR2, Imm{-8}},
      set(Reg::kR4, Reg::kR8),
      CallRegister{Reg::kR9},
      Binary{BinaryOp::kAdd, Width::k64, Reg::kR7, Imm{1}},
      Jump{JumpOp::kEq, Width::k64, Reg::kR0, Imm{0}, at + 5},
      set(Reg::kR0, Reg::kR7),
      Exit{},
      set(Reg::kR0, Reg::kR7),  // 21: no element is left
      Exit{},
      set(Reg::kR0, kInvalid),  // 23
      Exit{},
  };
}

void append(Expanded& out, uint32_t helper, std::string_view name, uint32_t stack_bytes,
            std::vector<Instruction> (*code)(Slot)) {
  auto& insns = out.program.insns;
  const auto calls = [&](const Instruction& insn) { return insn == Instruction(CallHelper{helper}); };
  const auto first = std::find_if(insns.begin(), insns.end(), calls);
  if (first == insns.end()) return;
  const auto at = Slot(insns.size());
  if (const LineInfo* line = out.program.line_at(Slot(first - insns.begin()))) {
    LineInfo here = *line;
    here.slot = at;
    out.program.lines.push_back(std::move(here));
  }
  std::replace_if(insns.begin(), insns.end(), calls, Instruction(CallLocal{at}));
  const auto more = code(at);
  insns.insert(insns.end(), more.begin(), more.end());
  out.program.subprograms.push_back({at, Slot(insns.size()), std::string(name), false});
  out.facts.insns.resize(insns.size());
  out.facts.stack_bytes.push_back(stack_bytes);
}

}  // namespace

Expanded expand_callbacks(const Program& program, const Facts& facts) {
  Expanded out{program, facts};
  out.facts.stack_bytes.resize(program.subprograms.size());
  append(out, kLoop, kLoopName, 0, loop_code);
  append(out, kForEachMapElem, kWalkName, 8, walk_code);
  return out;
}

}  // namespace xnic::compile::opt
