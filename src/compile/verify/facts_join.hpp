// SPDX-License-Identifier: Apache-2.0
// Facts over all visits of an instruction, and their repair where paths were pruned.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "compile/verify/cfg.hpp"
#include "compile/verify/state.hpp"

namespace xnic::compile::verify {

class FactsJoin {
 public:
  FactsJoin(const Program& program, const Flow& flow);

  // Adds the state before the instruction at `slot`. `anonymous`: the frame's depth at run time is not known.
  void visit(Slot slot, const State& state, bool anonymous);
  // A path was pruned at `slot` in `state`: in the registers of `regs` (and in spilled values, if `stack`) its values
  // may lie outside what the covering state proved. Pre: registers of `regs` are scalars.
  void pruned(Slot slot, uint16_t regs, bool stack, const State& state);
  // Registers `a` and `b` (bit masks) and spilled values, if `stack`, narrow each other at `slot`.
  void linked(Slot slot, uint16_t regs, bool stack);
  // Repairs what pruning left open and hands the facts out.
  std::vector<InsnFacts> finish();

  bool may_change_packet = false;

 private:
  // What paths that were pruned may bring beside what the walk saw.
  struct Doubt {
    uint16_t regs = 0;
    bool stack = false;
    bool reached = false;
    uint32_t packet_bytes = ~0u;
    uint32_t packet_meta_bytes = ~0u;
    std::array<Range, kRegCount> ranges;     // of the registers in `regs`
    std::array<uint8_t, kRegCount> grown{};  // how often a range became wider
    void put(size_t reg, const Range& range);
    bool absorb(const Doubt& other);
  };
  // Every value that `reg` may have before the instruction, in doubt or not; nothing unless it is always a number.
  std::optional<Range> values(Slot slot, const Doubt& doubt, size_t reg) const;
  Range computed(Slot slot, const Doubt& doubt) const;
  Doubt transfer(Slot slot, Doubt doubt) const;
  void spread();

  const Program& program_;
  const Flow& flow_;
  std::vector<InsnFacts> insns_;
  std::vector<Doubt> doubts_;
  struct Linked {
    uint16_t regs = 0;
    bool stack = false;
  };
  std::vector<Linked> links_;
};

}  // namespace xnic::compile::verify
