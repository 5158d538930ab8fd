// SPDX-License-Identifier: Apache-2.0
// Facts: the join of all states walked, then a repair for what pruning skipped.
//
// Why the repaired facts are sound. A concrete run follows the walk until a pruning point where state S was pruned by
// T. From there it follows T's walk, for every decision of that walk depended only on what T and S agree on
// (prune.cpp). Types, pointer offsets, and scalars that T's walk depended on (precise) of S lie inside T's. What may
// differ are scalars that nothing depended on: the comparison let them pass outside T's range. Each such register, or
// spilled value, is put in doubt at the pruning point, and doubt flows forward with the data: to what is computed from
// a doubtful register, to what a comparison with a doubtful register narrowed, through stores to and loads from the
// stack, into and out of functions. With it flows the range of what the pruned paths bring, computed as the walk
// computes, but never narrowed by a comparison; the doubtful scalar's fact is widened by it. A register that
// comparisons narrowed together with a doubtful one is in doubt by all that it was before them. The flow is a fixpoint
// over the static graph, which contains every path, so no concrete value escapes; a range that keeps growing becomes
// every value, so that the fixpoint is reached. Dead registers are given as kUnset. What was proved of the packet's
// length flows forward in the same way, as a minimum.
#include "compile/verify/facts_join.hpp"

#include <algorithm>
#include <deque>

#include "compile/verify/range.hpp"

