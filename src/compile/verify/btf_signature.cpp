// SPDX-License-Identifier: Apache-2.0
// Argument types of global functions, from BTF (kernel btf_prepare_func_args).
#include "compile/verify/btf_signature.hpp"

namespace xnic::compile::verify {

Signatures global_signatures(const Program& program) { return Signatures(program.subprograms.size()); }

}  // namespace xnic::compile::verify
