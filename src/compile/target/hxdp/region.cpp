// SPDX-License-Identifier: Apache-2.0
// Which operations a region issues, and in what order. Pinned operations (effects, branches, the end) keep program
// order where it matters; values only wait for their operands and for the effects that made the memory they read, and
// go before the effects that overwrite it.
#include "compile/target/hxdp/region.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::compile::target::hxdp {

using opt::Block;
using opt::CallInfo;
using opt::Effect;
using opt::EffectKind;
using opt::Loc;
using opt::Node;
using opt::NodeKind;

bool State::is_spilled(NodeId node) const { return std::find(spilled.begin(), spilled.end(), node) != spilled.end(); }

// What an entered block holds, its own phis excepted: their arguments come instead.
void Demand::entry_values(BlockId block, std::vector<NodeId>& out) const {
  const auto add = [&](NodeId node) {
    if (node != kNone && !(graph_.node(node).kind == NodeKind::kPhi && graph_.node(node).site == block))
      out.push_back(node);
  };
  for (NodeId node : entries_[block].held) add(node);
  for (NodeId node : entries_[block].spilled) add(node);
}

void Demand::collect(BlockId id, std::set<BlockId>& seen, std::set<NodeId>& out) const {
  if (!seen.insert(id).second) return;
  const Block& b = graph_.blocks[id];
  std::vector<NodeId> needs;
  for (EffectId e : b.effects) {
    if (!graph_.effects[e].dead) required(graph_, graph_.effects[e], needs);
  }
  if (b.end == Block::End::kBranch) {
    required(graph_, b.cond, needs);
    collect(b.taken, seen, out);
    collect(b.next, seen, out);
  } else if (b.end == Block::End::kExit) {
    if (!graph_.is_const(b.verdict)) needs.push_back(b.verdict);
  } else {
    for (NodeId arg : b.args) {
      if (!graph_.is_const(arg)) needs.push_back(arg);
    }
    if (entries_[b.next].set) {
      entry_values(b.next, needs);
    } else {
      collect(b.next, seen, out);
    }
  }
  out.insert(needs.begin(), needs.end());
}

std::set<NodeId> Demand::direct(BlockId block) const {
  std::set<BlockId> seen;
  std::set<NodeId> out;
  collect(block, seen, out);
  return out;
}

std::set<NodeId> Demand::at_goto(BlockId id) const {
  const Block& b = graph_.blocks[id];
  std::set<NodeId> out;
  for (NodeId arg : b.args) {
    if (!graph_.is_const(arg)) out.insert(arg);
  }
  if (entries_[b.next].set) {
    std::vector<NodeId> values;
    entry_values(b.next, values);
    out.insert(values.begin(), values.end());
  } else {
    const auto more = direct(b.next);
    out.insert(more.begin(), more.end());
  }
  return out;
}

std::set<NodeId> Demand::frontier(const std::set<NodeId>& direct, const State& state) const {
  std::set<NodeId> kept, seen;
  std::vector<NodeId> work(direct.begin(), direct.end()), needs;
  while (!work.empty()) {
    const NodeId node = work.back();
    work.pop_back();
    if (!seen.insert(node).second) continue;
    if (state.has(node)) {
      kept.insert(node);
      continue;
    }
    needs.clear();
    required(graph_, node, needs);
    work.insert(work.end(), needs.begin(), needs.end());
  }
  return kept;
}

std::set<NodeId> Demand::closure(const std::set<NodeId>& direct, const State& state) const {
  std::set<NodeId> seen;
  std::vector<NodeId> work(direct.begin(), direct.end()), needs;
  while (!work.empty()) {
    const NodeId node = work.back();
    work.pop_back();
    if (state.has(node) || !seen.insert(node).second) continue;
    needs.clear();
    required(graph_, node, needs);
    work.insert(work.end(), needs.begin(), needs.end());
  }
  return seen;
}

Region::Region(const Graph& graph, const Demand& demand, const std::vector<State>& entries, BlockId head,
               const RegionOptions& options)
    : graph_(graph), demand_(demand), entries_(entries), state_(entries[head]), sequence_of_(graph.effects.size()) {
  choose_path(head, options.traces);
  pin(options);
  add_values();
  for (uint32_t i = 0; i < items.size(); i++) {
    if (items[i].kind == Item::Kind::kPure) order_value(i);
  }
  set_links();
  set_deadlines();
  set_weights();
  for (Item& item : items) {
    std::set<NodeId> wants;
    if (item.kind == Item::Kind::kBranch) wants = demand_.direct(item.exit);
    const Block& last = graph_.blocks[path.back()];
    if (item.kind == Item::Kind::kEnd && last.end != Block::End::kExit)
      wants = last.end == Block::End::kGoto ? demand_.at_goto(path.back()) : demand_.direct(last.next);
    item.wants.assign(wants.begin(), wants.end());
  }
}

