// SPDX-License-Identifier: Apache-2.0
// Where compiler and card meet: the engine "nfp" gets its images from the compiler.
#pragma once

#include "compile/target/nfp/compile.hpp"

namespace xnic::device {

// From now on engines "nfp" of this process compile what they load. Process-wide; later calls replace earlier ones. Not
// to be called while an engine loads.
void install_nfp(const compile::target::nfp::CompileOptions& options = {});

}  // namespace xnic::device
