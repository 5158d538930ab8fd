// SPDX-License-Identifier: Apache-2.0
// The insides of prove(): questions with their answers, the core's rows, and the exploration.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "compile/prove/prove.hpp"
#include "compile/prove/solver.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

// Answers questions about paths and keeps the report.
class Judge {
 public:
  Judge(const Setting& setting, const ProveOptions& options, ProofReport& report);
  // As Path::decide, with the solver's help. 2: the path itself is impossible.
  int decide(Path& path, Term condition);
  // The condition must hold on the path. False when it does not, or nobody knows: the region says so.
  bool require(const Product& at, arch::ebpf::Slot slot, Term condition, const std::string& what,
               const std::string& otherwise);
  void undecided(const Product& at, arch::ebpf::Slot slot, const std::string& what, const std::string& why);
  bool refuted() const { return refuted_; }
  bool out_of_time() const;
  uint64_t checks() const { return solver_.checks(); }
  // Names of the entry state, for counterexamples.
  World entry;

 private:
  ProofRegion& region(const Product& at, arch::ebpf::Slot slot, const std::string& what);
  Counterexample counterexample();
  // Is there an input on the path for which the condition does not hold?
  Solver::Answer refute(const Path& path, Term condition, int splits);
  Term condition_in(Term t) const;
  uint32_t budget_ms() const;
  Term reduce(const Path& path, Term t);

  const Setting& s_;
  const ProveOptions& options_;
  ProofReport& report_;
  Solver solver_;
  std::map<std::pair<std::vector<Term>, Term>, int> answers_;
  std::chrono::steady_clock::time_point start_, region_start_;
  bool refuted_ = false;
};

// rows.cpp. Runs the core as far as the path decides.
struct Advance {
  enum class Why : uint8_t {
    kDone,        // at an exit
    kBranch,      // `condition` is not decided
    kEvent,       // a call that the bytecode has not come to
    kHeld,        // at a row where it is to wait for the bytecode
    kFailed,      // the report says why
    kImpossible,  // the path cannot be taken
  };
  Why why;
  Term condition = 0;
};
Advance advance(const Setting& s, Judge& judge, Product& state, const std::function<bool(arch::hxdp::Row)>& hold);

// The bytecode slot that the row stands for, for messages.
arch::ebpf::Slot slot_of(const arch::hxdp::Image& image, arch::hxdp::Row row);

}  // namespace xnic::compile::prove
