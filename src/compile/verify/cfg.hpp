// SPDX-License-Identifier: Apache-2.0
// Static view of a program's flow: successors, pruning points, live registers, stack and call-graph limits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "compile/verify/state.hpp"
#include "compile/verify/verify.hpp"

namespace xnic::compile::verify {

struct Flow {
  std::vector<bool> prune_point;       // a state may be stored and compared before the instruction
  std::vector<bool> jump_target;       // reached by a jump: the instruction before it may be another one
  std::vector<bool> force_checkpoint;  // a state is always stored: loops by callback or may_goto
  std::vector<bool> calls_callback;
  std::vector<uint16_t> live;        // bit r: register r may be read before it is written, before the instruction
  std::vector<uint16_t> upper_live;  // the same for the upper half of the register
  std::vector<uint32_t> subprogram;  // by slot
  std::vector<bool> changes_packet;  // by subprogram, with its callees
  std::vector<bool> has_tail_call;   // by subprogram, with its callees
};

// A structural fault found before any path is walked.
struct Fault {
  Rejection::Kind kind;
  Slot slot;
  int error;
  std::string reason;
  std::string advice;
};

// Slots that may run after `slot` inside the same subprogram (calls continue behind the call).
// Pre: every target lies inside the program. Returns how many entries of `out` are set.
int successors(const Program& program, Slot slot, std::array<Slot, 2>& out);

// Checks the shape (kernel check_subprogs, check_cfg) and computes the Flow.
std::optional<Fault> analyse_flow(const Program& program, Flow& flow);

// Live registers by backward data flow, per slot (liveness.cpp).
void compute_liveness(const Program& program, Flow& flow);

// Registers read and written by one instruction, as bit masks; upper: of `uses`, those whose upper half matters.
struct RegisterUse {
  uint16_t uses = 0;
  uint16_t defs = 0;
  uint16_t upper = 0;     // uses whose upper half is read whatever follows
  uint16_t upper_if = 0;  // uses whose upper half is read when the destination's upper half is live
};
RegisterUse register_use(const Instruction& insn);

// Limits on stack depth and call depth over all call chains (kernel check_max_stack_depth). `stack` holds the bytes
// used by each subprogram; `asynchronous` marks those that timers call: they start on a stack of their own.
struct DepthResult {
  std::optional<Fault> fault;
  uint32_t max_bytes = 0;
  uint32_t max_frames = 1;
};
DepthResult check_stack_depth(const Program& program, const Flow& flow, const std::vector<uint32_t>& stack,
                              const std::vector<bool>& asynchronous);

}  // namespace xnic::compile::verify
