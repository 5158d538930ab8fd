// SPDX-License-Identifier: Apache-2.0
// NFP instructions as text, in the form of the public disassembler (binutils, four contexts).
#pragma once

#include <string>

#include "arch/nfp/instruction.hpp"

namespace xnic::arch::nfp {

// "alu[gprA_6, gprA_6, +, 0xe], gpr_wrboth". Pre: encode() takes the instruction.
std::string to_text(const Instruction& insn);

}  // namespace xnic::arch::nfp
