// SPDX-License-Identifier: Apache-2.0
// Orders: depth-first search; an edge to a node that is not behind its beginning in reverse postorder closes a loop,
// and the loop is what reaches its end without passing its head.
#include "compile/prove/order.hpp"

#include <algorithm>

namespace xnic::compile::prove {

using namespace arch::ebpf;
namespace hxdp = arch::hxdp;

std::vector<uint32_t> next_slots(const Program& program, Slot slot) {
  const Instruction& insn = program.insns[slot];
  if (std::holds_alternative<Exit>(insn)) return {};
  if (const auto* o = std::get_if<Goto>(&insn)) return {o->target};
  if (const auto* o = std::get_if<Jump>(&insn)) return {slot + 1, o->target};
  return {slot + 1};
}

std::vector<uint32_t> next_rows(const hxdp::Image& image, hxdp::Row row) {
  std::vector<uint32_t> out;
  for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
    const hxdp::Op& op = image.rows[row].lanes[lane];
    if (const int64_t target = hxdp::branch_target(op); target >= 0) out.push_back(uint32_t(target));
    if (hxdp::ends_row(op)) return out;
  }
  out.push_back(row + 1);
  return out;
}

Order::Order(const std::vector<std::vector<uint32_t>>& next, const std::vector<uint32_t>& roots)
    : at(next.size(), 0), entries(next.size(), 0), loops(next.size()) {
  std::vector<bool> seen(next.size(), false);
  std::vector<uint32_t> post;
  for (uint32_t root : roots) {
    std::vector<std::pair<uint32_t, size_t>> stack;  // node, successors left
    const auto enter = [&](uint32_t n) {
      if (n >= next.size()) return;
      entries[n]++;
      if (seen[n]) return;
      seen[n] = true;
      stack.emplace_back(n, next[n].size());
    };
    enter(root);
    while (!stack.empty()) {
      auto& [n, left] = stack.back();
      if (left == 0) {
        post.push_back(n);
        stack.pop_back();
      } else {
        enter(next[n][--left]);
      }
    }
  }
  for (size_t i = 0; i < post.size(); i++) at[post[i]] = uint32_t(post.size() - i);
  find_loops(next);
}

void Order::find_loops(const std::vector<std::vector<uint32_t>>& next) {
  std::vector<std::vector<uint32_t>> before(next.size());
  for (uint32_t n = 0; n < next.size(); n++) {
    for (uint32_t to : next[n]) {
      if (to < next.size() && at[n] != 0) before[to].push_back(n);
    }
  }
  for (uint32_t head = 0; head < next.size(); head++) {
    std::vector<uint32_t> stack;
    std::vector<bool> inside(next.size(), false);
    inside[head] = true;
    for (uint32_t end : before[head]) {
      if (at[end] >= at[head]) stack.push_back(end);
    }
    if (stack.empty()) continue;
    while (!stack.empty()) {
      const uint32_t n = stack.back();
      stack.pop_back();
      if (inside[n] || at[n] < at[head]) continue;
      inside[n] = true;
      for (uint32_t from : before[n]) stack.push_back(from);
    }
    for (uint32_t n = 0; n < next.size(); n++) {
      if (inside[n]) loops[n].push_back(head);
    }
  }
  for (auto& heads : loops)
    std::sort(heads.begin(), heads.end(), [&](uint32_t x, uint32_t y) { return at[x] < at[y]; });
}

}  // namespace xnic::compile::prove
