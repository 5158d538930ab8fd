// SPDX-License-Identifier: Apache-2.0
// Chains of one associative operation (sums of checksums, hashes) become trees, so that lanes work on them at once.
//
// A chain is an operation and those of its operands that are the same operation, of the same width, with no other use.
// Its leaves are joined anew, the two that are ready first first (as Huffman's code joins weights), which gives the
// least height there is. Nodes keep their identity: the chain's last operation gets new operands and the same value.
#include <algorithm>
#include <queue>

#include "compile/opt/passes.hpp"

namespace xnic::compile::opt {

namespace {

// A tree holds more values at once than a chain; those of longer ones would go to the stack and back.
constexpr size_t kMostLeaves = 10;

struct Balancer {
  Graph& g;
  std::vector<uint32_t> uses;
  std::vector<int> heights;  // -1: not known yet

  void count_uses() {
    uses.assign(g.nodes.size(), 0);
    std::vector<NodeId> work;
    const auto use = [&](NodeId id) {
      if (id != kNone && uses[id]++ == 0) work.push_back(id);
    };
    for (const Effect& e : g.effects) {
      if (e.dead) continue;
      if (e.kind == EffectKind::kCall) {
        for (const CallArg& arg : g.calls[e.call].args) use(arg.node);
      } else {
        use(e.loc.base), use(e.value), use(e.expected);
      }
    }
    for (const Block& b : g.blocks) {
      for (NodeId id : {b.cond.a, b.cond.b, b.verdict}) use(id);
      for (NodeId id : b.args) use(id);
    }
    while (!work.empty()) {
      const NodeId id = work.back();
      work.pop_back();
      for_each_operand(g, id, use);
    }
  }
  // Rows from what is at hand to the value. Operands are older nodes here, so this ends.
  int height(NodeId id) {
    if (heights[id] >= 0) return heights[id];
    int most = 0;
    for_each_operand(g, id, [&](NodeId operand) { most = std::max(most, height(operand)); });
    const NodeKind kind = g.node(id).kind;
    return heights[id] = kind == NodeKind::kConst || kind == NodeKind::kPhi ? 0 : most + 1;
  }
  static bool associative(AluOp op) {
    return op == AluOp::kAdd || op == AluOp::kXor || op == AluOp::kOr || op == AluOp::kAnd;
  }
  bool continues(NodeId id, const Node& root) const {
    const Node& n = g.node(id);
    return n.kind == NodeKind::kAlu && n.op == root.op && n.width == root.width && uses[id] == 1;
  }

  void balance(NodeId root) {
    const Node n = g.node(root);
    std::vector<NodeId> leaves, work{n.a, n.b};
    while (!work.empty()) {
      const NodeId id = work.back();
      work.pop_back();
      if (!continues(id, n)) {
        leaves.push_back(id);
        continue;
      }
      work.push_back(g.node(id).b);
      work.push_back(g.node(id).a);
    }
    if (leaves.size() < 4 || leaves.size() > kMostLeaves) return;
    using Ready = std::pair<int, NodeId>;
    std::priority_queue<Ready, std::vector<Ready>, std::greater<>> queue;
    for (NodeId leaf : leaves) queue.push({height(leaf), leaf});
    // How high it would get, before anything is built.
    std::priority_queue<int, std::vector<int>, std::greater<>> heights_only;
    for (NodeId leaf : leaves) heights_only.push(height(leaf));
    while (heights_only.size() > 1) {
      heights_only.pop();
      const int second = heights_only.top();
      heights_only.pop();
      heights_only.push(second + 1);
    }
    if (heights_only.top() >= height(root)) return;
    g.at_block = n.block;
    g.at_slot = n.slot;
    while (queue.size() > 2) {
      const auto [first_height, first] = queue.top();
      queue.pop();
      const auto [second_height, second] = queue.top();
      queue.pop();
      const NodeId sum = g.alu(n.op, n.width, first, second);
      if (sum >= heights.size()) heights.resize(sum + 1, -1), uses.resize(sum + 1, 1);
      heights[sum] = second_height + 1;
      queue.push({second_height + 1, sum});
    }
    const NodeId a = queue.top().second;
    queue.pop();
    NodeId b = queue.top().second;
    // Constants stand right, where they fit the immediate field.
    g.nodes[root].a = g.is_const(a) ? b : a;
    g.nodes[root].b = g.is_const(a) ? a : b;
    heights[root] = queue.top().first + 1;
  }
};

}  // namespace

void reassociate(Graph& graph) {
  Balancer b{graph, {}, {}};
  b.count_uses();
  b.heights.assign(graph.nodes.size(), -1);
  const size_t count = graph.nodes.size();
  std::vector<bool> inner(count);  // of a chain that a later node ends
  for (NodeId id = 0; id < count; id++) {
    const Node& n = graph.node(id);
    if (n.kind != NodeKind::kAlu || !Balancer::associative(n.op)) continue;
    for (NodeId operand : {n.a, n.b}) {
      if (b.uses[id] > 0 && b.continues(operand, n)) inner[operand] = true;
    }
  }
  for (NodeId id = 0; id < count; id++) {
    const Node& n = graph.node(id);
    // Pointers keep the order in which they were made: what is known of them follows it.
    if (n.kind == NodeKind::kAlu && Balancer::associative(n.op) && b.uses[id] > 0 && !inner[id] &&
        n.found_space == Space::kRegister)
      b.balance(id);
  }
}

}  // namespace xnic::compile::opt
