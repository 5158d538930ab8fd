// SPDX-License-Identifier: Apache-2.0
// What may still be read: registers and bytes of the stack, of program and image, by backward data flow.
#pragma once

#include <bitset>
#include <vector>

#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

using StackBytes = std::bitset<arch::hxdp::kStackBytes>;  // byte n: n above the lowest

class Liveness {
 public:
  explicit Liveness(const Setting& setting);
  // What nothing reads any more becomes an unknown. A value taken for dead that is not is an unknown of its own in each
  // machine, so a mistake here proves nothing.
  void forget_dead(Product& p) const;

 private:
  void find_slots();
  void find_rows();
  void forget_stack(Memory& stack, Term base, uint64_t lowest, const StackBytes& live, Term dead) const;

  const Setting& s_;
  std::vector<uint16_t> slot_regs_;
  std::vector<uint32_t> row_regs_;
  std::vector<StackBytes> slot_stack_, row_stack_;  // slots: of the only frame; all bytes when there are several
  std::vector<Term> dead_slot_regs_, dead_row_regs_;
  Term dead_slot_byte_, dead_row_byte_;
};

}  // namespace xnic::compile::prove
