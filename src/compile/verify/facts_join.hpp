// SPDX-License-Identifier: Apache-2.0
// Facts over all visits of an instruction, and their repair where paths were pruned.
#pragma once

#include <vector>

#include "compile/verify/cfg.hpp"
#include "compile/verify/state.hpp"

namespace xnic::compile::verify {

class FactsJoin {
 public:
  FactsJoin(const Program& program, const Flow& flow);

  // Adds the state before the instruction at `slot`. `anonymous`: the frame's depth at run time is not known.
  void visit(Slot slot, const State& state, bool anonymous);
  // A path was pruned at `slot`: in the registers of `regs` (and in spilled values, if `stack`) its values may lie
  // outside what the covering state proved. `packet_bytes`: what the pruned path had proved of the packet.
  void pruned(Slot slot, uint16_t regs, bool stack, uint32_t packet_bytes, uint32_t packet_meta_bytes);
  // Registers `a` and `b` (bit masks) and spilled values, if `stack`, narrow each other at `slot`.
  void linked(Slot slot, uint16_t regs, bool stack);
  // Repairs what pruning left open and hands the facts out.
  std::vector<InsnFacts> finish();

  bool may_change_packet = false;

 private:
  struct Doubt {
    uint16_t regs = 0;
    bool stack = false;
    bool reached = false;
    uint32_t packet_bytes = ~0u;
    uint32_t packet_meta_bytes = ~0u;
    bool absorb(const Doubt& other);
  };
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
