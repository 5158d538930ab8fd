// SPDX-License-Identifier: Apache-2.0
// List scheduling, row by row, with registers assigned as operations issue.
//
// Within a row, values come first (their results reach the targets of the row's branches), then pinned operations in
// program order. A register is free when its value is dead: not needed by an unissued operation, nor by the target of a
// branch that has not issued or issues in this row. When nothing can issue for want of a register, a value goes to a
// stack slot.
//
// Operations without operands (loads, constants) may issue early and then hold registers for long. Where that leads to
// values in stack slots, the graph is scheduled again with some registers kept free of them, and the fewest rows win.
#include "compile/target/hxdp/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.hpp"
#include "compile/opt/lift.hpp"
#include "compile/target/hxdp/region.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;
using opt::Block;
using opt::Effect;
using opt::EffectKind;
using opt::Node;
using opt::NodeKind;

namespace {

struct Placed {  // an operation in a row under construction
  Op op;
  uint32_t slot;
  uint32_t sequence;  // 0: value
  BlockId target;     // of a branch, or kNone
};

class Scheduler {
 public:
  Scheduler(Graph& graph, const ScheduleOptions& options, uint32_t free_stack, uint32_t reserve, Image& image)
      : graph_(graph),
        options_(options),
        image_(image),
        demand_(graph, entries_),
        spill_slots_(free_stack / 8),
        reserve_(reserve) {
    entries_.resize(graph.blocks.size());
    row_of_.assign(graph.blocks.size(), kNone);
  }
  base::Result<void> run();
  bool spilled() const { return !spill_slot_.empty(); }

 private:
  base::Result<void> region(BlockId head);
  bool issue_row(Region& region);
  bool can_issue(const Region& region, const Item& item) const;
  void issue(Region& region, Item& item);
  int take_register(const Region& region);
  uint32_t free_registers(const Region& region) const;
  std::set<NodeId> live(const Region& region) const;
  bool spill(const Region& region);
  bool slot_for(NodeId node);
  Memory spill_memory(NodeId node) const { return {Space::kStack, 0, 0, 8, int16_t(spill_slot_.at(node) * 8)}; }
  void want_reloads(Region& region);
  void snapshot(const Region& region);
  void flush();
  void finish(Region& region, Item& end);
  void hand_over(BlockId from, BlockId to);
  void moves(std::vector<std::pair<Reg, NodeId>> list);
  uint32_t lanes() const { return image_.parameters.lanes; }
  int rows_for(int rows) const { return rows == 1 && image_.parameters.forwarding == Forwarding::kLane ? 2 : rows; }
  bool ready(NodeId node) const { return ready_row_[node] <= row_; }
  Reg reg(NodeId node) const {
    const int r = state_.find(node);
    CHECK(r >= 0);
    return Reg(r);
  }

  Graph& graph_;
  const ScheduleOptions& options_;
  Image& image_;
  std::vector<State> entries_;
  Demand demand_;
  uint32_t spill_slots_;
  uint32_t reserve_;  // registers that operations without operands leave free
  std::map<NodeId, uint32_t> spill_slot_;
  std::vector<uint32_t> row_of_;                                      // by block
  std::vector<std::pair<std::pair<Row, uint32_t>, BlockId>> fixups_;  // (row, lane) of branches
  std::vector<BlockId> queue_;
  std::map<uint32_t, BlockId> shared_exits_;

