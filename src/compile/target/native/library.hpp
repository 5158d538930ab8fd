// SPDX-License-Identifier: Apache-2.0
// The one function that the shared library of the native compiler exports.
#pragma once

#include "compile/target/native/native.hpp"

namespace xnic::compile::target::native {

// compile(request) into `image`. Both sides are built from the same sources.
using CompileFunction = void (*)(const arch::native::Request& request, base::Result<arch::native::Image>& image);
inline constexpr const char* kCompileFunction = "xnic_native_compile";

}  // namespace xnic::compile::target::native
