// SPDX-License-Identifier: Apache-2.0
// Jumps, calls and exit (RFC 9669 §4.3), and the loop that drives the handlers.
//
// Calls between subprograms use the machine's frames: r6..r9 and r10 are saved, the callee gets its own 512-byte stack.
// A helper's callback runs in a nested run_loop on the same machine, above the frames of its caller. A tail call keeps
// the frame it happens in: the new program returns where the old one would have.
#include <cstring>
#include <type_traits>

#include "exec/interp/machine.hpp"

namespace xnic::exec::interp {
namespace {

using arch::ebpf::JumpOp;

template <JumpOp op, class T>
bool holds(T a, T b) {
  using S = std::make_signed_t<T>;
  if constexpr (op == JumpOp::kEq) return a == b;
  if constexpr (op == JumpOp::kGt) return a > b;
  if constexpr (op == JumpOp::kGe) return a >= b;
  if constexpr (op == JumpOp::kSet) return (a & b) != 0;
  if constexpr (op == JumpOp::kNe) return a != b;
  if constexpr (op == JumpOp::kSgt) return static_cast<S>(a) > static_cast<S>(b);
  if constexpr (op == JumpOp::kSge) return static_cast<S>(a) >= static_cast<S>(b);
  if constexpr (op == JumpOp::kLt) return a < b;
  if constexpr (op == JumpOp::kLe) return a <= b;
  if constexpr (op == JumpOp::kSlt) return static_cast<S>(a) < static_cast<S>(b);
  if constexpr (op == JumpOp::kSle) return static_cast<S>(a) <= static_cast<S>(b);
}

template <JumpOp condition, class T, bool immediate>
const Op* jump(Machine& m, const Op* op) {
  const T left = static_cast<T>(m.r[op->dst]);
  const T right = static_cast<T>(immediate ? op->imm : m.r[op->src]);
  return holds<condition, T>(left, right) ? op->target : op + 1;
}

template <JumpOp condition>
Handler pick(const arch::ebpf::Jump& insn) {
  const bool immediate = std::holds_alternative<arch::ebpf::Imm>(insn.src);
  if (insn.width == arch::ebpf::Width::k64)
    return immediate ? jump<condition, uint64_t, true> : jump<condition, uint64_t, false>;
  return immediate ? jump<condition, uint32_t, true> : jump<condition, uint32_t, false>;
}

// Frames deeper than the verifier allows: a program that was never verified.
const Op* too_deep(Machine& m, const Op* op) {
  if (m.checked) {
    m.violation = Violation{Violation::Kind::kFunction, 0, m.slot(op), 0, 0, "calls nest deeper than 8 frames"};
  }
  m.out_of_budget = true;
  return m.stop();
}

bool push_frame(Machine& m, const Op* return_to) {
  if (m.depth + 1 >= arch::ebpf::kMaxCallDepth) return false;
  Frame& frame = m.frames[++m.depth];
  frame.return_to = return_to;
  std::memcpy(frame.saved.data(), &m.r[6], sizeof frame.saved);
  frame.caller_stack = m.r[10];
  frame.caller_code = m.code;
  frame.caller_base_depth = m.base_depth;
  m.enter_frame(m.depth);
  return true;
}

void pop_frame(Machine& m) {
  const Frame& frame = m.frames[m.depth--];
  std::memcpy(&m.r[6], frame.saved.data(), sizeof frame.saved);
  m.r[10] = frame.caller_stack;
  m.code = frame.caller_code;
  m.helper.program = m.code->loaded;
  m.base_depth = frame.caller_base_depth;
}

const Op* run_extra(Machine& m, const Op* op, ExtraHelpers::const_iterator extra) {
  if (extra == m.code->extra.end()) return trap(m, op);
  m.r[0] = extra->second.function(m.helper, m.r[1], m.r[2], m.r[3], m.r[4], m.r[5]);
  if (extra->second.ends_when_zero && m.r[0] == 0) return m.stop();
  return op + 1;
}

}  // namespace

Handler handler_of(const arch::ebpf::Jump& insn) {
  switch (insn.op) {
    case JumpOp::kEq:
      return pick<JumpOp::kEq>(insn);
    case JumpOp::kGt:
      return pick<JumpOp::kGt>(insn);
    case JumpOp::kGe:
      return pick<JumpOp::kGe>(insn);
    case JumpOp::kSet:
      return pick<JumpOp::kSet>(insn);
    case JumpOp::kNe:
      return pick<JumpOp::kNe>(insn);
    case JumpOp::kSgt:
      return pick<JumpOp::kSgt>(insn);
    case JumpOp::kSge:
      return pick<JumpOp::kSge>(insn);
    case JumpOp::kLt:
      return pick<JumpOp::kLt>(insn);
    case JumpOp::kLe:
      return pick<JumpOp::kLe>(insn);
    case JumpOp::kSlt:
      return pick<JumpOp::kSlt>(insn);
    case JumpOp::kSle:
      return pick<JumpOp::kSle>(insn);
  }
  return nullptr;
}

void Machine::enter_frame(uint32_t at) {
  std::memset(stacks[at], 0, sizeof stacks[at]);
  r[10] = reinterpret_cast<uint64_t>(stacks[at] + sizeof stacks[at]);
  frames[at].may_goto_left = kMaxLoops;
}

void run_loop(Machine& m, const Op* op) {
  if (m.checked && m.check_facts) {
    while (op != nullptr) {
      if (m.budget == 0) break;
      --m.budget;
      if (!check_registers(m, op)) {
        m.stop();
        return;
      }
      op = op->handler(m, op);
    }
  } else if (m.scramble) {
    while (op != nullptr && m.budget != 0) {
      --m.budget;
      scramble_dead_halves(m, op);
      op = op->handler(m, op);
    }
  } else if (m.observer != nullptr) {
    while (op != nullptr && m.budget != 0) {
      --m.budget;
      (*m.observer)({*m.code->loaded, m.slot(op), m.depth, m.r});
      op = op->handler(m, op);
    }
  } else {
    while (op != nullptr) {
      if (m.budget == 0) [[unlikely]]
        break;
      --m.budget;
      op = op->handler(m, op);
    }
  }
  if (op != nullptr && !m.helper.stopped) {
    m.out_of_budget = true;
    m.stop();
  }
  if (m.helper.stopped) m.r[0] = 0;
}

const Op* load_constant(Machine& m, const Op* op) {
  m.r[op->dst] = op->imm;
  return op + 2;
}

const Op* go_to(Machine&, const Op* op) { return op->target; }

const Op* may_goto(Machine& m, const Op* op) {
  uint32_t& left = m.frames[m.depth].may_goto_left;
  if (left == 0) return op->target;
  --left;
  return op + 1;
}

const Op* call_helper(Machine& m, const Op* op) {
  m.r[0] = op->function(m.helper, m.r[1], m.r[2], m.r[3], m.r[4], m.r[5]);
  return op + 1;
}

const Op* call_helper_checked(Machine& m, const Op* op) {
  if (!check_helper_arguments(m, op)) return m.stop();
  const PacketBounds before = packet_bounds(*m.helper.packet);
  const Op* next = call_helper(m, op);
  return check_packet_moves(m, op, before) ? next : m.stop();
}

// The program's r1..r5 are the helper's business; a failed call goes on behind it.
const Op* call_tail(Machine& m, const Op* op) {
  m.r[0] = op->function(m.helper, m.r[1], m.r[2], m.r[3], m.r[4], m.r[5]);
  if (m.helper.tail_call == nullptr) return op + 1;
  const Code* code = m.code_of(m, std::move(m.helper.tail_call));
  m.helper.tail_call.reset();
  if (code == nullptr) return op + 1;
  m.code = code;
  m.helper.program = code->loaded;
  m.base_depth = m.depth;
  m.frames[m.depth].may_goto_left = kMaxLoops;
  m.r[1] = m.context;
  return code->ops.data();
}

const Op* call_extra(Machine& m, const Op* op) {
  return run_extra(m, op, m.code->extra.find(static_cast<uint32_t>(op->imm)));
}

const Op* call_register(Machine& m, const Op* op) {
  return run_extra(m, op, m.code->extra.find(static_cast<uint32_t>(m.r[op->dst])));
}

const Op* call_local(Machine& m, const Op* op) { return push_frame(m, op + 1) ? op->target : too_deep(m, op); }

const Op* exit_frame(Machine& m, const Op*) {
  if (m.depth == m.floor) return nullptr;
  const Op* return_to = m.frames[m.depth].return_to;
  pop_frame(m);
  return return_to;
}

const Op* trap(Machine& m, const Op* op) {
  m.violation = Violation{Violation::Kind::kFunction,
                          0,
                          m.slot(op),
                          0,
                          0,
                          "execution reached a slot that holds no instruction, or an unknown helper"};
  return m.stop();
}

uint64_t invoke_callback(helpers::HelperContext& helper, uint64_t function, uint64_t a1, uint64_t a2, uint64_t a3,
                         uint64_t a4, uint64_t a5) {
  Machine& m = *static_cast<Machine*>(helper.engine);
  if (m.helper.stopped) return 0;
  const uint32_t slot = helpers::function_slot(function);
  if (slot >= m.code->ops.size()) {
    trap(m, m.code->ops.data());
    return 0;
  }
  uint64_t kept[6];
  std::memcpy(kept, m.r, sizeof kept);
  if (!push_frame(m, nullptr)) {
    too_deep(m, m.code->ops.data() + slot);
    return 0;
  }
  const uint32_t outer_floor = m.floor;
  m.floor = m.depth;
  const uint64_t arguments[] = {a1, a2, a3, a4, a5};
  std::memcpy(&m.r[1], arguments, sizeof arguments);
  run_loop(m, m.code->ops.data() + slot);
  const uint64_t result = m.r[0];
  // A stopped run may end inside deeper frames.
  while (m.depth > m.floor) pop_frame(m);
  m.floor = outer_floor;
  pop_frame(m);
  std::memcpy(m.r, kept, sizeof kept);
  return result;
}

}  // namespace xnic::exec::interp