  // The region being scheduled.
  State state_;
  std::vector<int> ready_row_;  // by node: first row that may read it
  int row_ = 0;                 // rows of this region so far
  std::vector<Placed> placed_;
  bool called_ = false;
  uint32_t written_ = 0;                            // registers written in this row
  std::set<NodeId> locked_;                         // needed by targets of this row's branches
  std::vector<std::pair<BlockId, uint32_t>> left_;  // this row's branches: exit block, sequence
  std::vector<std::pair<NodeId, uint32_t>> late_;   // results of this row's pinned operations: value, sequence
  BlockId falls_to_ = kNone;
  bool out_of_registers_ = false;
  int stuck_ = 0;  // rows without an operation, just before this one
};

base::Result<void> Scheduler::run() {
  queue_.push_back(0);
  entries_[0].set = true;
  ready_row_.assign(graph_.nodes.size(), 0);
  while (!queue_.empty()) {
    const BlockId head = queue_.back();
    queue_.pop_back();
    if (row_of_[head] != kNone) continue;
    const Block& b = graph_.blocks[head];
    // Exits without effects are equal when their verdicts are.
    const bool plain = options_.share_exits && head != 0 && falls_to_ != head && b.end == Block::End::kExit &&
                       b.effects.empty() && graph_.is_const(b.verdict);
    if (plain) {
      auto [shared, fresh] = shared_exits_.emplace(uint32_t(graph_.const_of(b.verdict)), head);
      if (!fresh) {
        row_of_[head] = row_of_[shared->second];
        continue;
      }
    }
    CHECK(falls_to_ == kNone || falls_to_ == head);
    falls_to_ = kNone;
    row_of_[head] = uint32_t(image_.rows.size());
    XNIC_TRY(region(head));
    if (image_.rows.size() > kMaxRows)
      return base::make_error(base::ErrorKind::kLimit, image_.program, "more than {} rows", kMaxRows);
  }
  for (auto [at, block] : fixups_) set_branch_target(image_.rows[at.first].lanes[at.second], row_of_[block]);
  if (image_.call_sites.size() > kMaxCallSites)
    return base::make_error(base::ErrorKind::kLimit, image_.program,
                            "{} different helper calls; the call table holds {}", image_.call_sites.size(),
                            kMaxCallSites);
  return {};
}

base::Result<void> Scheduler::region(BlockId head) {
  Region region(graph_, demand_, entries_, head, {options_.traces, options_.call_exit});
  state_ = entries_[head];
  row_ = 0;
  // With forwarding inside lanes only, what the row before wrote is not readable everywhere yet.
  const bool lane_only = image_.parameters.forwarding == Forwarding::kLane;
  std::fill(ready_row_.begin(), ready_row_.end(), lane_only && head != 0 ? 1 : 0);
  stuck_ = 0;
  // More than one lane needs: values only go to the stack and back.
  const int too_many = 2 * int(region.items.size()) + 100;
  while (region.items.back().row < 0 ||
         std::any_of(region.items.begin(), region.items.end(), [](const Item& i) { return i.row < 0; })) {
    want_reloads(region);
    if (issue_row(region)) {
      stuck_ = 0;
    } else if (++stuck_ > 3) {
      if (stuck_ > 40 || row_ > too_many || !spill(region)) {
        const opt::Slot slot = graph_.blocks[head].end_slot;
        return base::make_error(base::ErrorKind::kLimit, opt::source_of(graph_.program(), slot),
                                "more values are alive than {} registers and the free stack hold", kRegisters);
      }
    }
    flush();
    if (out_of_registers_) {
      const opt::Slot slot = graph_.blocks[region.path.back()].end_slot;
      return base::make_error(base::ErrorKind::kLimit, opt::source_of(graph_.program(), slot),
                              "more values are alive than {} registers and the free stack hold", kRegisters);
    }
  }
  return {};
}

// Issues what fits into the current row; false if nothing did.
bool Scheduler::issue_row(Region& region) {
  bool any = false;
  while (placed_.size() < lanes()) {
    std::vector<Item*> order;
    for (Item& item : region.items) {
      if (item.row < 0 && can_issue(region, item)) order.push_back(&item);
    }
    std::stable_sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
      return a->height != b->height ? a->height > b->height : a->pinned() > b->pinned();
    });
    bool issued = false;
    for (Item* item : order) {
      const bool defines = item->kind == Item::Kind::kPure || item->kind == Item::Kind::kReload ||
                           (item->kind == Item::Kind::kEffect && item->node != kNone);
      if (defines && take_register(region) < 0) continue;
      // The reserve yields when nothing else can issue.
      if (defines && item->needs.empty() && reserve_ > 0 && (any || stuck_ == 0) && free_registers(region) <= reserve_)
        continue;
      issue(region, *item);
      issued = any = true;
      break;
    }
    if (!issued) break;
  }
  return any;
}