namespace xnic::compile::verify {
namespace {

constexpr uint16_t kSaved = 0b1111000000;  // r6-r9
constexpr uint16_t kArguments = 0b111110;
constexpr uint8_t kPatience = 8;  // times that a doubtful range may grow at an instruction

uint16_t bit(Reg reg) { return static_cast<uint16_t>(1u << index(reg)); }

RegFact fact_of(const Program& program, const Register& reg, bool anonymous) {
  RegFact fact;
  fact.maybe_null = reg.maybe_null;
  const bool own_map = reg.spec && reg.map < program.maps.size() && reg.spec == &program.maps[reg.map];
  switch (reg.kind) {
    case Kind::kUnset:
      return fact;
    case Kind::kScalar:
      fact.type = RegType::kScalar;
      fact.range = reg.var;
      return fact;
    case Kind::kContext:
      fact.type = RegType::kContext;
      break;
    case Kind::kPacket:
      fact.type = RegType::kPacket;
      break;
    case Kind::kPacketMeta:
      fact.type = RegType::kPacketMeta;
      break;
    case Kind::kPacketEnd:
      fact.type = RegType::kPacketEnd;
      break;
    case Kind::kStack:
      fact.type = RegType::kStack;
      fact.frame = anonymous ? kAnyFrame : reg.frame;
      break;
    case Kind::kMap:
      fact.type = own_map ? RegType::kMap : RegType::kOther;
      fact.map = own_map ? reg.map : 0;
      break;
    case Kind::kMapValue:
      fact.type = own_map && !reg.spec->inner ? RegType::kMapValue : RegType::kOther;
      fact.map = own_map ? reg.map : 0;
      break;
    case Kind::kMemory:
      fact.type = RegType::kMemory;
      fact.mem_size = reg.mem_size;
      break;
    case Kind::kFunction:
      fact.type = RegType::kFunction;
      break;
    default:
      fact.type = RegType::kOther;
      break;
  }
  fact.range = apply(BinaryOp::kAdd, Width::k64, reg.var, Range::constant(static_cast<uint64_t>(int64_t{reg.offset})));
  return fact;
}

void join_fact(RegFact& into, const RegFact& other) {
  if (into.type == RegType::kUnset || into.type == RegType::kMixed) return;
  if (other.type == RegType::kUnset) {
    into = other;
    return;
  }
  const bool map_matters = into.type == RegType::kMap || into.type == RegType::kMapValue;
  if (into.type != other.type || (map_matters && into.map != other.map)) {
    into = RegFact{};
    into.type = RegType::kMixed;
    return;
  }
  into.maybe_null |= other.maybe_null;
  if (into.frame != other.frame) into.frame = kAnyFrame;
  into.mem_size = std::min(into.mem_size, other.mem_size);
  if (!(into.range == other.range)) into.range = join(into.range, other.range);
}

}  // namespace

FactsJoin::FactsJoin(const Program& program, const Flow& flow)
    : program_(program),
      flow_(flow),
      insns_(program.insns.size()),
      doubts_(program.insns.size()),
      links_(program.insns.size()) {}

void FactsJoin::visit(Slot slot, const State& state, bool anonymous) {
  InsnFacts& facts = insns_[slot];
  const Frame& frame = state.top();
  const bool unknown_depth = anonymous || state.frames.front().asynchronous;
  for (size_t r = 0; r < kRegCount; ++r) {
    const bool live = r == 10 || ((flow_.live[slot] >> r) & 1);
    const RegFact fact = live ? fact_of(program_, frame.regs[r], unknown_depth) : RegFact{};
    if (facts.reached)
      join_fact(facts.regs[r], fact);
    else
      facts.regs[r] = fact;
  }
  facts.packet_bytes = facts.reached ? std::min(facts.packet_bytes, state.packet_bytes) : state.packet_bytes;
  facts.packet_meta_bytes =
      facts.reached ? std::min(facts.packet_meta_bytes, state.packet_meta_bytes) : state.packet_meta_bytes;
  facts.reached = true;
}

void FactsJoin::Doubt::put(size_t reg, const Range& range) {
  regs |= static_cast<uint16_t>(1u << reg);
  ranges[reg] = range;
}

bool FactsJoin::Doubt::absorb(const Doubt& other) {
  if (!other.reached) return false;
  bool changed = (stack != other.stack && other.stack) || !reached || packet_bytes > other.packet_bytes ||
                 packet_meta_bytes > other.packet_meta_bytes;
  for (size_t r = 0; r < kRegCount; ++r) {
    if (!((other.regs >> r) & 1)) continue;
    const bool fresh = !((regs >> r) & 1);
    if (!fresh && subsumes(ranges[r], other.ranges[r])) continue;
    const Range wider = fresh ? other.ranges[r] : join(ranges[r], other.ranges[r]);
    put(r, ++grown[r] > kPatience ? widen_unknown() : wider);
    changed = true;
  }
  stack |= other.stack;
  reached = true;
  packet_bytes = std::min(packet_bytes, other.packet_bytes);
  packet_meta_bytes = std::min(packet_meta_bytes, other.packet_meta_bytes);
  return changed;
}

void FactsJoin::pruned(Slot slot, uint16_t regs, bool stack, const State& state) {
  Doubt doubt;
  for (size_t r = 0; r < kRegCount; ++r)
    if ((regs >> r) & 1) doubt.put(r, state.top().regs[r].var);
  doubt.stack = stack;
  doubt.reached = true;
  doubt.packet_bytes = state.packet_bytes, doubt.packet_meta_bytes = state.packet_meta_bytes;
  doubts_[slot].absorb(doubt);
}

void FactsJoin::linked(Slot slot, uint16_t regs, bool stack) {
  links_[slot].regs |= regs;
  links_[slot].stack |= stack;
}

std::optional<Range> FactsJoin::values(Slot slot, const Doubt& doubt, size_t reg) const {
  const RegFact& fact = insns_[slot].regs[reg];
  if (fact.type != RegType::kScalar) return std::nullopt;
  return (doubt.regs >> reg) & 1 ? join(fact.range, doubt.ranges[reg]) : fact.range;
}

// What an instruction makes of its operands, one of which is in doubt.
Range FactsJoin::computed(Slot slot, const Doubt& doubt) const {
  const auto of = [&](Reg reg) { return values(slot, doubt, static_cast<size_t>(index(reg))); };
  const Instruction& insn = program_.insns[slot];
  std::optional<Range> result;
  if (const auto* binary = std::get_if<Binary>(&insn)) {
    const auto* value = std::get_if<Imm>(&binary->src);
    const std::optional<Range> right =
        value ? Range::constant(static_cast<uint64_t>(int64_t{*value})) : of(std::get<Reg>(binary->src));
    const std::optional<Range> left = binary->op == BinaryOp::kMov ? right : of(binary->dst);
    if (left && right) result = apply(binary->op, binary->width, *left, *right);
  } else if (const auto* extend = std::get_if<MovSx>(&insn)) {
    if (const auto from = of(extend->src)) result = sign_extend(extend->width, extend->bits, *from);
  } else if (const auto* negated = std::get_if<Neg>(&insn)) {
    if (const auto from = of(negated->dst)) result = negate(negated->width, *from);
  } else if (const auto* swapped = std::get_if<Swap>(&insn)) {
    if (const auto from = of(swapped->dst)) result = swap(swapped->kind, swapped->bits, *from);
  }
  return result.value_or(widen_unknown());
}

// Doubt after the instruction, inside the same function.
FactsJoin::Doubt FactsJoin::transfer(Slot slot, Doubt doubt) const {
  auto assign = [&](Reg dst, bool doubtful, const Range& range) {
    doubt.regs &= static_cast<uint16_t>(~bit(dst));
    if (doubtful) doubt.put(static_cast<size_t>(index(dst)), range);
  };
  auto may_be_stack = [&](Reg base) {
    const RegType type = insns_[slot].regs[static_cast<size_t>(index(base))].type;
    return type == RegType::kStack || type == RegType::kMixed;
  };
  const Instruction& insn = program_.insns[slot];
  if (std::holds_alternative<Jump>(insn)) {
    const Linked& group = links_[slot];
    if ((doubt.regs & group.regs) || (doubt.stack && group.stack)) {
      for (size_t r = 0; r < kRegCount; ++r)
        if ((group.regs >> r) & 1) doubt.put(r, values(slot, doubt, r).value_or(widen_unknown()));
      doubt.stack |= group.stack;
    }
  } else if (const auto* load = std::get_if<Load>(&insn)) {
    assign(load->dst, doubt.stack && may_be_stack(load->src), loaded(bytes(load->size), load->sign_extend));
  } else if (const auto* store = std::get_if<Store>(&insn)) {
    const Reg* src = std::get_if<Reg>(&store->src);
    if (src && (doubt.regs & bit(*src)) && may_be_stack(store->dst)) doubt.stack = true;
  } else if (const auto* atomic = std::get_if<Atomic>(&insn)) {
    const Range any = widen_unknown();
    if (atomic->op == AtomicOp::kLoadAcquire) assign(atomic->dst, doubt.stack && may_be_stack(atomic->src), any);
    if (atomic->op == AtomicOp::kStoreRelease && (doubt.regs & bit(atomic->src)) && may_be_stack(atomic->dst))
      doubt.stack = true;
    const bool fetches_doubt = doubt.stack && may_be_stack(atomic->dst);
    if (atomic->op == AtomicOp::kCmpxchg)
      assign(Reg::kR0, fetches_doubt, any);
    else if (atomic->fetch)
      assign(atomic->src, fetches_doubt, any);
  } else {
    const RegisterUse use = register_use(insn);
    const bool call = std::holds_alternative<CallHelper>(insn) || std::holds_alternative<CallLocal>(insn);
    const bool any = !call && (doubt.regs & use.uses);
    const Range result = any ? computed(slot, doubt) : Range{};
    doubt.regs &= static_cast<uint16_t>(~use.defs);
    for (size_t r = 0; any && r < kRegCount; ++r)
      if ((use.defs >> r) & 1) doubt.put(r, result);
  }
  return doubt;
}

void FactsJoin::spread() {
  const Slot count = static_cast<Slot>(program_.insns.size());
  std::deque<Slot> work;
  for (Slot slot = 0; slot < count; ++slot)
    if (doubts_[slot].reached) work.push_back(slot);
  // Where each subprogram's exits return to, and the functions that helpers may call.
  std::vector<std::vector<Slot>> returns(program_.subprograms.size());
  std::vector<Slot> callbacks, callback_sites;
  for (Slot slot = 0; slot < count; ++slot) {
    if (const auto* call = std::get_if<CallLocal>(&program_.insns[slot]))
      returns[flow_.subprogram[call->target]].push_back(slot + 1);
    if (const auto* load = std::get_if<LoadFunction>(&program_.insns[slot])) callbacks.push_back(load->target);
    if (flow_.calls_callback[slot]) callback_sites.push_back(slot);
  }
  for (Slot entry : callbacks)
    for (Slot site : callback_sites) returns[flow_.subprogram[entry]].push_back(site);

  auto flow_to = [&](Slot to, const Doubt& doubt) {
    if (to < count && doubts_[to].absorb(doubt)) work.push_back(to);
  };
  while (!work.empty()) {
    const Slot slot = work.front();
    work.pop_front();
    const Doubt before = doubts_[slot];
    const Doubt after = transfer(slot, before);
    std::array<Slot, 2> next{};
    for (int i = successors(program_, slot, next); i-- > 0;) flow_to(next[static_cast<size_t>(i)], after);
    // A callee's doubt about `stack` includes the registers that its callers have saved.
    Doubt inside = before;
    inside.stack = before.stack || (before.regs & kSaved);
    if (const auto* call = std::get_if<CallLocal>(&program_.insns[slot])) {
      inside.regs = before.regs & kArguments;
      flow_to(call->target, inside);
    } else if (flow_.calls_callback[slot]) {
      inside.regs = 0;
      inside.stack = before.stack || before.regs != 0;
      for (Slot entry : callbacks) flow_to(entry, inside);
    } else if (std::holds_alternative<Exit>(program_.insns[slot])) {
      Doubt outside = before;
      outside.regs = before.regs & bit(Reg::kR0);
      for (size_t r = 1; before.stack && r < 10; ++r) outside.put(r, widen_unknown());
      for (Slot to : returns[flow_.subprogram[slot]]) flow_to(to, outside);
    }
  }
}

std::vector<InsnFacts> FactsJoin::finish() {
  spread();
  for (Slot slot = 0; slot < insns_.size(); ++slot) {
    InsnFacts& facts = insns_[slot];
    facts.upper_live = flow_.upper_live[slot];
    const Doubt& doubt = doubts_[slot];
    if (!facts.reached || !doubt.reached) continue;
    facts.packet_bytes = std::min(facts.packet_bytes, doubt.packet_bytes);
    facts.packet_meta_bytes = std::min(facts.packet_meta_bytes, doubt.packet_meta_bytes);
    for (size_t r = 0; r < kRegCount; ++r)
      if (((doubt.regs >> r) & 1) && facts.regs[r].type == RegType::kScalar)
        facts.regs[r].range = join(facts.regs[r].range, doubt.ranges[r]);
  }
  return std::move(insns_);
}

}  // namespace xnic::compile::verify
