// SPDX-License-Identifier: Apache-2.0
// The interpreter's insides: a program decoded into a flat array of operations, and the machine that they work on.
//
// Each operation has a handler, which does its work and returns the operation to go on with, or null to end the run.
// The array is indexed by slot, so `op - ops.data()` is the slot and jump targets need no translation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "arch/ebpf/context.hpp"
#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"
#include "exec/engine.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/interp/flat.hpp"
#include "exec/interp/interp.hpp"

namespace xnic::exec::interp {

struct Machine;
struct Op;
using Handler = const Op* (*)(Machine&, const Op*);

struct Op {
  Handler handler = nullptr;
  uint64_t imm = 0;              // sign-extended immediate, 64-bit constant, or helper id
  const Op* target = nullptr;    // taken branch, callee
  helpers::HelperFn function{};  // helper
  uint8_t dst = 0;
  uint8_t src = 0;
  int16_t offset = 0;
};

struct Code {
  std::vector<Op> ops;
  const LoadedProgram* loaded = nullptr;  // null in flat mode; kept alive by whoever runs the code
  ExtraHelpers extra;                     // flat mode: helpers beside the table
};

struct Frame {
  const Op* return_to = nullptr;
  std::array<uint64_t, 4> saved{};    // r6..r9 of the caller
  uint64_t caller_stack = 0;          // r10 of the caller
  const Code* caller_code = nullptr;  // a tail call in this frame may have changed it
  uint32_t caller_base_depth = 0;
  uint32_t may_goto_left = 0;
};

// Kernel BPF_MAX_LOOPS: what may_goto counts down from in each frame, and the limit of bpf_loop.
inline constexpr uint32_t kMaxLoops = 8u * 1024 * 1024;

// One run. Invariants: depth < kMaxCallDepth; r[10] is the end of stacks[depth]; a helper's callback runs in a nested
// loop which ends when it leaves the frame `floor`.
struct Machine {
  uint64_t r[arch::ebpf::kRegCount] = {};
  uint64_t context = 0;  // address of the context object; outside every buffer in flat mode
  uint64_t budget = 0;   // operations left
  uint32_t depth = 0;
  uint32_t floor = 0;
  uint32_t base_depth = 0;  // frame in which the running program was entered, its frame 0
  const Code* code = nullptr;
  std::array<Frame, arch::ebpf::kMaxCallDepth> frames;
  alignas(16) uint8_t stacks[arch::ebpf::kMaxCallDepth][arch::ebpf::kStackBytes];
  uint8_t context_object[arch::ebpf::kContextBytes] = {};

  helpers::HelperContext helper;
  // The decoded form of a tail call's target, or null when it can't run; the engine's.
  const Code* (*code_of)(Machine&, std::shared_ptr<const LoadedProgram>) = nullptr;
  void* owner = nullptr;
  bool checked = false;
  bool check_facts = false;
  bool scramble = false;
  const std::function<void(const Step&)>* observer = nullptr;
  std::optional<Violation> violation;
  bool out_of_budget = false;

  uint32_t slot(const Op* op) const { return static_cast<uint32_t>(op - code->ops.data()); }
  // Ends the run, from whatever depth of nesting.
  const Op* stop() {
    helper.stopped = true;
    budget = 0;
    r[0] = 0;
    return nullptr;
  }
  // Zeroed, so that programs which read stack they never wrote behave the same in every run.
  void enter_frame(uint32_t at);
};

// Runs from `entry` until the frame `floor` is left. Post: r[0] is the result, or 0 when the run was stopped.
void run_loop(Machine& machine, const Op* entry);

// Translates instructions; errors are kUnsupported with the slot and the reason. `loaded` may be null (flat mode).
base::Result<void> translate(std::span<const arch::ebpf::Instruction> insns, const LoadedProgram* loaded, bool checked,
                             Code& code);

// Handlers by instruction, one short function each (alu.cpp, memory.cpp, control.cpp).
Handler handler_of(const arch::ebpf::Binary& insn);
Handler handler_of(const arch::ebpf::MovSx& insn);
Handler handler_of(const arch::ebpf::Neg& insn);
Handler handler_of(const arch::ebpf::Swap& insn);
Handler handler_of(const arch::ebpf::Load& insn, bool checked);
Handler handler_of(const arch::ebpf::Store& insn, bool checked);
Handler handler_of(const arch::ebpf::Atomic& insn, bool checked);
Handler handler_of(const arch::ebpf::LoadPacket& insn);
Handler handler_of(const arch::ebpf::Jump& insn);
const Op* load_constant(Machine& m, const Op* op);
const Op* go_to(Machine& m, const Op* op);
const Op* may_goto(Machine& m, const Op* op);
const Op* call_helper(Machine& m, const Op* op);
const Op* call_helper_checked(Machine& m, const Op* op);
const Op* call_tail(Machine& m, const Op* op);
const Op* call_extra(Machine& m, const Op* op);
const Op* call_register(Machine& m, const Op* op);
const Op* call_local(Machine& m, const Op* op);
const Op* exit_frame(Machine& m, const Op* op);
const Op* trap(Machine& m, const Op* op);
// Runs a subprogram for a helper (HelperContext::invoke).
uint64_t invoke_callback(helpers::HelperContext& helper, uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3,
                         uint64_t a4, uint64_t a5);

// checks.cpp: false after recording the violation.
enum class Access : uint8_t { kRead, kWrite };
bool check_access(Machine& m, const Op* op, uint64_t address, uint64_t bytes, Access access);
bool check_helper_arguments(Machine& m, const Op* op);
bool check_registers(Machine& m, const Op* op);
using PacketBounds = std::array<const uint8_t*, 3>;
inline PacketBounds packet_bounds(const packet::Packet& packet) {
  return {packet.data_meta, packet.data, packet.data_end};
}
// After a helper's call; `before`: the bounds before it.
bool check_packet_moves(Machine& m, const Op* op, const PacketBounds& before);
// Changes the upper half of every register of which the facts say that nothing reads it later.
void scramble_dead_halves(Machine& m, const Op* op);

}  // namespace xnic::exec::interp