bool Scheduler::can_issue(const Region& region, const Item& item) const {
  const bool calls = (item.kind == Item::Kind::kPure && graph_.node(item.node).kind == NodeKind::kCall) ||
                     (item.effect != 0 && graph_.effects[item.effect].kind == EffectKind::kCall);
  if (calls && called_) return false;
  for (NodeId need : item.needs) {
    if (state_.find(need) < 0 || ready_row_[need] > row_) return false;
  }
  for (const Item::Dep& dep : item.deps) {
    const Item& before = region.items[dep.item];
    if (before.row < 0 || before.row + rows_for(dep.rows) > row_) return false;
  }
  if (item.kind == Item::Kind::kBranch && !options_.parallel_branches && !left_.empty()) return false;
  if (item.kind == Item::Kind::kEnd) {
    for (const Item& other : region.items) {
      if (other.row < 0 && &other != &item) return false;
    }
    // Results of a taken way must be readable in its first row.
  }
  return true;
}

std::set<NodeId> Scheduler::live(const Region& region) const {
  std::set<NodeId> out = locked_;
  const Item* end = nullptr;
  std::set<NodeId> direct;
  for (const Item& item : region.items) {
    if (item.row >= 0) continue;
    out.insert(item.needs.begin(), item.needs.end());
    if (item.kind == Item::Kind::kBranch) {
      const auto more = demand_.direct(item.exit);
      direct.insert(more.begin(), more.end());
    }
    if (item.kind == Item::Kind::kEnd) end = &item;
  }
  const Block& last = graph_.blocks[region.path.back()];
  if (end != nullptr && last.end != Block::End::kExit) {
    const auto more = last.end == Block::End::kGoto ? demand_.at_goto(region.path.back()) : demand_.direct(last.next);
    direct.insert(more.begin(), more.end());
  }
  const auto kept = demand_.frontier(direct, state_);
  out.insert(kept.begin(), kept.end());
  return out;
}

// How many registers hold nothing that is needed.
uint32_t Scheduler::free_registers(const Region& region) const {
  const auto alive = live(region);
  uint32_t free = 0;
  for (uint32_t r = 0; r < kRegisters; r++) {
    const NodeId held = state_.held[r];
    const bool kept = held != kNone && (alive.count(held) || ready_row_[held] > row_);
    free += !kept && !(written_ >> r & 1);
  }
  return free;
}

// A register that nothing needs, or -1.
int Scheduler::take_register(const Region& region) {
  for (int pass = 0; pass < 2; pass++) {
    for (uint32_t r = 0; r < kRegisters; r++) {
      if (state_.held[r] == kNone && !(written_ >> r & 1)) return int(r);
    }
    if (pass > 0) break;
    const auto alive = live(region);
    for (NodeId& held : state_.held) {
      // What this row computed is needed, if at all, from the next row on.
      if (held != kNone && !alive.count(held) && ready_row_[held] <= row_) held = kNone;
    }
  }
  return -1;
}

