// SPDX-License-Identifier: Apache-2.0
// The core's rows on symbols, from the meaning given in arch/hxdp/instruction.hpp and lane_rules.hpp: all lanes read
// the state before the row, calls with the stores of lower lanes; effects commit in lane order, the first taken branch
// or exit kills the lanes above it.
#include <fmt/format.h>

#include <algorithm>

#include "arch/ebpf/helpers.hpp"
#include "arch/hxdp/lane_rules.hpp"
#include "compile/prove/prover.hpp"

namespace xnic::compile::prove {

using namespace arch::hxdp;
using arch::ebpf::BinaryOp;
using Operand = arch::hxdp::Operand;
using MemoryOperand = arch::hxdp::Memory;

arch::ebpf::Slot slot_of(const Image& image, Row row) {
  for (; row < image.slots.size(); row++) {
    for (uint32_t slot : image.slots[row]) {
      if (slot != kNoSlot) return slot;
    }
  }
  return 0;
}

namespace {

constexpr uint32_t kNoLane = ~0u;

BinaryOp binary(AluOp op) {
  switch (op) {
    case AluOp::kAdd:
      return BinaryOp::kAdd;
    case AluOp::kSub:
    case AluOp::kReverseSub:
      return BinaryOp::kSub;
    case AluOp::kMul:
      return BinaryOp::kMul;
    case AluOp::kDiv:
      return BinaryOp::kDiv;
    case AluOp::kOr:
      return BinaryOp::kOr;
    case AluOp::kAnd:
      return BinaryOp::kAnd;
    case AluOp::kLsh:
      return BinaryOp::kLsh;
    case AluOp::kRsh:
      return BinaryOp::kRsh;
    case AluOp::kMod:
      return BinaryOp::kMod;
    case AluOp::kXor:
      return BinaryOp::kXor;
    case AluOp::kArsh:
      return BinaryOp::kArsh;
    case AluOp::kSdiv:
      return BinaryOp::kSdiv;
    case AluOp::kSmod:
      return BinaryOp::kSmod;
  }
  return BinaryOp::kMov;
}

// One row. `before` is the state that lanes read, `core` the one they change.
struct RowStepper {
  const Setting& s;
  Judge& judge;
  Product& p;
  const Core before;
  Core& core = p.core;
  Terms& t = s.terms;
  const Bundle& bundle = s.image.rows[before.row];
  bool failed = false;

  Term reg(Reg r) const { return before.regs[r]; }
  Term number(uint64_t v) const { return t.constant(64, v); }
  Term value(const Operand& o) const {
    if (const Reg* r = std::get_if<Reg>(&o)) return reg(*r);
    return number(uint64_t(int64_t{std::get<Imm>(o)}));
  }
  void set(Reg dst, Term v) { core.regs[dst] = v; }
  bool require(Term condition, const char* what, const std::string& otherwise) {
    if (!judge.require(p, slot_of(s.image, before.row), condition, what, otherwise)) failed = true;
    return !failed;
  }

  Term address_of(Space space, MapIndex map, uint64_t offset) const {
    switch (space) {
      case Space::kPacket:
        return t.plus(before.world.data, offset);
      case Space::kPacketEnd:
        return t.plus(t.add(before.world.data, before.world.length), offset);
      case Space::kPacketMeta:
        return t.plus(t.sub(before.world.data, before.world.meta), offset);
      case Space::kPacketBytes:
        return t.plus(before.world.length, offset);
      case Space::kStack:
        return t.plus(s.core_stack, offset);
      case Space::kContext:
        return t.plus(s.context, offset);
      case Space::kMapValue:
        return t.plus(s.first_values.at(map), offset);
      case Space::kMap:
        return t.plus(s.maps.at(map), offset);
      case Space::kRegister:
        break;
    }
    throw GiveUp{"an address of no space"};
  }
  Term address_of(const MemoryOperand& m) const {
    if (m.space == Space::kRegister) return t.plus(reg(m.base), uint64_t(int64_t{m.offset}));
    return address_of(m.space, m.map, unsigned_offset(m));
  }
  // Every place that the address may lead to holds the bytes.
  Term all_inside(Term address, unsigned bytes) const {
    Term all = t.truth();
    for (const Place& place : places(s, p.path, before.world, address))
      all = t.both(all, t.either(t.negate(place.condition), inside(s, before.world, place, bytes)));
    return all;
  }
  // The state whose memory the operation form sees.
  template <class Form>
  const Core& seen_by() const {
    return kMemorySeenBy<Form> == Seen::kBeforeRow ? before : core;
  }
  template <class Form>
  Term bytes_at(const Form&, Term address, unsigned bytes) const {
    const Core& seen = seen_by<Form>();
    return t.extract(load(s, p.path, seen.world, seen.stack, address, bytes), 0, 8 * bytes);
  }

