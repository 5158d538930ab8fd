// SPDX-License-Identifier: Apache-2.0
// From the graph to rows: traces, list scheduling with registers assigned as operations issue, emission.
#pragma once

#include "arch/hxdp/image.hpp"
#include "base/result.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::target::hxdp {

// How far the heuristics are from the shortest schedule of each region.
struct ExactStatistics {
  uint32_t regions = 0;
  uint32_t shortest = 0;   // no schedule is shorter: proved
  uint32_t shortened = 0;  // by the search
  uint32_t cramped = 0;    // there is a shorter one, but not with these registers and moves into merges
  uint32_t undecided = 0;  // the search came to its limit
  uint32_t rows = 0;       // to the ends of all regions
  uint32_t bound = 0;      // that no schedules could be below
};

struct ScheduleOptions {
  bool traces = true;             // schedule along the likely path over several blocks, else block by block
  bool parallel_branches = true;  // several branches a row
  bool priorities = true;         // try several orders for each region
  uint64_t exact_nodes = 0;  // search for shorter schedules, so many row fillings for each number of rows; 0: do not
  bool call_exit = true;     // a call whose result is the verdict ends the program
};

// Fills rows, slots, call_sites and stack use of `image`, whose parameters are set. `free_stack`: bytes from the bottom
// of the stack that the program does not use, for values that find no register. Errors: kLimit (rows, call sites,
// registers). `exact`: filled when exact_nodes is not 0. Pre: exact_nodes is 0 unless results reach all lanes.
base::Result<void> schedule(opt::Graph& graph, const ScheduleOptions& options, uint32_t free_stack,
                            arch::hxdp::Image& image, ExactStatistics* exact = nullptr);

}  // namespace xnic::compile::target::hxdp