void Region::choose_path(BlockId head, bool traces) {
  path.push_back(head);
  while (traces) {
    const Block& b = graph_.blocks[path.back()];
    if (b.end != Block::End::kBranch) break;
    path.push_back(graph_.blocks[b.taken].weight > graph_.blocks[b.next].weight ? b.taken : b.next);
  }
}

// Pinned items in program order.
void Region::pin(const RegionOptions& options) {
  const auto add = [&](Item item) {
    item.sequence = uint32_t(item_of_seq_.size() + 1);
    item_of_seq_.push_back(uint32_t(items.size()));
    items.push_back(std::move(item));
    order_pinned(items.size() - 1);
  };
  const Block& last = graph_.blocks[path.back()];
  if (options.call_exit && last.end == Block::End::kExit && !last.effects.empty()) {
    const Effect& effect = graph_.effects[last.effects.back()];
    if (effect.kind == EffectKind::kCall && effect.result == last.verdict && !graph_.calls[effect.call].void_result)
      exit_call = last.effects.back();
  }
  for (size_t i = 0; i < path.size(); i++) {
    const Block& b = graph_.blocks[path[i]];
    for (EffectId e : b.effects) {
      const Effect& effect = graph_.effects[e];
      if (effect.dead || e == exit_call) continue;
      Item item{.kind = Item::Kind::kEffect, .node = effect.result, .effect = e};
      required(graph_, effect, item.needs);
      sequence_of_[e] = uint32_t(item_of_seq_.size() + 1);
      add(std::move(item));
    }
    const bool inside = i + 1 < path.size();
    if (b.end == Block::End::kBranch) {
      // Without a trace the region's last branch is followed by its fall-through as the end.
      const BlockId on = inside ? path[i + 1] : b.next;
      Item item{.kind = Item::Kind::kBranch,
                .block = path[i],
                .exit = on == b.taken ? b.next : b.taken,
                .inverted = on == b.taken};
      required(graph_, b.cond, item.needs);
      add(std::move(item));
    }
    if (inside) continue;
    Item end{.kind = Item::Kind::kEnd, .block = path[i]};
    if (b.end == Block::End::kExit) {
      if (exit_call != 0) {
        required(graph_, graph_.effects[exit_call], end.needs);
        end.effect = exit_call;
      } else if (!graph_.is_const(b.verdict)) {
        end.needs.push_back(b.verdict);
      }
    }
    add(std::move(end));
  }
}

// Edges from earlier pinned items to the one at `at`.
void Region::order_pinned(size_t at) {
  Item& item = items[at];
  const auto call_of = [&](const Item& i) -> const CallInfo* {
    if (i.effect == 0 || graph_.effects[i.effect].kind != EffectKind::kCall) return nullptr;
    return &graph_.calls[graph_.effects[i.effect].call];
  };
  const auto reads_any = [&](const CallInfo& call, const Loc& loc) {
    return call.reads_all ||
           std::any_of(call.reads.begin(), call.reads.end(), [&](const Loc& r) { return may_alias(r, loc); });
  };
  const auto writes_any = [&](const CallInfo& call, const Loc& loc) {
    return std::any_of(call.writes.begin(), call.writes.end(), [&](const Loc& w) { return may_alias(w, loc); });
  };
  for (uint32_t other = 0; other < at; other++) {
    const Item& before = items[other];
    int rows = -1;
    if (item.kind != Item::Kind::kEffect || before.kind == Item::Kind::kBranch) rows = 0;  // never moved across
    const CallInfo *x = call_of(before), *y = call_of(item);
    const Loc bounds{.region = opt::Space::kPacketEnd};
    if (item.kind == Item::Kind::kBranch && graph_.blocks[item.block].cond.packet && x != nullptr &&
        writes_any(*x, bounds))
      rows = 1;
    if (before.effect != 0 && item.effect != 0) {
      const Effect &e = graph_.effects[before.effect], &f = graph_.effects[item.effect];
      if (x != nullptr && y != nullptr) {
        rows = 1;  // one helper module, and helpers see each other's effects in order
      } else if (x != nullptr) {
        if (writes_any(*x, f.loc)) rows = 1;
        if (rows < 0 && reads_any(*x, f.loc)) rows = 0;
      } else if (y != nullptr) {
        if (reads_any(*y, e.loc) || writes_any(*y, e.loc)) rows = 1;
      } else if (may_alias(e.loc, f.loc)) {
        rows = f.kind == EffectKind::kStore ? std::max(rows, 0) : 1;  // the others read what was stored
      }
    }
    if (rows >= 0) item.deps.push_back({other, rows});
  }
}

