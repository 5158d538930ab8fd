// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

// Fills reads, writes, reads_all, pure and void_result of `info` from its helper and arguments.
void describe_call(Graph& graph, CallInfo& info);

}  // namespace xnic::compile::opt
