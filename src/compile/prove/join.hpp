// SPDX-License-Identifier: Apache-2.0
// Which of the states that wait at one place become one.
#pragma once

#include "compile/prove/generalize.hpp"
#include "compile/prove/liveness.hpp"

namespace xnic::compile::prove {

class Joiner {
 public:
  // `cuts`: to find general states; null: only what loses nothing.
  Joiner(const Setting& setting, Cuts* cuts);
  // Joins states at one place of both machines: those whose live values are equal always, with cuts those with a common
  // general state, and others when there are many.
  void join(std::vector<Product>& all) const;

 private:
  void join_equal(std::vector<Product>& all) const;
  void join_general(std::vector<Product>& all) const;
  void join_nearest(std::vector<Product>& all) const;
  void join_into(Product& a, const Product& b) const;

  const Setting& s_;
  Cuts* const cuts_;
  Liveness liveness_;
};

}  // namespace xnic::compile::prove
