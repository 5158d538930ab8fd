// SPDX-License-Identifier: Apache-2.0
// What an image's symbols mean in this engine.
#pragma once

#include <optional>

#include "arch/native/image.hpp"
#include "exec/engine.hpp"

namespace xnic::exec::native {

std::optional<uint64_t> address_of(const arch::native::Symbol& symbol, const LoadedProgram& program);

}  // namespace xnic::exec::native
