// SPDX-License-Identifier: Apache-2.0
// Conditions, branches, exits and calls.
#include <algorithm>
#include <type_traits>

#include "exec/helpers/call.hpp"
#include "exec/sim/hxdp/core.hpp"

namespace xnic::exec::sim::hxdp {
namespace {

using isa::JumpOp;
using Kind = isa::Argument::Kind;

template <JumpOp op, class T>
bool holds(T a, T b) {
  using S = std::make_signed_t<T>;
  if constexpr (op == JumpOp::kEq) return a == b;
  if constexpr (op == JumpOp::kNe) return a != b;
  if constexpr (op == JumpOp::kGt) return a > b;
  if constexpr (op == JumpOp::kGe) return a >= b;
  if constexpr (op == JumpOp::kLt) return a < b;
  if constexpr (op == JumpOp::kLe) return a <= b;
  if constexpr (op == JumpOp::kSet) return (a & b) != 0;
  if constexpr (op == JumpOp::kSgt) return static_cast<S>(a) > static_cast<S>(b);
  if constexpr (op == JumpOp::kSge) return static_cast<S>(a) >= static_cast<S>(b);
  if constexpr (op == JumpOp::kSlt) return static_cast<S>(a) < static_cast<S>(b);
  if constexpr (op == JumpOp::kSle) return static_cast<S>(a) <= static_cast<S>(b);
}

Flow take(Core& core, const Micro& m) {
  core.row = m.target;
  if (m.bubble) {
    core.run.branch_cycles += core.image.timing.branch_cycles;
    core.row_extra += core.image.timing.branch_cycles;
  }
  return Flow::kTaken;
}

template <JumpOp op, class T, bool immediate>
Flow branch(Core& core, const Micro& m) {
  const T a = static_cast<T>(core.regs[m.a]);
  const T b = static_cast<T>(immediate ? m.imm : core.regs[m.b]);
  return holds<op, T>(a, b) ? take(core, m) : Flow::kOn;
}

// The result is always written: the old value when the condition does not hold.
template <JumpOp op>
Flow select(Core& core, const Micro& m) {
  const bool chosen = holds<op, uint64_t>(core.regs[m.a], m.imm);
  core.regs[m.out] = core.regs[chosen ? m.b : m.c];
  return Flow::kOn;
}

struct BranchPicker {
  const isa::Branch& o;
  template <JumpOp op>
  Handler pick() const {
    const bool immediate = std::holds_alternative<isa::Imm>(o.b);
    if (o.width == isa::Width::k64) return immediate ? branch<op, uint64_t, true> : branch<op, uint64_t, false>;
    return immediate ? branch<op, uint32_t, true> : branch<op, uint32_t, false>;
  }
};
struct SelectPicker {
  template <JumpOp op>
  Handler pick() const {
    return select<op>;
  }
};

template <class Picker>
Handler by_condition(JumpOp op, const Picker& picker) {
  switch (op) {
    case JumpOp::kEq:
      return picker.template pick<JumpOp::kEq>();
    case JumpOp::kNe:
      return picker.template pick<JumpOp::kNe>();
    case JumpOp::kGt:
      return picker.template pick<JumpOp::kGt>();
    case JumpOp::kGe:
      return picker.template pick<JumpOp::kGe>();
    case JumpOp::kLt:
      return picker.template pick<JumpOp::kLt>();
    case JumpOp::kLe:
      return picker.template pick<JumpOp::kLe>();
    case JumpOp::kSet:
      return picker.template pick<JumpOp::kSet>();
    case JumpOp::kSgt:
      return picker.template pick<JumpOp::kSgt>();
    case JumpOp::kSge:
      return picker.template pick<JumpOp::kSge>();
    case JumpOp::kSlt:
      return picker.template pick<JumpOp::kSlt>();
    case JumpOp::kSle:
      return picker.template pick<JumpOp::kSle>();
  }
  return nullptr;
}

template <bool at_least>
Flow branch_packet(Core& core, const Micro& m) {
  const uint64_t held = static_cast<uint64_t>(core.packet->data_end - core.packet->data);
  return (held >= m.imm) == at_least ? take(core, m) : Flow::kOn;
}

Flow exit_constant(Core& core, const Micro& m) {
  core.verdict = static_cast<uint32_t>(m.imm);
  return Flow::kExit;
}

Flow exit_register(Core& core, const Micro& m) {
  core.verdict = static_cast<uint32_t>(core.regs[m.a]);
  return Flow::kExit;
}

uint64_t argument(Core& core, const FlatSite& flat, size_t i) {
  const isa::Argument& arg = flat.site.args[i];
  switch (arg.kind) {
    case Kind::kRegister:
      return core.regs[arg.reg];
    case Kind::kStack:
      core.stack_dirty = true;  // the helper may write there
      return reinterpret_cast<uint64_t>(core.stack) + static_cast<uint64_t>(arg.value);
    case Kind::kPacket:
      return reinterpret_cast<uint64_t>(core.packet->data) + static_cast<uint64_t>(arg.value);
    case Kind::kContext:
      return reinterpret_cast<uint64_t>(core.context_object) + static_cast<uint64_t>(arg.value);
    case Kind::kRegisterBytes:
      core.call_bytes[i] = core.regs[arg.reg];
      return reinterpret_cast<uint64_t>(&core.call_bytes[i]);
    case Kind::kConstantBytes:
      core.call_bytes[i] = static_cast<uint64_t>(arg.value);
      return reinterpret_cast<uint64_t>(&core.call_bytes[i]);
    default:
      return 0;
  }
}

// A pointer into the packet: the bytes that the helper reads there have to be in.
void touch_argument(Core& core, const FlatSite& flat, size_t i) {
  const uint64_t value = core.call_args[i];
  if (value - reinterpret_cast<uint64_t>(core.packet->frame()) < packet::kFrameBytes) {
    const Extent& extent = flat.extent[i];
    if (extent.kind == Extent::Kind::kUnknown) return core.touch_all();
    const uint64_t bytes = extent.kind == Extent::Kind::kBytes ? extent.bytes : core.call_args[i + 1];
    if (bytes != 0) core.touch(value, std::min<uint64_t>(bytes, packet::kFrameBytes));
  } else if (value - reinterpret_cast<uint64_t>(core.stack) <= isa::kStackBytes) {
    core.stack_dirty = true;
  }
}

// Arguments are read with the row; the helper runs in its lane's turn.
template <Flow flow>
Flow call(Core& core, const Micro& m) {
  const FlatSite& flat = *m.site;
  std::copy(flat.constant.begin(), flat.constant.end(), core.call_args);
  for (size_t at = 0; at < flat.variables; ++at) {
    const size_t i = flat.variable[at];
    core.call_args[i] = argument(core, flat, i);
  }
  for (size_t at = 0; at < flat.variables; ++at) touch_argument(core, flat, flat.variable[at]);
  if (flat.reads_packet) core.touch_all();
  core.effect[core.effects++] = {0, 0, &m, 0};
  return flow;
}

// A look-up has no effect and reads no memory but the map's keys, which no other lane can change: it needs neither the
// helper's call nor the end of the row.
Flow look_up(Core& core, const Micro& m) {
  const FlatSite& site = *m.site;
  const isa::Argument& given = site.site.args[1];
  const uint64_t key = given.kind == Kind::kRegisterBytes ? core.regs[given.reg] : static_cast<uint64_t>(given.value);
  const auto value = reinterpret_cast<uint64_t>(site.map->lookup(&key, core.helper.run->cpu));
  core.note_cost(site.cost);
  if (value != 0) core.note_found(value, site.value_bytes);
  if (m.has_result) core.regs[m.out] = value;
  return Flow::kOn;
}

}  // namespace

Handler lookup_handler() { return look_up; }
Handler handler_of(const isa::Branch& op) { return by_condition(op.op, BranchPicker{op}); }
Handler handler_of(const isa::Select& op) { return by_condition(op.op, SelectPicker{}); }
Handler handler_of(const isa::BranchPacket& op) { return op.at_least ? branch_packet<true> : branch_packet<false>; }
Handler handler_of(const isa::Goto&) { return take; }
Handler handler_of(const isa::Call&) { return call<Flow::kOn>; }
Handler handler_of(const isa::CallExit&) { return call<Flow::kExit>; }
Handler handler_of(const isa::Exit&) { return exit_constant; }
Handler handler_of(const isa::ExitRegister&) { return exit_register; }

}  // namespace xnic::exec::sim::hxdp
