// SPDX-License-Identifier: Apache-2.0
// Joining. A joined state has conditional values, which are dear to reason about, while one path alone is easy; but the
// number of paths doubles with every condition. So: registers that nothing reads any more become unknowns; states that
// are then equal but for their paths and stacks are joined, which loses nothing; and only where more than kApart are
// left, those that differ least.
#include "compile/prove/join.hpp"

#include <algorithm>
#include <optional>

namespace xnic::compile::prove {

namespace {

constexpr size_t kApart = 24;  // states at one place that go on apart

bool same_bytes(const Memory& a, const Memory& b) {
  if (a == b) return true;
  if (a->form != MemoryNode::Form::kWritten || b->form != MemoryNode::Form::kWritten) return false;
  return a->base == b->base && a->bytes == b->bytes && same_bytes(a->under, b->under);
}

// Calls `term` and `memory` on each pair of values of two states at one place; stacks are left out.
template <class A, class B>
void each_world_pair(A& x, B& y, const auto& term, const auto& memory) {
  memory(x.packet, y.packet), memory(x.heap, y.heap);
  term(x.length, y.length), term(x.meta, y.meta);
  for (size_t m = 0; m < x.values.size(); m++) memory(x.values[m], y.values[m]), term(x.versions[m], y.versions[m]);
}
template <class A, class B>
void each_pair(A& a, B& b, const auto& term, const auto& memory) {
  for (size_t r = 0; r < a.bytecode.regs.size(); r++) term(a.bytecode.regs[r], b.bytecode.regs[r]);
  for (size_t r = 0; r < a.core.regs.size(); r++) term(a.core.regs[r], b.core.regs[r]);
  for (size_t f = 0; f < a.bytecode.frames.size(); f++) {
    for (size_t r = 0; r < 4; r++) term(a.bytecode.frames[f].saved[r], b.bytecode.frames[f].saved[r]);
  }
  if (a.bytecode.done) term(a.bytecode.verdict, b.bytecode.verdict);
  if (a.core.done) term(a.core.verdict, b.core.verdict);
  each_world_pair(a.bytecode.world, b.bytecode.world, term, memory);
  each_world_pair(a.core.world, b.core.world, term, memory);
}

// How many values differ.
size_t distance(const Product& a, const Product& b) {
  size_t out = 0;
  each_pair(
      a, b, [&](Term x, Term y) { out += x != y; },
      [&](const Memory& x, const Memory& y) { out += same_bytes(x, y) ? 0 : 4; });
  return out;
}

bool equal_stacks(const Product& a, const Product& b) {
  return same_bytes(a.bytecode.stack, b.bytecode.stack) && same_bytes(a.core.stack, b.core.stack);
}

bool joinable(const Product& a, const Product& b) {
  return a.bytecode.done == b.bytecode.done && a.core.done == b.core.done && a.bytecode.slot == b.bytecode.slot &&
         a.core.row == b.core.row && a.pending == b.pending && a.bytecode.world.data == b.bytecode.world.data &&
         a.core.world.data == b.core.world.data &&
         std::equal(a.bytecode.frames.begin(), a.bytecode.frames.end(), b.bytecode.frames.begin(),
                    b.bytecode.frames.end(), [](const Frame& x, const Frame& y) { return x.call == y.call; });
}

}  // namespace

Joiner::Joiner(const Setting& setting, Cuts* cuts) : s_(setting), cuts_(cuts), liveness_(setting) {}

void Joiner::join(std::vector<Product>& all) const {
  if (all.size() < 2) return;
  for (Product& p : all) liveness_.forget_dead(p);
  join_equal(all);
  if (cuts_) join_general(all);
  if (all.size() > kApart) join_nearest(all);
}

// Of the equal states, those first whose paths parted last: their conditions cancel out.
void Joiner::join_equal(std::vector<Product>& all) const {
  std::stable_sort(all.begin(), all.end(),
                   [](const Product& a, const Product& b) { return a.path.literals() < b.path.literals(); });
  const auto common = [&](const Product& a, const Product& b) {
    const auto &x = a.path.literals(), &y = b.path.literals();
    return size_t(std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin());
  };
  // Classes of equal states, as lists of indices in order.
  std::vector<std::vector<size_t>> classes;
  for (size_t i = 0; i < all.size(); i++) {
    auto it = std::find_if(classes.begin(), classes.end(), [&](const auto& c) {
      return joinable(all[c[0]], all[i]) && distance(all[c[0]], all[i]) == 0 &&
             (!cuts_ || equal_stacks(all[c[0]], all[i]));
    });
    if (it == classes.end()) it = classes.insert(it, std::vector<size_t>{});
    it->push_back(i);
  }
  std::vector<Product> out;
  for (auto& members : classes) {
    while (members.size() > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < members.size(); i++) {
        if (common(all[members[i]], all[members[i + 1]]) > common(all[members[best]], all[members[best + 1]])) best = i;
      }
      join_into(all[members[best]], all[members[best + 1]]);
      members.erase(members.begin() + ptrdiff_t(best) + 1);
    }
    out.push_back(std::move(all[members[0]]));
  }
  all = std::move(out);
}

void Joiner::join_general(std::vector<Product>& all) const {
  std::vector<Product> out;
  for (Product& p : all) {
    const bool joined = std::any_of(out.begin(), out.end(), [&](Product& other) {
      auto both = generalize(s_, *cuts_, other, p);
      if (both) other = std::move(*both);
      return both.has_value();
    });
    if (!joined) out.push_back(std::move(p));
  }
  all = std::move(out);
}

void Joiner::join_nearest(std::vector<Product>& all) const {
  while (all.size() > kApart) {
    size_t least = ~size_t{0}, first = 0, second = 0;
    for (size_t i = 0; i < all.size(); i++) {
      for (size_t j = i + 1; j < all.size(); j++) {
        if (!joinable(all[i], all[j])) continue;
        if (const size_t d = distance(all[i], all[j]); d < least) least = d, first = i, second = j;
      }
    }
    if (least == ~size_t{0}) return;
    join_into(all[first], all[second]);
    all.erase(all.begin() + ptrdiff_t(second));
  }
}

void Joiner::join_into(Product& a, const Product& b) const {
  Terms& t = s_.terms;
  Term guard;
  a.path = Path::join(t, a.path, b.path, guard);
  a.general |= b.general;
  a.cuts.insert(a.cuts.end(), b.cuts.begin(), b.cuts.end());
  std::sort(a.cuts.begin(), a.cuts.end());
  a.cuts.erase(std::unique(a.cuts.begin(), a.cuts.end()), a.cuts.end());
  a.doubts.insert(a.doubts.end(), b.doubts.begin(), b.doubts.end());
  const auto memory = [&](Memory& x, const Memory& y) {
    if (!same_bytes(x, y)) x = either(t, guard, x, y);
  };
  each_pair(a, b, [&](Term& x, Term y) { x = t.ite(guard, x, y); }, memory);
  memory(a.bytecode.stack, b.bytecode.stack), memory(a.core.stack, b.core.stack);
}

}  // namespace xnic::compile::prove
