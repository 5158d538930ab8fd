// SPDX-License-Identifier: Apache-2.0
// A store of (what the same bytes held) + x, with nothing in between that may write them, is an addition in memory.
#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

// x, if `value` is load(loc) + x with the load still current before the effect; else kNone.
NodeId addend(const Graph& g, const Effect& e) {
  const Node& sum = g.node(e.value);
  if (sum.kind != NodeKind::kAlu || sum.op != AluOp::kAdd) return kNone;
  if (sum.width == Width::k32 && e.loc.bytes != 4) return kNone;
  for (auto [from, x] : {std::pair{sum.a, sum.b}, std::pair{sum.b, sum.a}}) {
    const Node& load = g.node(from);
    if (load.kind != NodeKind::kLoad || load.flag || load.big || !(load.loc == e.loc) || x == from) continue;
    if (g.last_alias(e.prev, e.loc) == load.token) return x;
  }
  return kNone;
}

}  // namespace

void form_memory_additions(Graph& graph) {
  for (Effect& e : graph.effects) {
    if (e.kind != EffectKind::kStore || e.dead || e.big || (e.loc.bytes != 4 && e.loc.bytes != 8)) continue;
    if (const NodeId x = addend(graph, e); x != kNone) {
      e.kind = EffectKind::kAdd;
      e.value = x;
    }
  }
}

}  // namespace xnic::compile::opt
