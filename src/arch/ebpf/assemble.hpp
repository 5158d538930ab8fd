// SPDX-License-Identifier: Apache-2.0
// Assembler for the kernel's text form (the inverse of print.hpp), for tests and vectors.
#pragma once

#include <string_view>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"

namespace xnic::arch::ebpf {

// One instruction a line, in any form that print.hpp writes; a line of listing() is read too. "name:" defines a label;
// "goto name", "if … goto name", "call name" and "r2 = subprog[name]" use it, pc-relative "goto pc+3" and "goto +3"
// work too. ";" and "//" begin comments. Maps are named by index: "r1 = map[3]", "r1 = map[3][0]+8". As in the kernel's
// text, "r1 = 5" is a move and "r1 = 0x5" a 16-byte load; "r1 = 5 ll" is one too. Errors name the line. An empty text
// gives an empty program.
base::Result<std::vector<Instruction>> assemble(std::string_view text);

}  // namespace xnic::arch::ebpf
