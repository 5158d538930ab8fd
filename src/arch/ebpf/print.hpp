// SPDX-License-Identifier: Apache-2.0
// Disassembly in the text forms people know.
#pragma once

#include <string>

#include "arch/ebpf/program.hpp"

namespace xnic::arch::ebpf {

enum class TextForm {
  kKernel,   // "r1 = *(u32 *)(r6 +0)", "if r1 > r2 goto pc+3": verifier log and bpftool; llvm-objdump prints the same
  kBpftool,  // kernel form with bpftool's names for calls and maps: "call bpf_map_lookup_elem#1", "r1 =
             // map[name:flows]"
};

// One instruction, without its slot number. Pre: slot is the first slot of an instruction of `program`.
std::string to_text(const Program& program, Slot slot, TextForm form = TextForm::kKernel);

// The whole program, a line an instruction: "   7: (bf) r6 = r1", source lines before their instructions as "; text".
std::string listing(const Program& program, TextForm form = TextForm::kBpftool);

}  // namespace xnic::arch::ebpf
