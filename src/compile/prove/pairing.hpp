// SPDX-License-Identifier: Apache-2.0
// One term for two: where both agree it is theirs, where they differ it has a variable. With every variable set to its
// first value the result equals the first term, with every variable set to its second value the second one. A pair has
// one variable wherever it stands, so what two places of a state have in common in both states, they keep.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "compile/prove/memory.hpp"
#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

inline constexpr Term kNoTerm = ~Term{0};

class Pairing {
 public:
  struct Variable {
    Term term;  // a new symbol, zero-extended to the width of the values
    Term a, b;  // its values
  };
  explicit Pairing(Terms& terms) : terms_(terms) {}

  // kNoTerm where an address meets something that does not lead to the same kind of object.
  Term of(Term a, Term b);
  // The same, but a number without a meaning as an address in place of kNoTerm.
  Term of_number(Term a, Term b);
  // What both memories began as; to be asked for all memories before any term. nullopt: several things.
  std::optional<Memory> beginning(const Memory& a, const Memory& b);
  // With `numbers`, as of_number().
  std::optional<Memory> of(const Memory& a, const Memory& b, bool numbers);
  // From here on nothing new is made: kNoTerm where it would have to be.
  void freeze() { frozen_ = true; }

  const std::vector<Variable>& variables() const { return variables_; }
  // Whether another address stands for this object: then it may no longer occur.
  bool replaces(Term object) const { return replaced_.contains(object); }
  bool replaces_any() const { return !replaced_.empty(); }

 private:
  Term differing(Term a, Term b);
  Term objects(Term a, Term b);
  Term sums(Term a, Term b);
  Term shape(Term a, Term b);
  std::optional<std::vector<unsigned>> boundaries(Term t) const;
  static std::optional<std::vector<unsigned>> common(const std::optional<std::vector<unsigned>>& a,
                                                     const std::optional<std::vector<unsigned>>& b);
  Term split(Term a, Term b);
  Term parted(Term a, Term b, std::vector<unsigned> cuts);
  Term variable(Term a, Term b);
  std::vector<std::pair<std::pair<Term, Term>, Term>> bases(const Memory& a, const Memory& b);
  unsigned bits(Term a, Term b) const;
  bool address(Term t, int depth = 4) const;

  Terms& terms_;
  bool frozen_ = false;
  std::map<std::pair<Term, Term>, Term> done_, narrow_;
  std::map<std::pair<uint32_t, uint32_t>, Memory> unknowns_;
  std::map<Term, std::pair<int, Term>> replaced_;  // object: side (1, 2) and what stands for it
  std::vector<Variable> variables_;
};

}  // namespace xnic::compile::prove
