// SPDX-License-Identifier: Apache-2.0
// List scheduling, row by row, with registers assigned as operations issue (registers.cpp).
//
// Of what is ready, the operation with the longest way to the end of its region issues first. Within a row, values come
// first (their results reach the targets of the row's branches), then pinned operations in program order.
#include "compile/target/hxdp/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compile/opt/lift.hpp"
#include "compile/target/hxdp/scheduler.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;
using opt::Block;
using opt::Effect;
using opt::EffectKind;
using opt::NodeKind;

base::Result<void> Scheduler::run() {
  queue_.push_back(0);
  entries_[0].set = true;
  ready_row_.assign(graph_.nodes.size(), 0);
  while (!queue_.empty()) {
    const BlockId head = queue_.back();
    queue_.pop_back();
    if (row_of_[head] != kNone) continue;
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

base::Unexpected Scheduler::out_of_registers(BlockId block) const {
  return base::Unexpected(
      base::Error{base::ErrorKind::kLimit, opt::source_of(graph_.program(), graph_.blocks[block].end_slot),
                  fmt::format("more values are alive than {} registers and the free stack hold", kRegisters)});
}

// What a region changes, so that it can be scheduled in another way.
struct Scheduler::Checkpoint {
  size_t rows, sites, fixups;
  std::vector<BlockId> queue;
  std::map<NodeId, uint32_t> spill_slot;
  ptrdiff_t slots_given;
  std::vector<std::pair<BlockId, State>> entries;
};

Scheduler::Checkpoint Scheduler::checkpoint(const Region& region) const {
  Checkpoint c{image_.rows.size(), image_.call_sites.size(), fixups_.size(), queue_, spill_slot_, slots_given_, {}};
  for (const Item& item : region.items) {
    if (item.kind == Item::Kind::kBranch) c.entries.push_back({item.exit, entries_[item.exit]});
  }
  const Block& last = graph_.blocks[region.path.back()];
  if (last.end != Block::End::kExit) c.entries.push_back({last.next, entries_[last.next]});
  return c;
}

void Scheduler::go_back(const Checkpoint& to) {
  image_.rows.resize(to.rows);
  image_.slots.resize(to.rows);
  image_.call_sites.resize(to.sites);
  fixups_.resize(to.fixups);
  queue_ = to.queue;
  spill_slot_ = to.spill_slot;
  slots_given_ = to.slots_given;
  for (const auto& [block, state] : to.entries) entries_[block] = state;
  falls_to_ = kNone;
  out_of_registers_ = false;
  placed_.clear();
  left_.clear();
  late_.clear();
  locked_.clear();
  called_ = false;
  written_ = 0;
}

// Every order of issuing is tried, and the one that takes the fewest cycles on average stays.
base::Result<void> Scheduler::region(BlockId head) {
  const Region fresh(graph_, demand_, entries_, head, {options_.traces, options_.call_exit});
  const Checkpoint start = checkpoint(fresh);
  const size_t orders = options_.priorities ? std::size(kPriorities) : 1;  // and behind them the one of the search
  ExactResult found;
  std::optional<size_t> best, last;
  double best_cost = 0;
  base::Result<void> result;
  uint32_t fewest = ~0u;  // rows
  const auto attempt = [&](size_t order) {
    if (last) go_back(start);
    last = order;
    Region region = fresh;
    order < orders ? region.rank(kPriorities[order]) : region.rank(found.rows);
    result = issue_region(region);
    if (result) fewest = std::min(fewest, region.rows());
    return region_cost(region);
  };
  const auto consider = [&](size_t order) {
    const double cost = attempt(order);
    if (!result || (best && cost >= best_cost)) return;
    best = order;
    best_cost = cost;
  };
  for (size_t order = 0; order < orders; order++) consider(order);
  if (options_.exact_nodes > 0 && best) {
    const uint32_t by_heuristics = fewest;
    found = fewest_rows(fresh.exact(lanes(), options_.parallel_branches), fewest, options_.exact_nodes);
    if (!found.rows.empty()) consider(orders);
    exact_.regions++;
    exact_.shortest += fewest == found.bound;
    exact_.shortened += fewest < by_heuristics;
    exact_.cramped += fewest > found.bound && !found.rows.empty();
    exact_.undecided += fewest > found.bound && found.rows.empty();
    exact_.rows += fewest;
    exact_.bound += found.bound;
  }
  if (best && best != last) attempt(*best);
  cost_ += graph_.blocks[head].weight * best_cost;
  return result;
}

// Rows until the region is left, on average. Where exits are not likely to be taken, the shorter region wins.
double Scheduler::region_cost(const Region& region) const {
  constexpr double kPerRow = 1e-3;
  double cost = kPerRow * row_;
  for (const Item& item : region.items) {
    cost += item.weight * (item.kind == Item::Kind::kEnd ? row_ : item.row + 1);
  }
  return cost;
}

base::Result<void> Scheduler::issue_region(Region& region) {
  const BlockId head = region.path[0];
  state_ = entries_[head];
  row_ = 0;
  // With forwarding inside lanes only, what the row before wrote is not readable everywhere yet.
  const bool lane_only = image_.parameters.forwarding == Forwarding::kLane;
  std::fill(ready_row_.begin(), ready_row_.end(), lane_only && head != 0 ? 1 : 0);
  start_registers(region);
  while (std::any_of(region.items.begin(), region.items.end(), [](const Item& i) { return i.row < 0; })) {
    want_reloads(region);
    if (!issue_row(region)) {
      const bool waiting = std::any_of(region.items.begin(), region.items.end(), [&](const Item& item) {
        return item.row < 0 && readiness(region, item) == Readiness::kLater;
      });
      if (!waiting && !make_room(region)) return out_of_registers(region.path.back());
    }
    flush();
    if (out_of_registers_) return out_of_registers(region.path.back());
  }
  return {};
}

// Issues what fits into the current row; false if nothing did.
bool Scheduler::issue_row(Region& region) {
  bool any = false;
  while (room() > 0) {
    next_pinned_ = ~0u;
    std::vector<Item*> order;
    for (Item& item : region.items) {
      if (item.row >= 0) continue;
      if (item.pinned()) next_pinned_ = std::min(next_pinned_, item.sequence);
      if (readiness(region, item) == Readiness::kNow) order.push_back(&item);
    }
    find_live(region, kNone);
    std::stable_sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
      return a->rank != b->rank ? a->rank > b->rank : a->pinned() > b->pinned();
    });
    bool issued = false;
    for (Item* item : order) {
      if (!allowed(*item)) continue;
      // The operands' registers are looked up before the result takes one, which may be one of theirs.
      const State before = state_;
      item->row = row_;
      const int dst = item->node == kNone ? -1 : take_register(region, item->node);
      if (item->node != kNone && dst < 0) {
        item->row = -1;
        continue;
      }
      issue(*item, region, before, dst);
      issued = any = true;
      break;
    }
    if (!issued) break;
  }
  return any;
}

