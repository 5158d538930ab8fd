// SPDX-License-Identifier: Apache-2.0
// Where compiler and card meet: the engine "nfp" gets its images from the compiler.
#pragma once

#include "compile/target/nfp/compile.hpp"
#include "exec/sim/nfp/timing.hpp"

namespace xnic::device {

// From now on engines "nfp" of this process compile what they load, and time it on such a card. Process-wide; later
// calls replace earlier ones. Not to be called while an engine loads.
void install_nfp(const compile::target::nfp::CompileOptions& options = {},
                 const exec::sim::nfp::CardTiming& timing = {});

}  // namespace xnic::device