  void operator()(const Nop&) {}
  void operator()(const Alu& o) {
    Term a = reg(o.a), b = value(o.b);
    if (o.op == AluOp::kReverseSub) std::swap(a, b);
    set(o.dst, alu(t, binary(o.op), o.width, a, b));
  }
  void operator()(const Move& o) { set(o.dst, alu(t, BinaryOp::kMov, o.width, number(0), value(o.src))); }
  void operator()(const MoveHigh& o) {
    set(o.dst, t.concat({t.constant(32, uint32_t(o.imm)), t.extract(reg(o.a), 0, 32)}));
  }
  void operator()(const SignExtend& o) {
    set(o.dst, t.zext(t.sext(t.extract(reg(o.src), 0, o.bits), unsigned(o.width)), 64));
  }
  void operator()(const Swap& o) { set(o.dst, t.zext(swap_bytes(t, t.extract(reg(o.src), 0, o.bits)), 64)); }
  void operator()(const FoldSum& o) {
    Term sum = t.extract(t.add(reg(o.a), value(o.b)), 0, 32);
    for (int i = 0; i < 2; i++) sum = t.add(t.zext(t.extract(sum, 0, 16), 32), t.zext(t.extract(sum, 16, 16), 32));
    Term low = t.extract(sum, 0, 16);
    if (o.invert) low = t.bitwise(Kind::kXor, low, t.constant(16, 0xffff));
    set(o.dst, t.zext(low, 64));
  }
  void operator()(const Select& o) {
    const Term c = compare(t, o.op, Width::k64, reg(o.a), number(uint64_t(int64_t{o.b})));
    set(o.dst, t.ite(c, reg(o.value), reg(o.dst)));
  }
  void operator()(const Address& o) { set(o.dst, address_of(o.space, o.map, uint64_t(int64_t{o.offset}))); }
  void operator()(const Load& o) {
    const Term address = address_of(o.from);
    const unsigned n = o.from.bytes;
    const Term in = all_inside(address, n);
    if (!o.speculative && !require(in, "load", "a load may lie outside its memory")) return;
    // Loads of the context's packet fields give addresses, whole.
    if (o.from.space == Space::kContext && unsigned_offset(o.from) < 12)
      throw GiveUp{"a context load of a packet bound"};
    Term v = bytes_at(o, address, n);
    if (o.big_endian) v = swap_bytes(t, v);
    v = o.sign_extend ? t.sext(v, 64) : t.zext(v, 64);
    set(o.dst, o.speculative ? t.ite(in, v, number(0)) : v);
  }
  void store_at(const MemoryOperand& to, Term v) {
    const Term address = address_of(to);
    if (!require(all_inside(address, to.bytes), "store", "a store may lie outside its memory")) return;
    store(s, p.path, core.world, core.stack, address, v);
  }
  void operator()(const Store& o) {
    const Term v = t.extract(value(o.src), 0, 8 * o.to.bytes);
    store_at(o.to, o.big_endian ? swap_bytes(t, v) : v);
  }
  void operator()(const AddMemory& o) {
    store_at(o.to, t.add(bytes_at(o, address_of(o.to), o.to.bytes), t.extract(value(o.src), 0, 8 * o.to.bytes)));
  }
  void operator()(const Atomic& o) {
    const unsigned w = 8 * o.to.bytes;
    const Term old = bytes_at(o, address_of(o.to), o.to.bytes);
    store_at(o.to, atomic_result(t, o.op, old, t.extract(reg(o.src), 0, w), t.extract(reg(o.expected), 0, w)));
    if (o.fetch) set(o.dst, t.zext(old, 64));
  }
  void operator()(const Branch&) {}
  void operator()(const BranchPacket&) {}
  void operator()(const Goto&) {}
  void operator()(const Call& o) {
    const Term result = make_call(s.image.call_sites[o.site]);
    if (o.has_result && !failed) set(o.dst, result);
  }
  void operator()(const CallExit& o) {
    core.verdict = t.extract(make_call(s.image.call_sites[o.site]), 0, 32);
    core.done = true;
  }
  void operator()(const Exit& o) { core.verdict = t.constant(32, o.verdict), core.done = true; }
  void operator()(const ExitRegister& o) { core.verdict = t.extract(reg(o.src), 0, 32), core.done = true; }

