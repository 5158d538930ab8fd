// SPDX-License-Identifier: Apache-2.0
// Z3 behind a small door: are these conditions true together? Solver owns the only use of z3 in the project.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

class Solver {
 public:
  enum class Answer : uint8_t { kUnsat, kSat, kUnknown };
  explicit Solver(const Terms& terms);
  ~Solver();
  Solver(const Solver&) = delete;
  Solver& operator=(const Solver&) = delete;

  // Conditions have width 1. After kSat, value() reads the model until the next check. A timeout gives kUnknown.
  Answer check(std::span<const Term> conditions, uint32_t timeout_ms);
  uint64_t value(Term t);
  uint64_t checks() const { return checks_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint64_t checks_ = 0;
};

}  // namespace xnic::compile::prove
