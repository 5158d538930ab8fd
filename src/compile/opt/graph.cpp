// SPDX-License-Identifier: Apache-2.0
// Construction of values: hash-consing, and the graph's own queries. Folding rules are in fold.cpp.
#include "base/check.hpp"
#include "compile/opt/alu.hpp"
#include "compile/opt/ir.hpp"

namespace xnic::compile::opt {

namespace {

uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdu;
}
uint64_t hash(const Node& n) {
  uint64_t h = uint64_t(n.kind) | uint64_t(n.op) << 8 | uint64_t(n.width) << 16 | uint64_t(n.bits) << 24 |
               uint64_t(n.flag) << 32 | uint64_t(n.big) << 33 | uint64_t(n.space) << 40;
  for (uint64_t v : {uint64_t(n.a), uint64_t(n.b), n.value, uint64_t(n.map), uint64_t(n.loc.base), uint64_t(n.loc.off),
                     uint64_t(n.loc.bytes), uint64_t(n.token), uint64_t(n.token2), uint64_t(n.site)})
    h = mix(h, v);
  return h;
}
bool same(const Node& x, const Node& y) {
  return x.kind == y.kind && x.op == y.op && x.width == y.width && x.bits == y.bits && x.flag == y.flag &&
         x.big == y.big && x.space == y.space && x.a == y.a && x.b == y.b && x.value == y.value && x.map == y.map &&
         x.loc == y.loc && x.token == y.token && x.token2 == y.token2 && x.site == y.site;
}

}  // namespace

Graph::Graph(const arch::ebpf::Program& program) : program_(program) {
  effects.push_back({});  // kEntry
}

NodeId Graph::intern(Node node) {
  const uint64_t h = hash(node);
  auto [first, last] = index_.equal_range(h);
  for (auto it = first; it != last; ++it) {
    if (same(nodes[it->second], node)) return it->second;
  }
  node.block = at_block;
  node.slot = at_slot;
  if (node.kind == NodeKind::kAlu) {
    node.found_bits = find_bits(node);
    if (node.width == Width::k64 && (node.op == AluOp::kAdd || node.op == AluOp::kSub)) {
      node.found_space = provenance(node.a, node.found_map);
      if (node.found_space == Space::kRegister && node.op == AluOp::kAdd)
        node.found_space = provenance(node.b, node.found_map);
    }
  }
  nodes.push_back(node);
  const auto id = NodeId(nodes.size() - 1);
  index_.emplace(h, id);
  return id;
}

NodeId Graph::constant(uint64_t value) { return intern({.kind = NodeKind::kConst, .value = value}); }

NodeId Graph::address(Space space, int64_t offset, int64_t map, EffectId token) {
  return intern({.kind = NodeKind::kAddress, .space = space, .value = uint64_t(offset), .map = map, .token = token});
}

NodeId Graph::alu(AluOp op, Width width, NodeId a, NodeId b) {
  if (op == AluOp::kReverseSub) return alu(AluOp::kSub, width, b, a);
  if (fold) {
    if (NodeId folded = fold_alu(op, width, a, b); folded != kNone) return folded;
    // One order for operations that have none: constants right, else the older node left.
    const bool commutes =
        op == AluOp::kAdd || op == AluOp::kMul || op == AluOp::kOr || op == AluOp::kAnd || op == AluOp::kXor;
    if (commutes && (is_const(a) || (!is_const(b) && b < a))) std::swap(a, b);
  }
  return intern({.kind = NodeKind::kAlu, .op = op, .width = width, .a = a, .b = b});
}

NodeId Graph::sext(Width width, uint8_t bits, NodeId a) {
  if (fold && is_const(a)) return constant(evaluate_sext(width, bits, const_of(a)));
  if (fold && used_bits(a) < bits) return a;
  return intern({.kind = NodeKind::kSext, .width = width, .bits = bits, .a = a});
}

NodeId Graph::swap(uint8_t bits, NodeId a) {
  if (fold && is_const(a)) return constant(evaluate_swap(bits, const_of(a)));
  const Node& n = nodes[a];
  if (merge_loads && n.kind == NodeKind::kLoad && !n.flag && n.loc.bytes * 8 == bits &&
      last_alias(head, n.loc) == n.token)
    return load(Loc(n.loc), false, !n.big, n.token);
  return intern({.kind = NodeKind::kSwap, .bits = bits, .a = a});
}

NodeId Graph::zero_extend(uint8_t bits, NodeId a) {
  if (bits == 64) return a;
  return alu(AluOp::kAnd, Width::k64, a, constant((uint64_t{1} << bits) - 1));
}

NodeId Graph::fold_sum(bool invert, NodeId a, NodeId b) {
  if (is_const(a) && is_const(b)) return constant(evaluate_fold(invert, const_of(a), const_of(b)));
  if (is_const(a)) std::swap(a, b);
  return intern({.kind = NodeKind::kFold, .flag = invert, .a = a, .b = b});
}

NodeId Graph::load(const Loc& loc, bool sign, bool big, EffectId token) {
  if (loc.bytes == 1) big = false;
  return intern({.kind = NodeKind::kLoad, .flag = sign, .big = big, .loc = loc, .token = token});
}

NodeId Graph::pure_call(uint32_t call, EffectId memory, EffectId map) {
  // Equal calls share their first description, so that they become one node.
  const CallInfo& info = calls[call];
  for (uint32_t i = 0; i < call; i++) {
    if (calls[i].pure && calls[i].helper == info.helper && calls[i].args == info.args) {
      call = i;
      break;
    }
  }
  int64_t target = -1;
  if (info.helper == 1) {  // the value belongs to the map of the first argument
    const Node& m = nodes[info.args[0].node];
    if (m.kind == NodeKind::kAddress && m.space == Space::kMap) target = m.map;
  }
  return intern({.kind = NodeKind::kCall, .map = target, .token = memory, .token2 = map, .site = call});
}

NodeId Graph::result(EffectId effect, int64_t map) {
  return intern({.kind = NodeKind::kResult, .map = map, .site = effect});
}

NodeId Graph::phi(BlockId block) {
  nodes.push_back({.kind = NodeKind::kPhi, .site = block, .block = block, .slot = at_slot});
  return NodeId(nodes.size() - 1);
}

bool Graph::dominates(BlockId a, BlockId b) const {
  while (b != kNone && blocks[b].depth > blocks[a].depth) b = blocks[b].idom;
  return a == b;
}

}  // namespace xnic::compile::opt
