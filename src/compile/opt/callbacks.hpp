// SPDX-License-Identifier: Apache-2.0
// Helpers that call back become loops of the program itself, which lift() then inlines like any other call.
#pragma once

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"

namespace xnic::compile::opt {

struct Expanded {
  arch::ebpf::Program program;
  arch::ebpf::Facts facts;
};

// The program with every bpf_loop and bpf_for_each_map_elem replaced by a call of a subprogram behind the program's
// end, which calls the function in r2 with CallRegister. Slots keep their numbers, so facts and lines stay true; of the
// new slots nothing is known. The walk over a map works for arrays, plain and per-CPU: it goes on until the look-up
// finds nothing.
Expanded expand_callbacks(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts);

// Names of the subprograms above.
inline constexpr std::string_view kLoopName = "bpf_loop";
inline constexpr std::string_view kWalkName = "bpf_for_each_map_elem";

}  // namespace xnic::compile::opt
