// SPDX-License-Identifier: Apache-2.0
// Argument types of global functions, from BTF: such a function is verified once, on its own, and calls to it are
// checked against its declaration.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compile/verify/state.hpp"

namespace xnic::compile::verify {

// What a global function may assume on entry, in r1…; or why its declaration cannot be verified.
struct Signature {
  std::vector<Register> arguments;  // kScalar, kContext, kMemory (maybe null), kDynptr
  std::string fault;
};

// By subprogram; none for functions that are walked into at each call: static ones, the entry, and all without BTF.
using Signatures = std::vector<std::optional<Signature>>;
Signatures global_signatures(const Program& program);

}  // namespace xnic::compile::verify
