// SPDX-License-Identifier: Apache-2.0
// Paths: what the literals say without a solver.
#include <algorithm>
#include <array>
#include <optional>

#include "compile/prove/state.hpp"

namespace xnic::compile::prove {

namespace {
constexpr uint64_t kSmall = uint64_t{1} << 40;

// An atom a < b of small sums as `x < y + by`, or as its opposite.
struct Gap {
  std::pair<Term, Term> terms;
  uint64_t by;
  bool opposite;
};
std::optional<Gap> gap_of(Terms& terms, const Node& atom) {
  if (atom.kind != Kind::kUlt || terms.width(atom.args[0]) != 64) return std::nullopt;
  const std::array<Term, 2> sides = {atom.args[0], atom.args[1]};
  const auto [a, c] = split_address(terms, sides[0]);
  const auto [b, d] = split_address(terms, sides[1]);
  if (terms.upper_bound(a) >= kSmall || terms.upper_bound(b) >= kSmall || c >= kSmall || d >= kSmall)
    return std::nullopt;
  // a + c < b + d: either a < b + (d - c), or not b < a + (c - d + 1).
  if (d >= c) return Gap{{a, b}, d - c, false};
  return Gap{{b, a}, c - d + 1, true};
}
}  // namespace

int Path::decide(Terms& terms, Term condition, int depth) const {
  const Node& n = terms.node(condition);
  if (n.kind == Kind::kConst) return n.value != 0;
  if (auto it = known_.find(condition); it != known_.end()) return it->second;
  if (n.kind == Kind::kNot) {
    const int d = decide(terms, n.args[0], depth);
    return d < 0 ? d : 1 - d;
  }
  if ((n.kind == Kind::kAnd || n.kind == Kind::kOr) && depth > 0) {
    const int a = decide(terms, n.args[0], depth - 1), b = decide(terms, n.args[1], depth - 1);
    const int strong = n.kind == Kind::kAnd ? 0 : 1;
    if (a == strong || b == strong) return strong;
    return a >= 0 && b >= 0 ? 1 - strong : -1;
  }
  if ((n.kind == Kind::kUlt || n.kind == Kind::kEq) && terms.is_const(n.args[1])) {
    auto it = bounds_.find(n.args[0]);
    if (it == bounds_.end()) return -1;
    const auto [low, high] = it->second;
    const uint64_t c = terms.value(n.args[1]);
    if (n.kind == Kind::kUlt) return high < c ? 1 : low >= c ? 0 : -1;
    if (c < low || c > high) return 0;
    return low == high ? 1 : -1;
  }
  if (const auto gap = gap_of(terms, n)) {
    auto it = gaps_.find(gap->terms);
    if (it == gaps_.end()) return -1;
    const int less = it->second.first >= int64_t(gap->by) ? 0 : it->second.second <= int64_t(gap->by) ? 1 : -1;
    return less < 0 || !gap->opposite ? less : 1 - less;
  }
  return -1;
}

void Path::assume(Terms& terms, Term condition) {
  const Node& n = terms.node(condition);
  if (n.kind == Kind::kAnd) {
    assume(terms, n.args[0]), assume(terms, n.args[1]);
    return;
  }
  if (n.kind == Kind::kNot && terms.node(n.args[0]).kind == Kind::kOr) {
    const std::vector<Term> args = terms.node(n.args[0]).args;
    assume(terms, terms.negate(args[0])), assume(terms, terms.negate(args[1]));
    return;
  }
  if (decide(terms, condition) == 1) return;
  literals_.push_back(condition);
  const bool positive = n.kind != Kind::kNot;
  const Term atom = positive ? condition : n.args[0];
  known_[atom] = positive;
  const Node& a = terms.node(atom);
  if (const auto gap = gap_of(terms, a)) {
    auto& [low, high] = gaps_.try_emplace(gap->terms, -1, INT64_MAX).first->second;
    if (positive == gap->opposite) low = std::max(low, int64_t(gap->by));
    if (positive != gap->opposite) high = std::min(high, int64_t(gap->by));
  }
  if ((a.kind != Kind::kUlt && a.kind != Kind::kEq) || !terms.is_const(a.args[1])) return;
  auto& [low, high] = bounds_.try_emplace(a.args[0], 0, terms.upper_bound(a.args[0])).first->second;
  const uint64_t c = terms.value(a.args[1]);
  if (a.kind == Kind::kUlt) {
    if (positive) high = std::min(high, c - 1);  // c > 0: x < 0 is never built
    if (!positive) low = std::max(low, c);
  } else if (positive) {
    low = std::max(low, c), high = std::min(high, c);
  } else {
    if (low == c) low++;
    if (high == c) high--;
  }
}

Path Path::join(Terms& terms, const Path& a, const Path& b, Term& guard) {
  Path out;
  Term rest_a = terms.truth(), rest_b = terms.truth();
  guard = ~Term{0};
  for (Term literal : a.literals_) {
    if (b.decide(terms, literal) == 1) {
      out.assume(terms, literal);
    } else {
      rest_a = terms.both(rest_a, literal);
      // One literal that is false on the other way tells the two apart.
      if (guard == ~Term{0} && b.decide(terms, literal) == 0) guard = literal;
    }
  }
  for (Term literal : b.literals_) {
    if (a.decide(terms, literal) == 1) {
      out.assume(terms, literal);
    } else {
      rest_b = terms.both(rest_b, literal);
      if (guard == ~Term{0} && a.decide(terms, literal) == 0) guard = terms.negate(literal);
    }
  }
  if (guard == ~Term{0}) guard = rest_a;
  out.assume(terms, terms.either(rest_a, rest_b));
  for (const auto& [term, bound] : a.bounds_) {
    auto it = b.bounds_.find(term);
    if (it == b.bounds_.end()) continue;
    auto [low, high] = bound;
    low = std::min(low, it->second.first), high = std::max(high, it->second.second);
    auto& mine = out.bounds_.try_emplace(term, low, high).first->second;
    mine = {std::max(mine.first, low), std::min(mine.second, high)};
  }
  for (const auto& [terms_of, gap] : a.gaps_) {
    auto it = b.gaps_.find(terms_of);
    if (it == b.gaps_.end()) continue;
    auto& mine = out.gaps_.try_emplace(terms_of, -1, INT64_MAX).first->second;
    mine.first = std::max(mine.first, std::min(gap.first, it->second.first));
    mine.second = std::min(mine.second, std::max(gap.second, it->second.second));
  }
  for (const Path* path : {&a, &b}) {
    const size_t few = std::min(path->witnesses.size(), kMostWitnesses / 2);
    out.witnesses.insert(out.witnesses.end(), path->witnesses.begin(), path->witnesses.begin() + ptrdiff_t(few));
  }
  return out;
}

}  // namespace xnic::compile::prove
