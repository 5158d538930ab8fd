// SPDX-License-Identifier: Apache-2.0
// One input of both machines: a value for every unknown. Whatever is not set has a value made from its name and
// arguments. Models show cheaply that something is possible; a proof never rests on one.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

class Model {
 public:
  explicit Model(uint64_t seed) : seed_(seed) {}
  uint64_t value(const Terms& terms, Term t);
  bool holds(const Terms& terms, Term condition) { return value(terms, condition) != 0; }
  // Gives the unknown (symbol, byte of memory, result of a function) a value, for the values that its arguments have.
  void set(const Terms& terms, Term unknown, uint64_t value);
  // Another model with the same settings.
  Model changed() const;

 private:
  using Key = std::vector<uint64_t>;
  Key key(const Terms& terms, Term t);
  uint64_t meaning(const Terms& terms, Term t);
  uint64_t unknown(const Terms& terms, Term t);

  uint64_t seed_;
  std::map<Key, uint64_t> set_;
  std::unordered_map<Term, uint64_t> done_;
};

}  // namespace xnic::compile::prove
