// SPDX-License-Identifier: Apache-2.0
// The runtime of compiled programs (runtime.cpp here) as LLVM bitcode, made by clang when the project is built.
#pragma once

#include "base/bytes.hpp"

namespace xnic::exec::native::runtime {

base::Bytes bitcode();

}  // namespace xnic::exec::native::runtime
