// SPDX-License-Identifier: Apache-2.0
// Where compiler and engine meet: the engine "native" gets its images from here.
#pragma once

#include <string>

namespace xnic::device {

// From now on engines "native" of this process compile what they load. LLVM is loaded with the first program that is
// compiled. Process-wide; later calls replace earlier ones. Not to be called while an engine loads.
void install_native();

}  // namespace xnic::device