void Scheduler::issue(Region& region, Item& item) {
  item.row = row_;
  const RegisterOf lookup = [&](NodeId node) { return reg(node); };
  Placed p{Nop{}, kNoSlot, item.sequence, kNone};
  const auto define = [&] {
    const int r = take_register(region);
    CHECK(r >= 0);
    return r;
  };
  const auto hold = [&](NodeId node, int r) {
    state_.held[size_t(r)] = node;
    ready_row_[node] = row_ + rows_for(1);
    written_ |= 1u << r;
  };
  switch (item.kind) {
    case Item::Kind::kPure: {
      const Node& n = graph_.node(item.node);
      // The operands' registers are looked up before the result takes one, which may be one of theirs.
      std::vector<std::pair<NodeId, Reg>> operands;
      for (NodeId need : item.needs) operands.push_back({need, reg(need)});
      const int r = define();
      const RegisterOf early = [&](NodeId node) {
        for (auto [need, at] : operands) {
          if (need == node) return at;
        }
        CHECK(false);
        return Reg(0);
      };
      p.op = lower(graph_, item.node, Reg(r), true, early, image_.call_sites);
      p.slot = n.slot;
      called_ |= n.kind == NodeKind::kCall;
      hold(item.node, r);
      break;
    }
    case Item::Kind::kReload: {
      const int r = define();
      const auto at = int16_t(spill_slot_.at(item.node) * 8);
      p.op = Load{Reg(r), Memory{Space::kStack, 0, 0, 8, at}, false, false, false};
      hold(item.node, r);
      break;
    }
    case Item::Kind::kEffect: {
      const Effect& e = graph_.effects[item.effect];
      std::vector<std::pair<NodeId, Reg>> operands;
      for (NodeId need : item.needs) operands.push_back({need, reg(need)});
      const RegisterOf early = [&](NodeId node) {
        for (auto [need, at] : operands) {
          if (need == node) return at;
        }
        CHECK(false);
        return Reg(0);
      };
      const int r = item.node != kNone ? define() : -1;
      p.op = lower(graph_, e, r, early, image_.call_sites);
      p.slot = e.slot;
      called_ |= e.kind == EffectKind::kCall;
      if (r >= 0) hold(item.node, r), late_.push_back({item.node, item.sequence});
      break;
    }
    case Item::Kind::kBranch: {
      const Block& b = graph_.blocks[item.block];
      p.op = lower(graph_, item.inverted ? opt::negate(b.cond) : b.cond, lookup);
      p.slot = b.end_slot;
      p.target = item.exit;
      const auto kept = demand_.frontier(demand_.direct(item.exit), state_);
      locked_.insert(kept.begin(), kept.end());
      left_.push_back({item.exit, item.sequence});
      break;
    }
    case Item::Kind::kEnd:
      finish(region, item);
      return;
  }
  placed_.push_back(std::move(p));
}

// Closes the row: states of the blocks that its branches lead to, then emission.
void Scheduler::flush() {
  for (auto [exit, sequence] : left_) {
    State& entry = entries_[exit];
    entry = state_;
    entry.set = true;
    for (auto [node, at] : late_) {
      if (at < sequence) continue;
      for (NodeId& held : entry.held) {  // cancelled when the branch is taken
        if (held == node) held = kNone;
      }
    }
    queue_.insert(queue_.end() - (falls_to_ != kNone ? 1 : 0), exit);
  }
  if (!placed_.empty() || row_ > 0 || falls_to_ == kNone) {
    std::stable_sort(placed_.begin(), placed_.end(),
                     [](const Placed& a, const Placed& b) { return a.sequence < b.sequence; });
    Bundle bundle;
    std::array<uint32_t, kMaxLanes> slots;
    slots.fill(kNoSlot);
    for (uint32_t lane = 0; lane < placed_.size(); lane++) {
      bundle.lanes[lane] = placed_[lane].op;
      slots[lane] = placed_[lane].slot;
      if (placed_[lane].target != kNone) fixups_.push_back({{Row(image_.rows.size()), lane}, placed_[lane].target});
    }
    // An empty last row that only falls through would do nothing.
    if (!placed_.empty() || falls_to_ == kNone) {
      image_.rows.push_back(bundle);
      image_.slots.push_back(slots);
    }
  }
  row_++;
  placed_.clear();
  called_ = false;
  written_ = 0;
  locked_.clear();
  left_.clear();
  late_.clear();
}

void Scheduler::finish(Region& region, Item& end) {
  const Block& b = graph_.blocks[end.block];
  const RegisterOf lookup = [&](NodeId node) { return reg(node); };
  Placed p{Nop{}, b.end_slot, end.sequence, kNone};
  if (b.end == Block::End::kExit) {
    if (region.exit_call != 0) {
      const Effect& e = graph_.effects[region.exit_call];
      p.op = CallExit{call_site(graph_, graph_.calls[e.call], lookup, image_.call_sites)};
      p.slot = e.slot;
    } else if (graph_.is_const(b.verdict)) {
      p.op = Exit{uint32_t(graph_.const_of(b.verdict))};
    } else {
      p.op = ExitRegister{reg(b.verdict)};
    }
    placed_.push_back(std::move(p));
    return;
  }
  hand_over(end.block, b.next);
}

