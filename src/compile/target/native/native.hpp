// SPDX-License-Identifier: Apache-2.0
// The native compiler: a verified program to optimised machine code of this host, by LLVM 19. Nothing of LLVM is seen
// from outside.
#pragma once

#include "arch/native/request.hpp"
#include "base/result.hpp"

namespace xnic::compile::target::native {

// Pre: request.facts, if given, are the verifier's for request.program. Errors: kUnsupported with the instruction for
// what no engine of the card runs; kIo when LLVM has no code generator for this machine. Any thread; takes about 0.1 ms
// an instruction.
base::Result<arch::native::Image> compile(const arch::native::Request& request);

// The LLVM IR after optimisation, for a look at the code.
base::Result<std::string> show_ir(const arch::native::Request& request);

}  // namespace xnic::compile::target::native
