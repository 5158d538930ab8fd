// SPDX-License-Identifier: Apache-2.0
// Ways into merges. The first way decides where the merge finds its values; every other way moves them there. Rows read
// old values, so moves of one row are done at once; more of them go in an order that overwrites nothing still to be
// read, and a cycle that fits no row is undone by exchanges.
#include <algorithm>

#include "compile/target/hxdp/scheduler.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;
using opt::Block;

namespace {
constexpr uint32_t kMoveSequence = ~0u - 1;  // in lanes above the row's branches, which cancel them when taken
constexpr uint32_t kGotoSequence = ~0u;
bool fits(uint64_t value) { return value == uint64_t(int64_t(int32_t(value))); }
}  // namespace

// The way from `from` to block `to`: falls through to it if it comes now for the first time, else moves values where it
// has them and goes there.
void Scheduler::hand_over(BlockId from, BlockId to) {
  snapshot();
  const Block &b = graph_.blocks[from], &target = graph_.blocks[to];
  State& entry = entries_[to];
  const bool first = !entry.set;
  if (first) settle(from, to);
  if (out_of_registers_) return;
  Moves list;
  for (uint32_t r = 0; r < kRegisters; r++) {
    NodeId value = entry.held[r];
    if (value == kNone) continue;
    for (size_t i = 0; i < target.phis.size(); i++) {
      if (target.phis[i] == value) value = b.args[i];
    }
    if (state_.held[r] != value) list.push_back({Reg(r), value});
  }
  store_spilled(from, to);
  if (out_of_registers_) return;
  if (!list.empty()) moves(std::move(list));
  if (first) {
    queue_.push_back(to);
    falls_to_ = to;
    return;
  }
  if (room() == 0) flush();
  placed_.push_back({Goto{0}, b.end_slot, kGotoSequence, to});
}

// Decides where the merge finds its values: they stay where they are; a phi takes over its argument's register when
// nothing else needs the argument.
void Scheduler::settle(BlockId from, BlockId to) {
  const Block &b = graph_.blocks[from], &target = graph_.blocks[to];
  State& entry = entries_[to];
  // What a goto to a merge needs is the phis' arguments, too; those the merge itself has no use for.
  const std::set<NodeId> needed =
      demand_.frontier(target.merge || b.end != Block::End::kGoto ? demand_.direct(to) : demand_.at_goto(from), state_);
  reserved_.clear();
  entry.set = true;
  entry.spilled = state_.spilled;
  std::erase_if(entry.spilled, [&](NodeId node) { return !needed.count(node); });
  for (uint32_t r = 0; r < kRegisters; r++) {
    entry.held[r] = state_.held[r] != kNone && needed.count(state_.held[r]) ? state_.held[r] : kNone;
  }
  // One register stays free, for moves from stack slot to stack slot.
  if (std::find(entry.held.begin(), entry.held.end(), kNone) == entry.held.end()) {
    const auto cheap = std::find_if(entry.held.begin(), entry.held.end(), [&](NodeId node) { return remade(node); });
    NodeId& out = cheap != entry.held.end() ? *cheap : entry.held.back();
    if (!remade(out) && !state_.is_spilled(out) && !slot_for(out)) return;
    if (!entry.is_spilled(out)) entry.spilled.push_back(out);
    reserved_.push_back(out);
    out = kNone;
  }
  for (size_t i = 0; i < target.phis.size(); i++) {
    const NodeId phi = target.phis[i];
    const int at = state_.find(b.args[i]);
    auto place = entry.held.end();
    if (at >= 0 && entry.held[size_t(at)] == kNone) place = entry.held.begin() + at;
    if (place == entry.held.end()) place = std::find(entry.held.begin(), entry.held.end(), kNone);
    if (std::count(entry.held.begin(), entry.held.end(), kNone) > 1) {
      *place = phi;
    } else {  // no register is left: the phi lives in a stack slot
      if (!slot_for(phi)) return;
      entry.spilled.push_back(phi);
      reserved_.push_back(phi);
    }
  }
}