// The way from `from` to block `to`: falls through to it if it comes now for the first time, else moves values where it
// has them and goes there.
void Scheduler::hand_over(BlockId from, BlockId to) {
  const Block &b = graph_.blocks[from], &target = graph_.blocks[to];
  State& entry = entries_[to];
  const bool first = !entry.set;
  const std::set<NodeId> kept =
      first ? demand_.frontier(b.end == Block::End::kGoto ? demand_.at_goto(from) : demand_.direct(to), state_)
            : std::set<NodeId>{};
  if (first) {
    // Values stay where they are; a phi takes over its argument's register when nothing else needs the argument.
    std::set<NodeId> needed = target.merge ? demand_.frontier(demand_.direct(to), state_) : kept;
    entry.set = true;
    entry.spilled = state_.spilled;
    std::erase_if(entry.spilled, [&](NodeId node) { return !needed.count(node); });
    for (uint32_t r = 0; r < kRegisters; r++) {
      entry.held[r] = state_.held[r] != kNone && needed.count(state_.held[r]) ? state_.held[r] : kNone;
    }
    for (size_t i = 0; i < target.phis.size(); i++) {
      const int at = state_.find(b.args[i]);
      if (at >= 0 && entry.held[size_t(at)] == kNone) {
        entry.held[size_t(at)] = target.phis[i];
        continue;
      }
      for (uint32_t r = 0; r < kRegisters; r++) {
        if (entry.held[r] != kNone) continue;
        entry.held[r] = target.phis[i];
        break;
      }
      if (entry.find(target.phis[i]) >= 0) continue;
      // No register is left: the phi lives in a stack slot.
      if (!slot_for(target.phis[i])) return;
      entry.spilled.push_back(target.phis[i]);
    }
  }
  std::vector<std::pair<Reg, NodeId>> list;
  for (uint32_t r = 0; r < kRegisters; r++) {
    NodeId value = entry.held[r];
    if (value == kNone) continue;
    for (size_t i = 0; i < target.phis.size(); i++) {
      if (target.phis[i] == value) value = b.args[i];
    }
    if (state_.held[r] != value) list.push_back({Reg(r), value});
  }
  // A value that the target has in its stack slot goes there from its register.
  for (NodeId node : entry.spilled) {
    if (const auto at = std::find(target.phis.begin(), target.phis.end(), node); at != target.phis.end()) {
      const NodeId arg = b.args[size_t(at - target.phis.begin())];
      const bool constant =
          graph_.is_const(arg) && uint64_t(int64_t(int32_t(graph_.const_of(arg)))) == graph_.const_of(arg);
      if (arg == node) continue;
      if (!constant && state_.find(arg) < 0) {
        out_of_registers_ = true;
        return;
      }
      while (placed_.size() == lanes() || (!constant && ready_row_[arg] > row_)) flush();
      const Operand source = constant ? Operand(Imm(graph_.const_of(arg))) : Operand(reg(arg));
      placed_.push_back({Store{spill_memory(node), source, false}, kNoSlot, ~0u - 2, kNone});
      continue;
    }
    if (state_.is_spilled(node)) continue;
    while (placed_.size() == lanes() || ready_row_[node] > row_) flush();
    placed_.push_back({Store{Memory{Space::kStack, 0, 0, 8, int16_t(spill_slot_.at(node) * 8)}, reg(node), false},
                       kNoSlot, ~0u, kNone});
  }
  if (!list.empty()) moves(std::move(list));
  if (first || row_of_[to] == kNone) {
    if (first) {
      queue_.push_back(to);
      falls_to_ = to;
      return;
    }
  }
  if (placed_.size() == lanes()) flush();
  placed_.push_back({Goto{0}, b.end_slot, ~0u, to});
}

