// SPDX-License-Identifier: Apache-2.0
// Disassembly in the text forms people know.
#pragma once

#include <string>

#include "arch/ebpf/program.hpp"

namespace xnic::arch::ebpf {

enum class TextForm {
  // "r1 = *(u32 *)(r6 +0)", "if r1 > r2 goto pc+3", "call bpf_map_lookup_elem#1": the words of the verifier log.
  // Maps and subprograms, which the kernel prints as addresses, are "r1 = map[3]", "r1 = map[3][0]+8" (first value,
  // plus 8) and "r2 = subprog[+5]". 16-byte loads ("r1 = 0x5") are hexadecimal, moves ("r1 = 5") decimal.
  kKernel,
  // The same with names as bpftool prints them: "r1 = map[name:flows]", "call pc+5#parse".
  kBpftool,
};

// One instruction, without its slot number. Pre: slot is the first slot of an instruction of `program`.
std::string to_text(const Program& program, Slot slot, TextForm form = TextForm::kKernel);

// The whole program, a line for each instruction: "   7: (bf) r6 = r1"; source lines come before their instructions as
// "; text", and names of subprograms before their first when there are several.
std::string listing(const Program& program, TextForm form = TextForm::kBpftool);

}  // namespace xnic::arch::ebpf
