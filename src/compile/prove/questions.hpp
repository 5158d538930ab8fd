// SPDX-License-Identifier: Apache-2.0
// Questions to the solver: is a condition possible on a path? Only the literals that have unknowns in common with the
// condition are asked, so most questions are small and come again on other paths; answers are kept. An input that is
// known to take the path may show that the condition is possible, with no question at all.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "compile/prove/prove.hpp"
#include "compile/prove/solver.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

uint64_t cpu_ms();  // processor time of this thread

class Questions {
 public:
  Questions(const Terms& terms, const ProveOptions& options);

  // Is there an input for which the path's literals and the condition hold? kUnsat is true of the whole path; kSat may
  // leave out literals that have nothing to do with the condition; kUnknown after `effort`.
  Solver::Answer possible(Path& path, Term condition, uint64_t effort);
  // The same with all literals, not kept. After kSat, value() is an input.
  Solver::Answer possible_in_full(const Path& path, Term condition, uint64_t effort);
  uint64_t value(Term t) { return solver_.value(t); }

  // The budget, in mode kRegions no more than one region may take since begin_region(). 0 when the time is up.
  void begin_region();
  uint64_t effort_left() const;
  uint64_t region_left() const;
  uint64_t checks() const { return solver_.checks(); }
  uint64_t effort() const { return solver_.spent(); }

 private:
  uint64_t time_left_ms() const;
  std::vector<Term> related(const std::vector<Term>& literals, Term condition);
  const std::vector<Term>& unknowns(Term t);
  bool witnessed(Path& path, Term condition);
  void witness(Path& path, const std::vector<Term>& asked);

  struct Known {
    Solver::Answer answer;
    uint64_t effort;
  };
  const Terms& terms_;
  const ProveOptions& options_;
  Solver solver_;
  uint64_t start_ms_ = 0, region_began_ = 0;
  uint64_t models_ = 0;
  std::map<std::vector<Term>, Known> answers_;
  std::unordered_map<Term, std::vector<Term>> unknowns_;
};

}  // namespace xnic::compile::prove
