// SPDX-License-Identifier: Apache-2.0
// The fewest rows that a region's operations fit, registers left out of account: found, or proved, by search.
#pragma once

#include <cstdint>
#include <vector>

namespace xnic::compile::target::hxdp {

struct ExactProblem {
  struct Link {
    uint32_t unit;
    int rows;  // 0 or 1: at least so many rows later
  };
  struct Unit {
    std::vector<Link> before;
    bool call = false;    // one a row
    bool branch = false;  // one a row unless parallel_branches
    bool lane = true;     // takes one
  };
  std::vector<Unit> units;  // in an order in which links point backwards
  uint32_t lanes = 4;
  bool parallel_branches = true;
};

struct ExactResult {
  uint32_t bound = 0;          // no schedule has fewer rows
  std::vector<uint32_t> rows;  // of each unit, in a schedule with fewer rows than known; empty: none was found
};

// Looks for schedules of fewer than `known` rows, from the least possible number upwards, visiting at most `max_nodes`
// row fillings for each number. bound == known, or bound == the rows of the schedule found: the search has proved it.
ExactResult fewest_rows(const ExactProblem& problem, uint32_t known, uint64_t max_nodes);

}  // namespace xnic::compile::target::hxdp