  CallArgument argument(const Argument& a) const {
    switch (a.kind) {
      case Argument::Kind::kNone:
        return {number(0)};
      case Argument::Kind::kRegister:
        return {reg(a.reg)};
      case Argument::Kind::kConstant:
        return {number(uint64_t(a.value))};
      case Argument::Kind::kStack:
        return {t.plus(s.core_stack, uint64_t(a.value))};
      case Argument::Kind::kPacket:
        return {t.plus(before.world.data, uint64_t(a.value))};
      case Argument::Kind::kContext:
        return {t.plus(s.context, uint64_t(a.value))};
      case Argument::Kind::kMap:
        return {s.maps.at(a.map)};
      case Argument::Kind::kMapValue:
        return {t.plus(s.first_values.at(a.map), uint64_t(a.value))};
      case Argument::Kind::kRegisterBytes:
        return {reg(a.reg), true};
      case Argument::Kind::kConstantBytes:
        return {number(uint64_t(a.value)), true};
    }
    return {};
  }
  CallView view(const CallSite& site) const {
    CallArguments args;
    for (size_t i = 0; i < 5; i++) args[i] = argument(site.args[i]);
    const Core& seen = seen_by<Call>();
    static_assert(kMemorySeenBy<Call> == kMemorySeenBy<CallExit>);
    return view_call(s, p.path, site.helper, args, seen.world, seen.stack);
  }
  Term make_call(const CallSite& site) {
    const CallView seen = view(site);
    const std::string name = fmt::format("call {}", arch::ebpf::helper_name(site.helper));
    if (!require(seen.fits, name.c_str(), "an argument may lie outside its memory")) return number(0);
    if (seen.pure) return seen.result;
    const EventPtr event = p.pending.front();
    if (!judge.require(p, event->slot, same_call(seen, *event), name, difference(seen, *event))) {
      failed = true;
      return number(0);
    }
    p.pending.pop_front();
    leave(s, p.path, seen, *event, core.world, core.stack);
    return event->result;
  }
  Term same_call(const CallView& seen, const Event& event) const {
    if (seen.helper != event.helper || seen.inputs.size() != event.inputs.size()) return t.falsity();
    Term all = t.truth();
    for (size_t i = 0; i < seen.inputs.size(); i++) {
      if (t.width(seen.inputs[i]) != t.width(event.inputs[i])) return t.falsity();
      all = t.both(all, t.eq(seen.inputs[i], event.inputs[i]));
    }
    const World& theirs = event.before;
    if (seen.sees_packet || seen.sees_everything)
      all = t.both(all, t.both(same(t, core.world.packet, theirs.packet), t.eq(core.world.data, theirs.data)));
    for (size_t m = 0; m < core.world.values.size(); m++) {
      const bool sees = std::find(seen.sees_values.begin(), seen.sees_values.end(), m) != seen.sees_values.end();
      if (sees || seen.sees_everything || s.one_value_space)
        all = t.both(all, same(t, core.world.values[m], theirs.values[m]));
    }
    if (seen.sees_everything) all = t.both(all, same(t, core.world.heap, theirs.heap));
    return all;
  }
  std::string difference(const CallView& seen, const Event& event) const {
    if (seen.helper != event.helper)
      return fmt::format("the program calls {} at slot {}, the image calls {}", arch::ebpf::helper_name(event.helper),
                         event.slot, arch::ebpf::helper_name(seen.helper));
    for (size_t i = 0; i < std::min(seen.inputs.size(), event.inputs.size()); i++) {
      if (seen.inputs[i] != event.inputs[i])
        return fmt::format("what it is called with differs: {} in the program, {} in the image",
                           t.to_text(event.inputs[i], 3), t.to_text(seen.inputs[i], 3));
    }
    return "memory that it sees differs";
  }

