// SPDX-License-Identifier: Apache-2.0
// Which of the states that wait at one place become one.
#pragma once

#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

class Joiner {
 public:
  explicit Joiner(const Setting& setting);
  // Joins states at one place of both machines: those whose live values are equal always, others when there are many.
  void join(std::vector<Product>& all) const;

 private:
  void forget_dead(Product& p) const;
  void join_equal(std::vector<Product>& all) const;
  void join_nearest(std::vector<Product>& all) const;
  void join_into(Product& a, const Product& b) const;

  const Setting& s_;
  std::vector<uint16_t> live_slots_;
  std::vector<uint32_t> live_rows_;
  std::vector<Term> dead_slot_regs_, dead_row_regs_;
};

}  // namespace xnic::compile::prove
