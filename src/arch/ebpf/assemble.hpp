// SPDX-License-Identifier: Apache-2.0
// Assembler for the kernel's text form (the inverse of print.hpp), for tests and vectors.
#pragma once

#include <string_view>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"

namespace xnic::arch::ebpf {

// One instruction a line; "name:" defines a label, "goto name" and "if … goto name" use it (pc-relative "goto +3" works
// too); ";" and
// "//" begin comments; "r1 = map[3]" and "r1 = map[3] + 8 value" refer to maps by index. Errors name the line.
base::Result<std::vector<Instruction>> assemble(std::string_view text);

}  // namespace xnic::arch::ebpf
