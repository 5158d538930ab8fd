// SPDX-License-Identifier: Apache-2.0
// Marks from effects, conditions and verdicts through operands; a phi marks its arguments once it is marked itself.
#include <algorithm>

#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

struct Marker {
  Graph& g;
  std::vector<bool> marked;
  std::vector<NodeId> work;

  void mark(NodeId id) {
    if (id == kNone || marked[id]) return;
    marked[id] = true;
    work.push_back(id);
  }
  void mark(const Loc& loc) { mark(loc.base); }
  void roots() {
    for (const Effect& e : g.effects) {
      if (e.dead || e.kind == EffectKind::kEntry || e.kind == EffectKind::kMerge) continue;
      if (e.kind == EffectKind::kCall) {
        for (const CallArg& arg : g.calls[e.call].args) mark(arg.node);
      } else {
        mark(e.loc), mark(e.value), mark(e.expected);
      }
    }
    for (const Block& b : g.blocks) {
      if (b.end == Block::End::kBranch && !b.cond.packet) mark(b.cond.a), mark(b.cond.b);
      if (b.end == Block::End::kExit) mark(b.verdict);
    }
  }
  void spread() {
    std::vector<std::vector<BlockId>> ways(g.blocks.size());
    for (BlockId id = 0; id < g.blocks.size(); id++) {
      if (g.blocks[id].end == Block::End::kGoto) ways[g.blocks[id].next].push_back(id);
    }
    while (!work.empty()) {
      const NodeId id = work.back();
      work.pop_back();
      for_each_operand(g, id, [&](NodeId operand) { mark(operand); });
      const Node& n = g.nodes[id];
      if (n.kind != NodeKind::kPhi) continue;
      const auto& phis = g.blocks[n.site].phis;
      const auto at = size_t(std::find(phis.begin(), phis.end(), id) - phis.begin());
      for (BlockId way : ways[n.site]) mark(g.blocks[way].args[at]);
    }
  }
};

}  // namespace

void remove_dead_values(Graph& graph) {
  for (Block& b : graph.blocks) {
    if (b.end != Block::End::kExit) continue;
    const Node& n = graph.nodes[b.verdict];
    if (n.kind == NodeKind::kAlu && n.op == AluOp::kAnd && graph.is_const(n.b) &&
        (graph.const_of(n.b) & 0xffffffff) == 0xffffffff)
      b.verdict = n.a;
  }
  Marker m{graph, std::vector<bool>(graph.nodes.size()), {}};
  m.roots();
  m.spread();
  for (Effect& e : graph.effects) {
    if (e.result == kNone || m.marked[e.result]) continue;
    // Exchanges write a register in any case.
    if (e.kind == EffectKind::kAtomic && e.op > arch::ebpf::AtomicOp::kXor) continue;
    e.result = kNone;
    e.fetch = false;
  }
  for (BlockId id = 0; id < graph.blocks.size(); id++) {
    Block& b = graph.blocks[id];
    if (b.end == Block::End::kGoto) {
      const auto& phis = graph.blocks[b.next].phis;
      std::vector<NodeId> args;
      for (size_t i = 0; i < b.args.size(); i++) {
        if (m.marked[phis[i]]) args.push_back(b.args[i]);
      }
      b.args = std::move(args);
    }
  }
  for (Block& b : graph.blocks) std::erase_if(b.phis, [&](NodeId phi) { return !m.marked[phi]; });
}

}  // namespace xnic::compile::opt
