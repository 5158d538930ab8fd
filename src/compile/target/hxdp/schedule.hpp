// SPDX-License-Identifier: Apache-2.0
// From the graph to rows: traces, list scheduling with registers assigned as operations issue, emission.
#pragma once

#include "arch/hxdp/image.hpp"
#include "base/result.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::target::hxdp {

struct ScheduleOptions {
  bool traces = true;             // schedule along the likely path over several blocks, else block by block
  bool parallel_branches = true;  // several branches a row
  bool priorities = true;         // try several orders for each region
  bool call_exit = true;          // a call whose result is the verdict ends the program
};

// Fills rows, slots, call_sites and stack use of `image`, whose parameters are set. `free_stack`: bytes from the bottom
// of the stack that the program does not use, for values that find no register. Errors: kLimit (rows, call sites,
// registers).
base::Result<void> schedule(opt::Graph& graph, const ScheduleOptions& options, uint32_t free_stack,
                            arch::hxdp::Image& image);

}  // namespace xnic::compile::target::hxdp