bool Region::past(EffectId effect) const {
  return sequence_of_[effect] == 0 && graph_.dominates(graph_.effects[effect].block, path[0]);
}

// True if the value can be computed in this region at all: what it comes from has happened or happens here.
bool Region::computable(NodeId id, std::vector<int8_t>& memo) const {
  if (memo[id] >= 0) return memo[id];
  if (state_.has(id)) {
    memo[id] = 1;
    return true;
  }
  const Node& n = graph_.node(id);
  bool ok = true;
  if (n.kind == NodeKind::kPhi) ok = false;  // of this or an earlier block: the state would have it
  if (n.kind == NodeKind::kResult) ok = sequence_of_[n.site] != 0;
  if (ok && !reads(graph_, id).empty()) ok = sequence_of_[n.token] != 0 || past(n.token);
  memo[id] = ok;
  std::vector<NodeId> needs;
  required(graph_, id, needs);
  for (NodeId need : needs) ok = ok && computable(need, memo);
  memo[id] = ok;
  return ok;
}

// The pinned item may overwrite what the value reads, and comes after the value's token.
bool Region::clobbers(uint32_t sequence, NodeId id) const {
  const Item& item = items[item_of_seq_[sequence - 1]];
  if (item.effect == 0) return false;
  const Node& n = graph_.node(id);
  if (n.kind == NodeKind::kConst || n.kind == NodeKind::kAlu) return false;
  if (sequence_of_[n.token] >= sequence) return false;
  for (const Loc& loc : reads(graph_, id)) {
    if (graph_.writes(graph_.effects[item.effect], loc)) return true;
  }
  return false;
}

// Of what `direct` needs: values that a pinned item before `before` would overwrite, so they are computed here.
void Region::force_before_clobber(const std::set<NodeId>& direct, uint32_t before, std::set<NodeId>& out) {
  std::vector<int8_t> memo(graph_.nodes.size(), -1);
  for (NodeId id : demand_.closure(direct, state_)) {
    if (reads(graph_, id).empty() || !computable(id, memo)) continue;
    const uint32_t token = sequence_of_[graph_.node(id).token];
    for (uint32_t s = token + 1; s < before; s++) {
      if (clobbers(s, id)) {
        out.insert(id);
        break;
      }
    }
  }
}

void Region::add_values() {
  std::set<NodeId> wanted;
  for (const Item& item : items) {
    wanted.insert(item.needs.begin(), item.needs.end());
    if (item.kind == Item::Kind::kBranch) force_before_clobber(demand_.direct(item.exit), item.sequence, wanted);
  }
  const Item& end = items[item_of_seq_.back()];
  const Block& last = graph_.blocks[path.back()];
  if (last.end == Block::End::kBranch) {  // no trace: the fall-through is another region
    force_before_clobber(demand_.direct(last.next), end.sequence, wanted);
  } else if (last.end == Block::End::kGoto) {
    const auto target = demand_.at_goto(end.block);
    std::vector<int8_t> memo(graph_.nodes.size(), -1);
    if (entries_[last.next].set) {
      wanted.insert(target.begin(), target.end());  // exactly what the first arrival brought
    } else {
      // Later arrivals may have overwritten memory that this one has not: read it now.
      for (NodeId id : demand_.closure(target, state_)) {
        if (!reads(graph_, id).empty() && computable(id, memo)) wanted.insert(id);
      }
      for (NodeId arg : last.args) {
        if (!graph_.is_const(arg)) wanted.insert(arg);
      }
    }
  }
  for (NodeId id : demand_.closure(wanted, state_)) {
    if (graph_.node(id).kind == NodeKind::kResult) continue;  // made by its effect
    CHECK(graph_.node(id).kind != NodeKind::kPhi);
    Item item{.kind = Item::Kind::kPure, .node = id};
    required(graph_, id, item.needs);
    items.push_back(std::move(item));
  }
}

void Region::order_value(uint32_t at) {
  const NodeId id = items[at].node;
  if (reads(graph_, id).empty()) return;
  const uint32_t token = sequence_of_[graph_.node(id).token];
  // The token is the last effect that it must see; others before it may have written parts of what is read.
  for (uint32_t s = 1; s <= token; s++) {
    const EffectId effect = items[item_of_seq_[s - 1]].effect;
    if (effect == 0) continue;
    bool feeds = s == token;
    for (const Loc& loc : reads(graph_, id)) feeds |= graph_.writes(graph_.effects[effect], loc);
    if (feeds) items[at].deps.push_back({item_of_seq_[s - 1], 1});
  }
  for (uint32_t s = token + 1; s <= item_of_seq_.size(); s++) {
    if (clobbers(s, id)) items[item_of_seq_[s - 1]].deps.push_back({at, 0});
  }
}

}  // namespace xnic::compile::target::hxdp