// Values that the target has in stack slots go there from their registers.
void Scheduler::store_spilled(BlockId from, BlockId to) {
  const Block &b = graph_.blocks[from], &target = graph_.blocks[to];
  for (NodeId node : entries_[to].spilled) {
    NodeId value = node;
    if (const auto at = std::find(target.phis.begin(), target.phis.end(), node); at != target.phis.end())
      value = b.args[size_t(at - target.phis.begin())];
    if (value == node && (state_.is_spilled(node) || remade(node))) continue;
    for (NodeId other : state_.spilled) {
      // Another value sits in that slot; if somebody still needs it, this way cannot be taken.
      if (other == node || remade(other) || spill_slot_.at(other) != spill_slot_.at(node)) continue;
      const auto& wanted = entries_[to];
      const bool needed = wanted.has(other) || std::find(b.args.begin(), b.args.end(), other) != b.args.end();
      if (needed) out_of_registers_ = true;
    }
    if (out_of_registers_) return;
    store_value(value, spill_memory(node), from, to);
  }
}

// Puts a value into a stack slot, from wherever it is.
void Scheduler::store_value(NodeId value, const Memory& slot, BlockId from, BlockId to) {
  const auto store = [&](const Memory& at, Operand source) {
    while (room() == 0) flush();
    place(Store{at, source, false}, kMoveSequence);
  };
  if (graph_.is_const(value)) {
    const uint64_t c = graph_.const_of(value);
    if (fits(c)) return store(slot, Imm(c));
    for (int16_t half : {0, 4})
      store({slot.space, 0, 0, 4, int16_t(slot.offset + half)}, Imm(uint32_t(c >> (8 * half))));
    return;
  }
  if (state_.find(value) < 0) {
    // From its own slot, through a register that neither the merge nor a move needs.
    const auto& args = graph_.blocks[from].args;
    uint32_t r = 0;
    while (r < kRegisters && state_.held[r] != kNone &&
           (entries_[to].has(state_.held[r]) || std::find(args.begin(), args.end(), state_.held[r]) != args.end()))
      r++;
    if (r == kRegisters) {
      out_of_registers_ = true;
      return;
    }
    while (room() == 0 || (written_ >> r & 1)) flush();
    place(fetch(value, Reg(r)), kMoveSequence);
    written_ |= 1u << r;
    state_.held[r] = value;
    ready_row_[value] = row_ + rows_for(1);
  }
  while (ready_row_[value] > row_) flush();
  store(slot, reg(value));
}

// Moves that this row can do: their sources are ready, nothing else writes the register in this row, and nobody that is
// left behind reads it.
std::vector<size_t> Scheduler::movable(const Moves& list) const {
  std::vector<size_t> ready, chosen;
  for (size_t i = 0; i < list.size(); i++) {
    const int from = source(list[i].second);
    if ((written_ >> list[i].first & 1) == 0 && (from < 0 || ready_row_[list[i].second] <= row_)) ready.push_back(i);
  }
  const auto has = [](const std::vector<size_t>& set, size_t i) {
    return std::find(set.begin(), set.end(), i) != set.end();
  };
  for (bool more = true; more && chosen.size() < room();) {
    more = false;
    for (size_t i : ready) {
      if (has(chosen, i) || chosen.size() == room()) continue;
      bool free = true;
      for (size_t k = 0; k < list.size(); k++) {
        if (k != i && !has(chosen, k) && source(list[k].second) == list[i].first) free = false;
      }
      if (free) chosen.push_back(i), more = true;
    }
  }
  if (!chosen.empty() || room() == 0 || ready.size() != list.size()) return chosen;
  // Cycles only: one that fits the row.
  chosen = {0};
  while (source(list[chosen.back()].second) != list[0].first) {
    const int next = source(list[chosen.back()].second);
    size_t k = 0;
    while (list[k].first != next) k++;
    chosen.push_back(k);
  }
  if (chosen.size() > room()) chosen.clear();
  return chosen;
}