Scheduler::Readiness Scheduler::readiness(const Region& region, const Item& item) const {
  bool later = false;
  for (NodeId need : item.needs) {
    if (state_.find(need) < 0) return Readiness::kBlocked;
    later |= ready_row_[need] > row_;
  }
  for (const Item::Dep& dep : item.deps) {
    const Item& before = region.items[dep.item];
    if (before.row < 0) return Readiness::kBlocked;
    later |= before.row + rows_for(dep.rows) > row_;
  }
  if (item.kind == Item::Kind::kEnd) {
    for (const Item& other : region.items) {
      if (other.row < 0 && &other != &item) return Readiness::kBlocked;
    }
  }
  const bool calls = (item.kind == Item::Kind::kPure && graph_.node(item.node).kind == NodeKind::kCall) ||
                     (item.effect != 0 && graph_.effects[item.effect].kind == EffectKind::kCall);
  later |= calls && called_;
  later |= item.kind == Item::Kind::kBranch && !options_.parallel_branches && !left_.empty();
  return later ? Readiness::kLater : Readiness::kNow;
}

Op Scheduler::operation(const Region& region, const Item& item, int dst) {
  const RegisterOf lookup = [&](NodeId node) { return reg(node); };
  switch (item.kind) {
    case Item::Kind::kPure:
      return lower(graph_, item.node, Reg(dst), true, lookup, image_.call_sites);
    case Item::Kind::kReload:
      return fetch(item.node, Reg(dst));
    case Item::Kind::kEffect:
      return lower(graph_, graph_.effects[item.effect], dst, lookup, image_.call_sites);
    case Item::Kind::kBranch: {
      const opt::Cond& cond = graph_.blocks[item.block].cond;
      return lower(graph_, item.inverted ? opt::negate(cond) : cond, lookup);
    }
    case Item::Kind::kEnd:
      break;
  }
  const Block& b = graph_.blocks[item.block];
  if (region.exit_call != 0)
    return CallExit{call_site(graph_, graph_.calls[graph_.effects[region.exit_call].call], lookup, image_.call_sites)};
  if (graph_.is_const(b.verdict)) return Exit{uint32_t(graph_.const_of(b.verdict))};
  return ExitRegister{reg(b.verdict)};
}