  // Lane whose branch or exit is taken (kNoLane: none), or an undecided condition.
  std::optional<Advance> find_end(uint32_t& end) {
    end = kNoLane;
    for (uint32_t lane = 0; lane < s.image.parameters.lanes; lane++) {
      const Op& op = bundle.lanes[lane];
      Term condition = 0;
      if (const auto* o = std::get_if<Branch>(&op)) {
        condition = compare(t, o->op, o->width, reg(o->a), value(o->b));
      } else if (const auto* o = std::get_if<BranchPacket>(&op)) {
        condition = t.ult(before.world.length, number(o->bytes));
        if (o->at_least) condition = t.negate(condition);
      } else if (ends_row(op)) {
        end = lane;
        return std::nullopt;
      } else {
        continue;
      }
      const int known = judge.decide(p.path, condition);
      if (known < 0) return Advance{Advance::Why::kBranch, condition};
      if (known == 1) {
        end = lane;
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  std::optional<Advance> run() {
    uint32_t end;
    if (auto stop = find_end(end)) return stop;
    for (uint32_t lane = 0; lane < s.image.parameters.lanes && (end == kNoLane || lane <= end); lane++) {
      const Op& op = bundle.lanes[lane];
      const CallSite* site = nullptr;
      if (const auto* call = std::get_if<Call>(&op)) site = &s.image.call_sites[call->site];
      if (const auto* call = std::get_if<CallExit>(&op)) site = &s.image.call_sites[call->site];
      if (site && p.pending.empty() && !view(*site).pure) {
        core = before;
        if (!p.bytecode.done) return Advance{Advance::Why::kEvent};
        require(
            t.falsity(), "call",
            fmt::format("the image calls {} once more than the program does", arch::ebpf::helper_name(site->helper)));
        return Advance{Advance::Why::kFailed};
      }
      std::visit(*this, op);
      if (failed) return Advance{Advance::Why::kFailed};
    }
    if (core.done) return std::nullopt;
    const int64_t target = end == kNoLane ? int64_t{before.row} + 1 : branch_target(bundle.lanes[end]);
    core.row = Row(target);
    return std::nullopt;
  }
};

}  // namespace

Advance advance(const Setting& s, Judge& judge, Product& state, const std::function<bool(Row)>& hold) {
  while (!state.core.done) {
    if (state.core.row >= s.image.rows.size()) throw GiveUp{"the image runs past its end"};
    if (judge.out_of_budget()) throw GiveUp{"the budget is spent"};
    if (hold(state.core.row)) return {Advance::Why::kHeld};
    RowStepper stepper{s, judge, state, state.core};
    if (auto stop = stepper.run()) return *stop;
  }
  return {Advance::Why::kDone};
}

}  // namespace xnic::compile::prove
