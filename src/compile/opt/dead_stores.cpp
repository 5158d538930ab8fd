// SPDX-License-Identifier: Apache-2.0
// A store to the stack is dead when no value that is needed and no effect after it can read its bytes; a store of zero
// to bytes that nothing has written is dead because the stack starts as zero. Removing one may end the need for values
// that read the stack themselves, so it repeats until nothing changes.
#include <algorithm>

#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

struct Remover {
  Graph& g;
  std::vector<std::vector<bool>> reach;  // by block: blocks after it (itself only around a loop)
  std::vector<bool> needed;              // values

  void find_reach() {
    reach.assign(g.blocks.size(), std::vector<bool>(g.blocks.size()));
    for (BlockId from = 0; from < g.blocks.size(); from++) {
      std::vector<BlockId> work{from};
      while (!work.empty()) {
        const Block& b = g.blocks[work.back()];
        work.pop_back();
        for (BlockId to : {b.taken, b.next}) {
          if (to != kNone && !reach[from][to]) reach[from][to] = true, work.push_back(to);
        }
      }
    }
  }
  void mark(NodeId id) {
    if (id == kNone || needed[id]) return;
    needed[id] = true;
    for_each_operand(g, id, [&](NodeId operand) { mark(operand); });
  }
  void find_needed() {
    needed.assign(g.nodes.size(), false);
    for (const Effect& e : g.effects) {
      if (e.dead) continue;
      if (e.kind == EffectKind::kCall) {
        for (const CallArg& arg : g.calls[e.call].args) mark(arg.node);
      } else {
        mark(e.loc.base), mark(e.value), mark(e.expected);
      }
    }
    for (const Block& b : g.blocks) {
      for (NodeId id : {b.cond.a, b.cond.b, b.verdict}) mark(id);
      for (NodeId id : b.args) mark(id);
    }
  }
  bool before(EffectId a, EffectId b) const {
    const BlockId from = g.effects[a].block, to = g.effects[b].block;
    return (from == to && a < b) || reach[from][to];
  }
  bool read_later(EffectId store) const {
    const Loc& loc = g.effects[store].loc;
    const auto overlaps = [&](const std::vector<Loc>& list) {
      return std::any_of(list.begin(), list.end(), [&](const Loc& r) { return may_alias(r, loc); });
    };
    for (NodeId id = 0; id < g.nodes.size(); id++) {
      const Node& n = g.nodes[id];
      if (!needed[id] || (n.kind != NodeKind::kLoad && n.kind != NodeKind::kCall)) continue;
      if (n.token != store && !before(store, n.token)) continue;
      if (n.kind == NodeKind::kLoad ? may_alias(n.loc, loc) : overlaps(g.calls[n.site].reads)) return true;
    }
    for (EffectId id = 0; id < g.effects.size(); id++) {
      const Effect& e = g.effects[id];
      if (e.dead || !before(store, id)) continue;
      if (e.kind == EffectKind::kCall && (g.calls[e.call].reads_all || overlaps(g.calls[e.call].reads))) return true;
      if ((e.kind == EffectKind::kAdd || e.kind == EffectKind::kAtomic) && may_alias(e.loc, loc)) return true;
    }
    return false;
  }
  bool dead(EffectId id) const {
    const Effect& e = g.effects[id];
    if (e.kind != EffectKind::kStore || e.dead || e.loc.mode != Space::kStack) return false;
    if (g.is_const(e.value) && g.const_of(e.value) == 0 && g.last_alias(e.prev, e.loc) == 0) return true;
    return !read_later(id);
  }
};

}  // namespace

void remove_dead_stores(Graph& graph) {
  Remover r{graph, {}, {}};
  r.find_reach();
  bool changed = true;
  while (changed) {
    changed = false;
    r.find_needed();
    for (EffectId id = 1; id < graph.effects.size(); id++) {
      if (r.dead(id)) graph.effects[id].dead = changed = true;
    }
  }
  for (Block& b : graph.blocks) std::erase_if(b.effects, [&](EffectId e) { return graph.effects[e].dead; });
  for (Node& n : graph.nodes) {
    while (graph.effects[n.token].dead) n.token = graph.effects[n.token].prev;
  }
}

}  // namespace xnic::compile::opt
