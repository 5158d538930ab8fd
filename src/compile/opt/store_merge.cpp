// SPDX-License-Identifier: Apache-2.0
// Neighbouring stores that copy neighbouring bytes, or write constants, become one store of up to 8 bytes.
//
// A run is a sequence of plain stores in one block, no two of which overlap, so their order does not matter. A merged
// store takes the place of its last part. Copies merge when their loads have one token and the bytes still are what
// they were when the run begins; so no load of the run can see a store of the run.
#include <algorithm>

#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

struct Merger {
  Graph& g;
  std::vector<EffectId> run;  // in program order

  bool same_place(const Loc& a, const Loc& b) const { return a.mode == b.mode && a.base == b.base && a.map == b.map; }
  bool joins(EffectId id) const {
    const Effect& e = g.effects[id];
    if (e.kind != EffectKind::kStore || e.dead || e.big || e.loc.region == Space::kRegister) return false;
    for (EffectId other : run) {
      if (may_alias(g.effects[other].loc, e.loc)) return false;
    }
    return true;
  }

  // The value of parts [first, last) of the sorted list as one of `bytes` bytes, or kNone.
  NodeId joined(const std::vector<EffectId>& parts, size_t first, size_t last, uint32_t bytes) {
    bool constants = true;
    uint64_t value = 0;
    const int64_t start = g.effects[parts[first]].loc.off;
    for (size_t i = first; i < last; i++) {
      const Effect& e = g.effects[parts[i]];
      if (!g.is_const(e.value)) {
        constants = false;
        break;
      }
      const uint64_t mask = e.loc.bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * e.loc.bytes)) - 1;
      value |= (g.const_of(e.value) & mask) << (8 * (e.loc.off - start));
    }
    if (constants) {
      const bool fits = bytes <= 4 || value == uint64_t(int64_t(int32_t(value)));
      return fits ? g.constant(value) : kNone;
    }
    const Node head = g.node(g.effects[parts[first]].value);
    if (head.kind != NodeKind::kLoad || head.flag || head.big) return kNone;
    if (head.loc.base != kNone) {
      const NodeKind base = g.node(head.loc.base).kind;
      if (base != NodeKind::kCall && base != NodeKind::kResult && base != NodeKind::kPhi) return kNone;
    }
    for (size_t i = first; i < last; i++) {
      const Effect& e = g.effects[parts[i]];
      const Node& n = g.node(e.value);
      if (n.kind != NodeKind::kLoad || n.flag || (n.big && n.loc.bytes > 1) || n.token != head.token) return kNone;
      if (!same_place(n.loc, head.loc) || n.loc.off - head.loc.off != e.loc.off - start) return kNone;
      if (n.loc.bytes < e.loc.bytes) return kNone;
    }
    Loc loc = head.loc;
    loc.bytes = bytes;
    const EffectId before = g.effects[run.front()].prev;
    if (g.last_alias(before, loc) != head.token) return kNone;
    return g.load(loc, false, false, head.token);
  }

  void merge(const std::vector<EffectId>& parts, size_t first, size_t last, uint32_t bytes, NodeId value) {
    const EffectId keep = *std::max_element(parts.begin() + long(first), parts.begin() + long(last));
    const int64_t start = g.effects[parts[first]].loc.off;
    for (size_t i = first; i < last; i++) {
      if (parts[i] == keep) continue;
      g.effects[parts[i]].dead = true;
      for (Node& n : g.nodes) {
        if (n.token == parts[i]) n.token = keep;
      }
    }
    g.effects[keep].loc.off = start;
    g.effects[keep].loc.bytes = bytes;
    g.effects[keep].value = value;
  }

  void finish() {
    std::vector<EffectId> parts = run;
    std::stable_sort(parts.begin(), parts.end(), [&](EffectId a, EffectId b) {
      const Loc &x = g.effects[a].loc, &y = g.effects[b].loc;
      return std::tuple(x.mode, x.base, x.map, x.off) < std::tuple(y.mode, y.base, y.map, y.off);
    });
    for (size_t first = 0; first < parts.size();) {
      size_t best = first + 1;
      uint32_t best_bytes = 0, bytes = 0;
      NodeId best_value = kNone;
      for (size_t last = first + 1; last <= parts.size(); last++) {
        const Loc &head = g.effects[parts[first]].loc, &tail = g.effects[parts[last - 1]].loc;
        if (!same_place(head, tail) || tail.off != head.off + int64_t(bytes)) break;
        bytes += tail.bytes;
        if (bytes > 8) break;
        if (last - first < 2 || (bytes != 2 && bytes != 4 && bytes != 6 && bytes != 8)) continue;
        const NodeId value = joined(parts, first, last, bytes);
        if (value != kNone) best = last, best_bytes = bytes, best_value = value;
      }
      if (best_value != kNone) merge(parts, first, best, best_bytes, best_value);
      first = best;
    }
    run.clear();
  }
};

}  // namespace

void merge_stores(Graph& graph) {
  Merger m{graph, {}};
  for (BlockId id = 0; id < graph.blocks.size(); id++) {
    for (EffectId e : graph.blocks[id].effects) {
      if (!m.joins(e)) {
        m.finish();
        if (!m.joins(e)) continue;
      }
      m.run.push_back(e);
    }
    m.finish();
    std::erase_if(graph.blocks[id].effects, [&](EffectId e) { return graph.effects[e].dead; });
  }
}

}  // namespace xnic::compile::opt
