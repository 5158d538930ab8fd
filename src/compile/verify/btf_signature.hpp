// SPDX-License-Identifier: Apache-2.0
// Argument types of global functions, from BTF: such a function is verified once, on its own, and calls to it are
// checked against its declaration.
#pragma once

#include <optional>
#include <vector>

#include "compile/verify/state.hpp"

namespace xnic::compile::verify {

// By subprogram: the registers r1… that the function may assume on entry; none for functions that are walked into at
// each call (static ones, the entry, and those whose BTF does not say enough).
using Signatures = std::vector<std::optional<std::vector<Register>>>;
Signatures global_signatures(const Program& program);

}  // namespace xnic::compile::verify
