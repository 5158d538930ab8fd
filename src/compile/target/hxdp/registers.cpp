// SPDX-License-Identifier: Apache-2.0
// Registers are given out as operations issue. One is free when its value is dead: not needed by an unissued operation,
// nor by the target of a branch that has not issued or issues in this row.
//
// When few are free, only operations that the next pinned one waits for may take one, or operations that end the life
// of a value. When even so nothing can issue, one operation becomes the focus: the next pinned one, or what it waits
// for, with all its operands computed. Values that it does not need then go to stack slots, one by one, until it has
// its operands in registers and a place for its result. So every region ends, as long as there are stack slots.
#include <algorithm>

#include "compile/target/hxdp/scheduler.hpp"

namespace xnic::compile::target::hxdp {

using namespace arch::hxdp;
using opt::Node;
using opt::NodeKind;

namespace {
enum Mark : uint8_t { kInState = 1, kLive = 2, kSeen = 4 };
}  // namespace

void Scheduler::start_registers(const Region& region) {
  pending_uses_.assign(graph_.nodes.size(), 0);
  marks_.assign(graph_.nodes.size(), 0);
  marked_.clear();
  for (const Item& item : region.items) {
    for (NodeId need : item.needs) pending_uses_[need]++;
  }
  focused_ = false;
}

// Sets kLive for the values of state_ that are needed, once `coming` is computed as well.
void Scheduler::find_live(const Region& region, NodeId coming) {
  for (NodeId node : marked_) marks_[node] = 0;
  marked_.clear();
  const auto mark = [&](NodeId node, uint8_t what) {
    if (marks_[node] == 0) marked_.push_back(node);
    marks_[node] |= what;
  };
  for (NodeId node : state_.held) {
    if (node != kNone) mark(node, kInState);
  }
  for (NodeId node : state_.spilled) mark(node, kInState);
  if (coming != kNone) mark(coming, kInState);
  for (NodeId node : locked_) mark(node, kLive);
  std::vector<NodeId> work, needs;
  for (const Item& item : region.items) {
    if (item.row >= 0) continue;
    for (NodeId need : item.needs) mark(need, kLive);
    work.insert(work.end(), item.wants.begin(), item.wants.end());
  }
  while (!work.empty()) {
    const NodeId node = work.back();
    work.pop_back();
    if (marks_[node] & kSeen) continue;
    mark(node, kSeen);
    if (marks_[node] & kInState) {
      mark(node, kLive);
      continue;
    }
    needs.clear();
    required(graph_, node, needs);
    work.insert(work.end(), needs.begin(), needs.end());
  }
  free_registers_ = 0;
  for (NodeId node : state_.held) free_registers_ += node == kNone || !(marks_[node] & kLive);
}

// Whether the operation may take a register now. Pre: find_live().
bool Scheduler::allowed(const Item& item) const {
  if (item.pinned()) return !focused_ || item.node == kNone || item.sequence == focus_sequence_;
  if (focused_) return item.kind == Item::Kind::kReload || item.node == focus_node_;
  if (free_registers_ > reserve_ || item.deadline <= next_pinned_) return true;
  return std::any_of(item.needs.begin(), item.needs.end(),
                     [&](NodeId need) { return pending_uses_[need] == 1 && state_.find(need) >= 0; });
}

// A register that nothing needs once `coming` is computed, or -1. Pre: the operation that computes it counts as issued.
int Scheduler::take_register(const Region& region, NodeId coming) {
  for (uint32_t r = 0; r < kRegisters; r++) {
    if (state_.held[r] == kNone && !(written_ >> r & 1)) return int(r);
  }
  find_live(region, coming);
  int found = -1;
  for (uint32_t r = 0; r < kRegisters; r++) {
    NodeId& held = state_.held[r];
    // What this row computed is needed, if at all, from the next row on.
    if (held == kNone || (marks_[held] & kLive) || ready_row_[held] > row_ || (written_ >> r & 1)) continue;
    held = kNone;
    if (found < 0) found = int(r);
  }
  return found;
}

// The unissued operation that the next pinned one waits for and whose own operands are all computed.
const Item& Scheduler::focus_of(const Region& region) const {
  const Item* at = nullptr;
  for (const Item& item : region.items) {
    if (item.row < 0 && item.pinned() && (at == nullptr || item.sequence < at->sequence)) at = &item;
  }
  CHECK(at != nullptr);
  for (bool descended = true; descended;) {
    descended = false;
    const bool end = at->kind == Item::Kind::kEnd;
    for (const Item& item : region.items) {
      if (item.row >= 0 || &item == at || item.kind == Item::Kind::kReload) continue;
      const bool operand = item.node != kNone && !state_.has(item.node) &&
                           std::find(at->needs.begin(), at->needs.end(), item.node) != at->needs.end();
      const bool before = std::any_of(at->deps.begin(), at->deps.end(),
                                      [&](const Item::Dep& dep) { return &region.items[dep.item] == &item; });
      if (!operand && !before && !(end && !item.pinned())) continue;
      at = &item;
      descended = true;
      break;
    }
  }
  return *at;
}

// The value to put aside: needed last, and not by the focus. kNone if there is none.
NodeId Scheduler::victim(const Region& region, const Item& focus) const {
  NodeId best = kNone;
  uint64_t best_rank = 0;
  for (NodeId held : state_.held) {
    if (held == kNone || ready_row_[held] > row_) continue;
    if (std::find(focus.needs.begin(), focus.needs.end(), held) != focus.needs.end()) continue;
    uint64_t next_use = ~uint32_t{0};
    for (const Item& item : region.items) {
      if (item.row < 0 && std::find(item.needs.begin(), item.needs.end(), held) != item.needs.end())
        next_use = std::min<uint64_t>(next_use, item.deadline);
    }
    const bool cheap = remade(held) || state_.is_spilled(held);
    const uint64_t rank = next_use * 2 + (cheap ? 1 : 0) + 1;
    if (rank > best_rank && (remade(held) || state_.is_spilled(held) || spill_slot_.count(held) || spill_slots_ > 0))
      best_rank = rank, best = held;
  }
  return best;
}

bool Scheduler::make_room(Region& region) {
  const Item& focus = focus_of(region);
  focused_ = true;
  focus_node_ = focus.node;
  focus_sequence_ = focus.sequence;
  if (take_register(region, kNone) >= 0) return true;
  const NodeId value = victim(region, focus);
  return value != kNone && spill(value);
}

// Constants and addresses that do not move are made again instead of being kept.
bool Scheduler::remade(NodeId id) const {
  const Node& n = graph_.node(id);
  std::vector<NodeId> needs;
  required(graph_, id, needs);
  return needs.empty() && (n.kind == NodeKind::kConst || n.kind == NodeKind::kAddress) && reads(graph_, id).empty();
}

Op Scheduler::fetch(NodeId node, Reg dst) {
  if (remade(node)) return lower(graph_, node, dst, false, [](NodeId) { return Reg(0); }, image_.call_sites);
  return Load{dst, spill_memory(node), false, false, false};
}

// Gives the value a stack slot that no other value is in now. False: there is none.
bool Scheduler::slot_for(NodeId node) {
  std::vector<bool> used(spill_slots_);
  for (NodeId other : state_.spilled) {
    if (!remade(other)) used[spill_slot_.at(other)] = true;
  }
  for (NodeId other : reserved_) {
    if (!remade(other)) used[spill_slot_.at(other)] = true;
  }
  if (const auto own = spill_slot_.find(node); own != spill_slot_.end()) {
    if (!used[own->second]) return true;
    out_of_registers_ = true;
    return false;
  }
  // A slot that no value ever had, if there is one: sharing may bring two values to a merge in one slot.
  auto free = used.begin() + std::min<ptrdiff_t>(slots_given_, std::ssize(used));
  if (free == used.end()) free = std::find(used.begin(), used.end(), false);
  if (free == used.end()) {
    out_of_registers_ = true;
    return false;
  }
  slots_given_ = std::max(slots_given_, free - used.begin() + 1);
  spill_slot_.emplace(node, uint32_t(free - used.begin()));
  return true;
}

bool Scheduler::spill(NodeId value) {
  reserved_.clear();
  // Slots of values that nothing needs any more are free.
  std::erase_if(state_.spilled, [&](NodeId node) { return !(marks_[node] & kLive); });
  if (!state_.is_spilled(value)) {
    if (!remade(value)) {
      if (!slot_for(value)) return false;
      CHECK(room() > 0);
      place(Store{spill_memory(value), reg(value), false}, 0);
    }
    state_.spilled.push_back(value);
  }
  for (NodeId& held : state_.held) {
    if (held == value) held = kNone;
  }
  return true;
}

// Values in stack slots that an unissued operation needs become operations of their own, when all else that it needs is
// there, or they would come too early.
void Scheduler::want_reloads(Region& region) {
  std::map<NodeId, std::pair<double, uint32_t>> wanted;  // rank, deadline
  for (const Item& item : region.items) {
    if (item.row >= 0) continue;
    if (focused_ && !(item.sequence == focus_sequence_ && item.node == focus_node_)) continue;
    for (NodeId need : item.needs) {
      if (state_.find(need) >= 0 || !state_.is_spilled(need)) continue;
      const bool soon = std::all_of(item.needs.begin(), item.needs.end(),
                                    [&](NodeId n) { return state_.find(n) >= 0 || state_.is_spilled(n); });
      if (!soon) continue;
      auto& [rank, deadline] = wanted.try_emplace(need, item.rank, ~0u).first->second;
      rank = std::max(rank, item.rank + 1);
      deadline = std::min(deadline, item.deadline);
    }
  }
  std::erase_if(region.items, [](const Item& i) { return i.kind == Item::Kind::kReload && i.row < 0; });
  for (auto [node, urgency] : wanted) {
    Item item{.kind = Item::Kind::kReload, .node = node};
    item.rank = urgency.first;
    item.deadline = urgency.second;
    region.items.push_back(std::move(item));
  }
}

}  // namespace xnic::compile::target::hxdp
