// SPDX-License-Identifier: Apache-2.0
// Cut points: states that wait at one place of both machines become one, in which what differs is a variable.
#pragma once

#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

// Where states may become more general: everywhere at first, then no more where a cut lost what a proof needed. Cuts
// are numbered in the order in which they are made.
class Cuts {
 public:
  using Place = std::pair<arch::ebpf::Slot, arch::hxdp::Row>;
  bool at(Place place) const { return !without_.contains(place); }
  // What is made and lost from here on belongs to cut `number`; it and those after it are forgotten.
  void begin(size_t number);
  size_t number() const { return number_; }
  bool used() const { return used_; }  // since begin()
  void made(Term variable) { made_[variable] = number_, used_ = true; }
  void lost(Term literal) { lost_[literal] = number_, used_ = true; }
  // The condition could not be shown for the state: the last cut that made a variable, or lost a literal, of it or of
  // the state's doubts is to be left out; or else the last one that the state has been through.
  void blame(const Terms& terms, const Product& state, Term condition);
  // The cut to go back to, to be left out from there on; nullopt: none is to blame.
  std::optional<size_t> learn();
  void leave_out(Place place) { without_.insert(place); }

 private:
  std::set<Place> without_;
  std::optional<size_t> blamed_;
  std::map<Term, size_t> made_, lost_;
  size_t number_ = 0;
  bool used_ = false;
};

// A state of which `a` and `b` are cases: every input that leads to one of them leads to it, for some values of its
// variables, so what is proved of it is true of both. What is refuted may be true of both all the same.
//
// nullopt when the states do not lend themselves to it: a variable that only one machine knows of would part the two,
// as would an address without its object. Pre: one place, registers that nothing reads forgotten (join.hpp).
std::optional<Product> generalize(const Setting& s, Cuts& cuts, const Product& a, const Product& b);

}  // namespace xnic::compile::prove