// Parallel moves into registers; constants are made, spilled values loaded. Rows read old values, so a row of moves is
// a permutation; longer ones go in an order that overwrites nothing still to be read.
void Scheduler::moves(std::vector<std::pair<Reg, NodeId>> list) {
  const auto source = [&](NodeId value) { return graph_.is_const(value) ? -1 : state_.find(value); };
  const auto wait = [&] {
    while (std::any_of(list.begin(), list.end(),
                       [&](const auto& move) { return source(move.second) >= 0 && ready_row_[move.second] > row_; }))
      flush();
  };
  if (written_ != 0 || !left_.empty()) flush();
  while (!list.empty()) {
    wait();
    // As many as fit such that no register is overwritten that a move left behind reads.
    std::vector<size_t> chosen;
    const uint32_t room = lanes() > placed_.size() ? lanes() - uint32_t(placed_.size()) : 0;
    for (size_t i = 0; i < list.size() && chosen.size() < room; i++) {
      bool blocked = false;
      for (size_t k = 0; k < list.size(); k++) {
        if (k != i && std::find(chosen.begin(), chosen.end(), k) == chosen.end() &&
            source(list[k].second) == list[i].first)
          blocked = true;
      }
      if (!blocked) chosen.push_back(i);
    }
    if (chosen.empty() && list.size() <= room) {
      for (size_t i = 0; i < list.size(); i++) chosen.push_back(i);
    }
    if (chosen.empty() && room == lanes()) {
      // Cycles only: those that fit a row together, or one value steps aside into a free register.
      std::vector<size_t> cycle{0};
      while (source(list[cycle.back()].second) != list[0].first) {
        for (size_t k = 0; k < list.size(); k++) {
          if (list[k].first == source(list[cycle.back()].second)) {
            cycle.push_back(k);
            break;
          }
        }
      }
      if (cycle.size() <= room) {
        chosen = cycle;
      } else {
        int spare = -1;
        for (uint32_t r = 0; r < kRegisters; r++) {
          const bool used =
              state_.held[r] != kNone || std::any_of(list.begin(), list.end(), [&](auto& m) { return m.first == r; });
          if (!used) spare = int(r);
        }
        if (spare < 0) {
          out_of_registers_ = true;
          return;
        }
        const NodeId value = list[0].second;
        const int from = source(value);
        placed_.push_back({Move{Width::k64, Reg(spare), Reg(from)}, kNoSlot, ~0u - 1, kNone});
        state_.held[size_t(from)] = kNone;
        state_.held[size_t(spare)] = value;
        ready_row_[value] = row_ + rows_for(1);
        flush();
        continue;
      }
    }
    State after = state_;
    std::sort(chosen.begin(), chosen.end());
    for (size_t i : chosen) {
      const auto [dst, value] = list[i];
      Op op;
      if (graph_.is_const(value)) {
        op = lower(graph_, value, dst, false, [&](NodeId) { return dst; }, image_.call_sites);
        if (std::holds_alternative<MoveHigh>(op)) {  // wide constant: its low part first, then itself
          const uint64_t c = graph_.const_of(value);
          placed_.push_back({Move{Width::k32, dst, Imm(uint32_t(c))}, kNoSlot, ~0u - 1, kNone});
          after.held[dst] = kNone;
          continue;
        }
      } else if (source(value) >= 0) {
        op = Move{Width::k64, dst, Reg(source(value))};
      } else {
        op = Load{dst, Memory{Space::kStack, 0, 0, 8, int16_t(spill_slot_.at(value) * 8)}, false, false, false};
      }
      placed_.push_back({op, kNoSlot, ~0u - 1, kNone});
      after.held[dst] = value;
    }
    std::vector<std::pair<Reg, NodeId>> rest, wide;
    for (size_t i = 0; i < list.size(); i++) {
      if (std::find(chosen.begin(), chosen.end(), i) == chosen.end())
        rest.push_back(list[i]);
      else if (graph_.is_const(list[i].second) && after.held[list[i].first] == kNone)
        wide.push_back(list[i]);
    }
    list = std::move(rest);
    state_ = std::move(after);
    if (!wide.empty() || !list.empty()) flush();
    if (!wide.empty() && image_.parameters.forwarding == Forwarding::kLane) flush();
    for (auto [dst, value] : wide) {
      if (placed_.size() == lanes()) flush();
      placed_.push_back({MoveHigh{dst, dst, Imm(graph_.const_of(value) >> 32)}, kNoSlot, ~0u - 1, kNone});
      state_.held[dst] = value;
    }
    if (!wide.empty() && !list.empty()) flush();
  }
}