// Exchanges two registers; three rows with one lane. Pre: both are readable.
void Scheduler::swap_registers(Reg a, Reg b) {
  flush();
  if (lanes() >= 2) {
    place(Move{Width::k64, a, b}, kMoveSequence);
    place(Move{Width::k64, b, a}, kMoveSequence);
  } else {
    for (auto [to, from] : {std::pair{a, b}, std::pair{b, a}, std::pair{a, b}}) {
      place(Alu{AluOp::kXor, Width::k64, to, to, from}, kMoveSequence);
      flush();
    }
  }
  std::swap(state_.held[a], state_.held[b]);
  flush();
  if (image_.parameters.forwarding == Forwarding::kLane) flush();
}

// One row's worth of moves, or an exchange. False when the row has to be closed first.
bool Scheduler::step(Moves& list) {
  const std::vector<size_t> chosen = movable(list);
  if (chosen.empty()) {
    const bool waiting = std::any_of(list.begin(), list.end(), [&](const auto& move) {
      return source(move.second) >= 0 && ready_row_[move.second] > row_;
    });
    if (waiting || room() < lanes() || written_ != 0) return false;
    const Reg to = list[0].first, from = Reg(source(list[0].second));
    swap_registers(to, from);
    std::erase_if(list, [&](const auto& move) { return state_.held[move.first] == move.second; });
    return true;
  }
  State after = state_;
  for (size_t i : chosen) {
    const auto [dst, value] = list[i];
    if (graph_.is_const(value)) {
      place(lower(graph_, value, dst, false, [&](NodeId) { return dst; }, image_.call_sites), kMoveSequence);
    } else if (source(value) >= 0) {
      place(Move{Width::k64, dst, Reg(source(value))}, kMoveSequence);
    } else {
      place(fetch(value, dst), kMoveSequence);
    }
    after.held[dst] = value;
    written_ |= 1u << dst;
  }
  state_ = std::move(after);
  // A later move may find the value in its new register.
  if (image_.parameters.forwarding == Forwarding::kLane) {
    for (size_t i : chosen) ready_row_[list[i].second] = row_ + rows_for(1);
  }
  Moves rest;
  for (size_t i = 0; i < list.size(); i++) {
    if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) rest.push_back(list[i]);
  }
  list = std::move(rest);
  return true;
}

// Constants that take two operations, when nothing reads the old values of their registers any more.
void Scheduler::wide_constants(const Moves& list) {
  const auto each = [&](auto&& make) {
    for (auto [dst, value] : list) {
      while (room() == 0 || (written_ >> dst & 1)) flush();
      place(make(dst, graph_.const_of(value)), kMoveSequence);
      written_ |= 1u << dst;
      state_.held[dst] = value;
    }
  };
  each([](Reg dst, uint64_t value) { return Op(Move{Width::k32, dst, Imm(uint32_t(value))}); });
  if (!list.empty()) flush();
  if (!list.empty() && image_.parameters.forwarding == Forwarding::kLane) flush();
  each([](Reg dst, uint64_t value) { return Op(MoveHigh{dst, dst, Imm(value >> 32)}); });
}

// Parallel moves into registers; constants are made, spilled values loaded.
void Scheduler::moves(Moves list) {
  Moves wide;
  std::erase_if(list, [&](const auto& move) {
    const bool is_wide = graph_.is_const(move.second) && !fits(graph_.const_of(move.second)) &&
                         graph_.const_of(move.second) > 0xffffffff;
    if (is_wide) wide.push_back(move);
    return is_wide;
  });
  while (!list.empty()) {
    if (!step(list)) flush();
  }
  if (!wide.empty() && (written_ != 0 || image_.parameters.forwarding == Forwarding::kLane)) flush();
  wide_constants(wide);
}

}  // namespace xnic::compile::target::hxdp
