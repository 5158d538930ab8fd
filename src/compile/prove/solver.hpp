// SPDX-License-Identifier: Apache-2.0
// Z3 behind a small door: are these conditions true together? Solver owns the only use of z3 in the project.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "compile/prove/term.hpp"

namespace z3 {
class solver;
}

namespace xnic::compile::prove {

class Solver {
 public:
  enum class Answer : uint8_t { kUnsat, kSat, kUnknown };
  explicit Solver(const Terms& terms);
  ~Solver();
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;

  // Conditions have width 1. After kSat, value() reads the model until the next check. kUnknown when the question takes
  // more than `effort` (Z3's count of its own steps, about 3 millions a second, the same on every machine) or the time.
  // kLoose takes bytes of memory, results of functions, products and quotients (Terms::is_opaque) for any values:
  // cheaper, and kUnsat is as good; kSat may be wrong.
  enum class Reading : uint8_t { kExact, kLoose };
  Answer check(std::span<const Term> conditions, Reading reading, uint64_t effort, uint64_t timeout_ms);
  uint64_t value(Term t);
  uint64_t checks() const { return checks_; }
  uint64_t spent() const { return spent_; }  // effort of all checks

 private:
  struct State;
  Answer ask(z3::solver& solver, std::span<const Term> conditions, uint64_t effort, uint64_t timeout_ms);
  std::unique_ptr<State> state_;
  uint64_t checks_ = 0, spent_ = 0;
};

}  // namespace xnic::compile::prove
