// SPDX-License-Identifier: Apache-2.0
// The words of the text form, shared by print.cpp and assemble.cpp so that each is the other's inverse.
#pragma once

#include <string_view>

namespace xnic::arch::hxdp::text {

// By AluOp, JumpOp, AtomicOp.
inline constexpr std::string_view kAluWords[] = {"+",  "-", "*", "/",   "|",  "&",  "<<",
                                                 ">>", "%", "^", "s>>", "s/", "s%", "rsub"};
inline constexpr std::string_view kJumpWords[] = {"==", ">", ">=", "&", "!=", "s>", "s>=", "<", "<=", "s<", "s<="};
inline constexpr std::string_view kAtomicWords[] = {"add", "or", "and", "xor", "xchg", "cmpxchg"};
// Bases of Address, by Space; empty: not one.
inline constexpr std::string_view kAddressWords[] = {"",      "data", "data_end", "data_meta", "bytes",
                                                     "stack", "ctx",  "value",    "map"};
// Memory operands, by Space; empty: no memory.
inline constexpr std::string_view kMemoryWords[] = {"mem", "packet", "", "", "", "stack", "ctx", "map", ""};

}  // namespace xnic::arch::hxdp::text