// Pre: item.row is set. `before`: where its operands are; `dst`: the register for its result, if it has one.
void Scheduler::issue(const Item& item, const Region& region, const State& before, int dst) {
  if (focused_ && item.node == focus_node_ && item.sequence == focus_sequence_ && item.kind != Item::Kind::kReload)
    focused_ = false;
  for (NodeId need : item.needs) pending_uses_[need]--;
  const Block* block = item.block == kNone ? nullptr : &graph_.blocks[item.block];
  if (item.kind == Item::Kind::kEnd && block->end != Block::End::kExit) return hand_over(item.block, block->next);

  Placed p{Nop{}, kNoSlot, item.sequence, kNone};
  State after = std::exchange(state_, before);
  p.op = operation(region, item, dst);
  state_ = std::move(after);
  if (dst >= 0) {
    state_.held[size_t(dst)] = item.node;
    ready_row_[item.node] = row_ + rows_for(1);
    written_ |= 1u << dst;
    if (item.pinned()) late_.push_back({item.node, item.sequence});
  }
  called_ |= is_call(p.op);
  if (item.kind == Item::Kind::kPure) p.slot = graph_.node(item.node).slot;
  if (item.effect != 0) p.slot = graph_.effects[item.effect].slot;
  if (block != nullptr && item.effect == 0) p.slot = block->end_slot;
  if (item.kind == Item::Kind::kBranch) {
    p.target = item.exit;
    const auto kept = demand_.frontier({item.wants.begin(), item.wants.end()}, state_);
    locked_.insert(locked_.end(), kept.begin(), kept.end());
    left_.push_back({item.exit, item.sequence});
  }
  placed_.push_back(std::move(p));
}

// States of the blocks that this row's branches lead to.
void Scheduler::snapshot() {
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
  left_.clear();
}

// Closes the row.
void Scheduler::flush() {
  snapshot();
  if (!placed_.empty() || row_ > 0 || falls_to_ == kNone) {
    std::stable_sort(placed_.begin(), placed_.end(),
                     [](const Placed& a, const Placed& b) { return a.sequence < b.sequence; });
    Bundle bundle;
    std::array<uint32_t, kMaxLanes> slots;
    slots.fill(kNoSlot);
    CHECK(placed_.size() <= lanes());
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
  late_.clear();
}

base::Result<void> schedule(Graph& graph, const ScheduleOptions& options, uint32_t free_stack, Image& image,
                            ExactStatistics* exact) {
  prepare_constants(graph);
  // Where values went to stack slots, another reserve may do better: the fewest cycles win.
  const Image empty = image;
  base::Result<void> result;
  bool found = false;
  double best = 0;
  for (uint32_t reserve : {3u, 1u, 5u, 8u}) {
    Image attempt = empty;
    Scheduler scheduler(graph, options, free_stack, reserve, attempt);
    auto ended = scheduler.run();
    if (ended && (!found || scheduler.cost() < best)) {
      image = std::move(attempt);
      best = scheduler.cost();
      if (exact != nullptr) *exact = scheduler.exact();
    }
    if (!found) result = ended;
    found |= ended.has_value();
    if (ended && !scheduler.spilled()) break;
  }
  return result;
}

}  // namespace xnic::compile::target::hxdp
