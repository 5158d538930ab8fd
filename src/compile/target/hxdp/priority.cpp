// SPDX-License-Identifier: Apache-2.0
// In which order operations of a region are worth issuing: from the longest ways, in rows, from each of them to the
// region's exits.
#include <algorithm>

#include "base/check.hpp"
#include "compile/target/hxdp/region.hpp"

namespace xnic::compile::target::hxdp {

namespace {
constexpr int kNever = -1;  // there is no way to the exit
}

void Region::set_links() {
  std::vector<uint32_t> producer(graph_.nodes.size(), kNone), waiting(items.size());
  std::vector<std::vector<uint32_t>> followers(items.size());
  for (uint32_t i = 0; i < items.size(); i++) {
    if (items[i].node != kNone) producer[items[i].node] = i;
  }
  before_.assign(items.size(), {});
  for (uint32_t i = 0; i < items.size(); i++) {
    for (const Item::Dep& dep : items[i].deps) before_[i].push_back({dep.item, dep.rows});
    for (NodeId need : items[i].needs) {
      if (producer[need] != kNone) before_[i].push_back({producer[need], 1});
    }
    waiting[i] = uint32_t(before_[i].size());
    for (const Link& link : before_[i]) followers[link.item].push_back(i);
  }
  for (uint32_t i = 0; i < items.size(); i++) {
    if (waiting[i] == 0) order_.push_back(i);
  }
  for (size_t done = 0; done < order_.size(); done++) {
    for (uint32_t follower : followers[order_[done]]) {
      if (--waiting[follower] == 0) order_.push_back(follower);
    }
  }
  CHECK(order_.size() == items.size());
  // Nothing waits for the end, but some values are for side exits only: the end stands behind them all the same.
  const uint32_t end = item_of_seq_.back();
  order_.erase(std::find(order_.begin(), order_.end(), end));
  order_.push_back(end);
}

// Longest ways from all items to one of them; kNever: none.
std::vector<int> Region::heights_to(uint32_t item) const {
  std::vector<int> height(items.size(), kNever);
  height[item] = 0;
  for (size_t i = order_.size(); i-- > 0;) {
    const uint32_t at = order_[i];
    if (height[at] == kNever) continue;
    for (const Link& link : before_[at]) height[link.item] = std::max(height[link.item], height[at] + link.rows);
  }
  return height;
}

// The first rows in which items could issue, were there lanes for all.
std::vector<int> Region::earliest() const {
  std::vector<int> row(items.size(), 0);
  for (uint32_t at : order_) {
    for (const Link& link : before_[at]) row[at] = std::max(row[at], row[link.item] + link.rows);
  }
  return row;
}

// Pinned operations in order claim what they wait for and nobody before them has claimed.
void Region::set_deadlines() {
  std::vector<uint32_t> work;
  for (uint32_t pinned : item_of_seq_) {
    const uint32_t sequence = items[pinned].sequence;
    items[pinned].deadline = sequence;
    work.push_back(pinned);
    while (!work.empty()) {
      const uint32_t at = work.back();
      work.pop_back();
      for (const Link& link : before_[at]) {
        if (items[link.item].deadline <= sequence) continue;
        items[link.item].deadline = sequence;
        work.push_back(link.item);
      }
    }
  }
}

void Region::set_weights() {
  const auto weight = [&](BlockId block) { return graph_.blocks[block].weight; };
  const double entered = std::max(weight(path[0]), 1e-12);
  double left = 1;
  for (Item& item : items) {
    if (item.kind != Item::Kind::kBranch) continue;
    item.weight = std::min(left, weight(item.exit) / entered);
    left -= item.weight;
  }
  items[item_of_seq_.back()].weight = left;
}

void Region::rank(Priority priority) {
  const uint32_t end = item_of_seq_.back();
  const std::vector<int> to_end = heights_to(end);
  const auto set = [&](auto&& of) {
    for (uint32_t i = 0; i < items.size(); i++) items[i].rank = of(i);
  };
  switch (priority) {
    case Priority::kHeight:
      return set([&](uint32_t i) { return double(to_end[i]); });
    case Priority::kYield: {
      const std::vector<int> early = earliest();
      set([](uint32_t) { return 0.0; });
      for (uint32_t exit : item_of_seq_) {
        if (items[exit].weight <= 0) continue;
        const std::vector<int> height = heights_to(exit);
        for (uint32_t i = 0; i < items.size(); i++) {
          if (height[i] != kNever) items[i].rank += items[exit].weight * (early[end] + 1 - early[exit] + height[i]);
        }
      }
      return;
    }
    case Priority::kRetire:
      return set([&](uint32_t i) { return double(to_end[i]) - double(items.size()) * items[i].deadline; });
  }
}

void Region::rank(const std::vector<uint32_t>& rows) {
  for (size_t at = 0; at < order_.size(); at++) items[order_[at]].rank = -double(rows[at]);
}

ExactProblem Region::exact(uint32_t lanes, bool parallel_branches) const {
  ExactProblem problem{.units = {}, .lanes = lanes, .parallel_branches = parallel_branches};
  std::vector<uint32_t> place(items.size());
  for (uint32_t at = 0; at < order_.size(); at++) place[order_[at]] = at;
  for (uint32_t at : order_) {
    const Item& item = items[at];
    ExactProblem::Unit unit;
    for (const Link& link : before_[at]) unit.before.push_back({place[link.item], link.rows});
    const bool pure_call = item.kind == Item::Kind::kPure && graph_.node(item.node).kind == opt::NodeKind::kCall;
    unit.call = pure_call || (item.effect != 0 && graph_.effects[item.effect].kind == opt::EffectKind::kCall);
    unit.branch = item.kind == Item::Kind::kBranch;
    unit.lane = item.kind != Item::Kind::kEnd || graph_.blocks[item.block].end == opt::Block::End::kExit;
    problem.units.push_back(std::move(unit));
  }
  // The end comes last. One that leads to a merge may be no operation: falling through, with nothing to move.
  const uint32_t end = place[item_of_seq_.back()];
  CHECK(end + 1 == problem.units.size());
  for (uint32_t at = 0; at < end; at++) problem.units[end].before.push_back({at, 0});
  return problem;
}

}  // namespace xnic::compile::target::hxdp