// Gives the value a stack slot, if it has none. False: the free stack is used up.
bool Scheduler::slot_for(NodeId node) {
  if (spill_slot_.count(node)) return true;
  if (spill_slot_.size() >= spill_slots_) {
    out_of_registers_ = true;
    return false;
  }
  spill_slot_.emplace(node, uint32_t(spill_slot_.size()));
  return true;
}

// Puts the value that is needed last into its stack slot. False when there is none, or no slot.
bool Scheduler::spill(const Region& region) {
  const auto alive = live(region);
  NodeId victim = kNone;
  int farthest = 1 << 30;
  for (NodeId held : state_.held) {
    if (held == kNone || !alive.count(held) || ready_row_[held] > row_) continue;
    int urgency = -1;
    bool wanted_now = false;
    for (const Item& item : region.items) {
      if (item.row >= 0 || std::find(item.needs.begin(), item.needs.end(), held) == item.needs.end()) continue;
      urgency = std::max(urgency, item.height);
      wanted_now |= std::all_of(item.needs.begin(), item.needs.end(), [&](NodeId n) { return state_.find(n) >= 0; });
    }
    if (wanted_now) urgency += 1 << 20;
    if (urgency < farthest) farthest = urgency, victim = held;
  }
  if (victim == kNone) return false;
  if (!state_.is_spilled(victim)) {
    if (!slot_for(victim)) return false;
    placed_.push_back({Store{Memory{Space::kStack, 0, 0, 8, int16_t(spill_slot_.at(victim) * 8)}, reg(victim), false},
                       kNoSlot, 0, kNone});
    state_.spilled.push_back(victim);
  }
  state_.held[reg(victim)] = kNone;
  return true;
}

// Values in stack slots that an unissued operation needs become operations of their own.
void Scheduler::want_reloads(Region& region) {
  std::map<NodeId, int> wanted;
  for (const Item& item : region.items) {
    if (item.row >= 0) continue;
    for (NodeId need : item.needs) {
      if (state_.find(need) >= 0 || !state_.is_spilled(need)) continue;
      // Only when all else that the operation needs is there, or it would come too early.
      const bool soon = std::all_of(item.needs.begin(), item.needs.end(),
                                    [&](NodeId n) { return state_.find(n) >= 0 || state_.is_spilled(n); });
      if (soon) wanted[need] = std::max(wanted[need], item.height + 1);
    }
  }
  std::erase_if(region.items, [](const Item& i) { return i.kind == Item::Kind::kReload && i.row < 0; });
  for (auto [node, height] : wanted) {
    Item item{.kind = Item::Kind::kReload, .node = node};
    item.height = height;
    region.items.push_back(std::move(item));
  }
}

}  // namespace

base::Result<void> schedule(Graph& graph, const ScheduleOptions& options, uint32_t free_stack, Image& image) {
  prepare_constants(graph);
  const Image empty = image;
  base::Result<void> result;
  bool found = false;
  for (uint32_t reserve : {0u, 4u, 6u, 8u}) {
    Image attempt = empty;
    Scheduler scheduler(graph, options, free_stack, reserve, attempt);
    auto ended = scheduler.run();
    if (reserve == 0) result = ended;
    if (ended && (!found || attempt.rows.size() < image.rows.size())) {
      image = std::move(attempt);
      found = true;
    }
    if (ended && !scheduler.spilled()) break;
  }
  return found ? base::Result<void>() : result;
}

}  // namespace xnic::compile::target::hxdp
