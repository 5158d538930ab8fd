// SPDX-License-Identifier: Apache-2.0
// The two folding steps of an Internet checksum become one FoldSum.
//
// Recognised where 16 bits are stored: s = (x & 0xffff) + (x >> 16); s += s >> 16; perhaps inverted; of the low 32 bits
// of x. The low 16 bits of that are the one's complement sum of the two halves, which is what FoldSum gives (RFC 1071
// §2).
#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

const Node* alu(const Graph& g, NodeId id, AluOp op) {
  const Node& n = g.node(id);
  return n.kind == NodeKind::kAlu && n.op == op ? &n : nullptr;
}
bool is_shift16(const Graph& g, NodeId id, NodeId of) {
  const Node* n = alu(g, id, AluOp::kRsh);
  return n != nullptr && n->a == of && g.is_const(n->b) && g.const_of(n->b) == 16;
}
// `id` is bits 16 to 31 of `of`, and nothing else.
bool is_upper_half(const Graph& g, NodeId id, NodeId of) {
  const Node* n = alu(g, id, AluOp::kRsh);
  if (n == nullptr || !g.is_const(n->b) || g.const_of(n->b) != 16) return false;
  if (n->a == of) return n->width == Width::k32 || g.used_bits(of) <= 32;
  const Node* mask = alu(g, n->a, AluOp::kAnd);  // compilers for cpu v1, v2 cut to 32 bits so
  return mask != nullptr && mask->a == of && g.is_const(mask->b) && g.const_of(mask->b) >> 16 == 0xffff;
}
// The value the halves of whose low 32 bits `id` adds: (x & 0xffff) + (x >> 16 & 0xffff); else kNone.
NodeId halves(const Graph& g, NodeId id) {
  const Node* sum = alu(g, id, AluOp::kAdd);
  if (sum == nullptr) return kNone;
  for (auto [masked, shifted] : {std::pair{sum->a, sum->b}, std::pair{sum->b, sum->a}}) {
    const Node* mask = alu(g, masked, AluOp::kAnd);
    if (mask == nullptr || !g.is_const(mask->b) || g.const_of(mask->b) != 0xffff) continue;
    if (is_upper_half(g, shifted, mask->a)) return mask->a;
  }
  return kNone;
}

}  // namespace

void form_checksums(Graph& graph) {
  for (Effect& e : graph.effects) {
    if (e.kind != EffectKind::kStore || e.dead || e.loc.bytes != 2 || e.big) continue;
    NodeId value = e.value;
    bool invert = false;
    if (const Node* n = alu(graph, value, AluOp::kXor);
        n != nullptr && graph.is_const(n->b) && (graph.const_of(n->b) & 0xffff) == 0xffff)
      invert = true, value = n->a;
    const Node* last = alu(graph, value, AluOp::kAdd);
    if (last == nullptr) continue;
    for (auto [s, shifted] : {std::pair{last->a, last->b}, std::pair{last->b, last->a}}) {
      if (!is_shift16(graph, shifted, s)) continue;
      const NodeId x = halves(graph, s);
      if (x == kNone) continue;
      const Node* sum = alu(graph, x, AluOp::kAdd);
      e.value = sum != nullptr && sum->width == Width::k64 ? graph.fold_sum(invert, sum->a, sum->b)
                                                           : graph.fold_sum(invert, x, graph.constant(0));
      break;
    }
  }
}

}  // namespace xnic::compile::opt
