// SPDX-License-Identifier: Apache-2.0
// Cut points: states that wait at one place of both machines become one, in which what differs is a variable.
#pragma once

#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

// Where states may become more general: everywhere at first, then no more where a cut lost what a proof needed.
class Cuts {
 public:
  using Place = std::pair<arch::ebpf::Slot, arch::hxdp::Row>;
  bool at(Place place) const { return !without_.contains(place); }
  void made(Term variable, Place at) { made_[variable] = at; }
  // The condition could not be shown for the state: the cuts that made the variables in it, or else the last one that
  // the state has been through, are left out from the next attempt on.
  void blame(const Terms& terms, const Product& state, Term condition);
  // Before another attempt; false when nothing was blamed.
  bool learn();

 private:
  std::set<Place> without_, blamed_;
  std::map<Term, Place> made_;
};

// A state of which `a` and `b` are cases: every input that leads to one of them leads to it, for some values of its
// variables, so what is proved of it is true of both. What is refuted may be true of both all the same.
//
// nullopt when the states do not lend themselves to it: a variable that only one machine knows of would part the two,
// as would an address without its object. Pre: one place, registers that nothing reads forgotten (join.hpp).
std::optional<Product> generalize(const Setting& s, Cuts& cuts, const Product& a, const Product& b);

}  // namespace xnic::compile::prove
