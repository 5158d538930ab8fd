// SPDX-License-Identifier: Apache-2.0
// The insides of prove(): questions with their answers, the core's rows, and the exploration.
#pragma once

#include <functional>
#include <optional>

#include "compile/prove/generalize.hpp"
#include "compile/prove/prove.hpp"
#include "compile/prove/questions.hpp"
#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

// Answers questions about paths and keeps the report.
class Judge {
 public:
  // `cuts`: those that general states went through, to be blamed when something is not true of such a state.
  Judge(const Setting& setting, const ProveOptions& options, ProofReport& report, Cuts* cuts);
  // As Path::decide, with a little help of the solver. On a path that cannot be taken, any answer.
  int decide(Path& path, Term condition);
  // Conditional values in both machines' registers, stacks and packets that the path decides become what they are.
  void simplify(Product& p);
  // The condition must hold on the path. False when it does not, or nobody knows: the region says so.
  bool require(const Product& at, arch::ebpf::Slot slot, Term condition, const std::string& what,
               const std::string& otherwise);
  void undecided(const Product& at, arch::ebpf::Slot slot, const std::string& what, const std::string& why);
  // The path is outside the model.
  void give_up(const Product& at, const std::string& why);
  bool refuted() const { return refuted_; }
  bool failed() const { return failed_; }  // refuted, or not decided
  void forget_failure() { failed_ = false; }
  bool out_of_budget() const;
  uint64_t checks() const { return questions_.checks(); }
  uint64_t effort() const { return questions_.effort(); }
  // Names of the entry state, for counterexamples.
  World entry;

 private:
  ProofRegion& region(const Product& at, arch::ebpf::Slot slot, const std::string& what);
  Counterexample counterexample();
  // Is there an input on the path for which the condition does not hold?
  Solver::Answer refute(Path& path, Term condition, int splits);
  std::vector<Term> conditions_in(Term t) const;
  bool sharpen(Path& path);
  Term reduce(const Path& path, Term t);

  const Setting& s_;
  const ProveOptions& options_;
  ProofReport& report_;
  Cuts* const cuts_;
  Questions questions_;
  bool refuted_ = false, failed_ = false;
  uint64_t most_effort_ = 0;  // for one question of the condition in hand
  Term not_shown_ = 0;        // the part of the last condition that was not shown
};

// rows.cpp. Runs the core as far as the path decides.
struct Advance {
  enum class Why : uint8_t {
    kDone,    // at an exit
    kBranch,  // `condition` is not decided
    kEvent,   // a call that the bytecode has not come to
    kHeld,    // at a row where it is to wait for the bytecode
    kFailed,  // the report says why
  };
  Why why;
  Term condition = 0;
};
Advance advance(const Setting& s, Judge& judge, Product& state, const std::function<bool(arch::hxdp::Row)>& hold);

// The bytecode slot that the row stands for, for messages.
arch::ebpf::Slot slot_of(const arch::hxdp::Image& image, arch::hxdp::Row row);

}  // namespace xnic::compile::prove
