// SPDX-License-Identifier: Apache-2.0
// Anti-unification of terms in normal form. Sums are compared as sums: what they share stays, and of the rest the
// lesser constant is taken out, so that x and x + 8 on one side, y and y + 8 on the other, give v and v + 8.
// Concatenations part where both have a boundary. A variable is as narrow as the greater of its two values can be.
#include "compile/prove/pairing.hpp"

#include <algorithm>
#include <bit>

#include "base/check.hpp"

namespace xnic::compile::prove {

namespace {
// Numbers higher than this are unknowns where they differ: what a hash has gone through is of no use to what follows.
constexpr unsigned kHigh = 40;
}  // namespace

unsigned Pairing::bits(Term a, Term b) const {
  const uint64_t most = std::max(terms_.upper_bound(a), terms_.upper_bound(b));
  return std::max(1u, unsigned(std::bit_width(most)));
}

// Could the term lead to an object?
bool Pairing::address(Term t, int depth) const {
  if (terms_.is_pointer(t)) return true;
  const Node& n = terms_.node(t);
  if (n.width != 64 || depth == 0) return false;
  if (n.kind == Kind::kIte) return address(n.args[1], depth - 1) || address(n.args[2], depth - 1);
  return n.kind == Kind::kSum &&
         std::any_of(n.args.begin(), n.args.end(), [&](Term x) { return address(x, depth - 1); });
}

Term Pairing::of(Term a, Term b) {
  if (a == b) return a;
  if (auto it = done_.find({a, b}); it != done_.end()) return it->second;
  const Term out = differing(a, b);
  if (out != kNoTerm || !frozen_) done_[{a, b}] = out;
  return out;
}

Term Pairing::of_number(Term a, Term b) {
  const Term out = of(a, b);
  if (out != kNoTerm || frozen_) return out;
  return done_[{a, b}] = terms_.fresh(terms_.width(a), "either");
}

Term Pairing::differing(Term a, Term b) {
  const Kind x = terms_.node(a).kind, y = terms_.node(b).kind;
  const unsigned w = terms_.width(a);
  CHECK(w == terms_.width(b));
  if (terms_.is_pointer(a) || terms_.is_pointer(b)) {
    const Term object = objects(a, b);
    if (object != kNoTerm || (x != Kind::kSum && y != Kind::kSum)) return object;
  }
  if (w > 1 && (x == Kind::kSum || y == Kind::kSum || (x == Kind::kConst && y == Kind::kConst))) {
    if (const Term sum = sums(a, b); sum != kNoTerm) return sum;
    return variable(a, b);
  }
  if (terms_.height(a) > kHigh && terms_.height(b) > kHigh && !address(a) && !address(b)) return variable(a, b);
  if (const Term same = shape(a, b); same != kNoTerm) return same;
  if (const Term parts = split(a, b); parts != kNoTerm) return parts;
  return variable(a, b);
}

// A pointer for two: of one function with other arguments, or the packet, which has another place after a call that
// moves it. One pointer has one partner, so that two different ones stay different.
Term Pairing::objects(Term a, Term b) {
  if (!terms_.is_pointer(a) || !terms_.is_pointer(b) || terms_.tag(a) != terms_.tag(b)) return kNoTerm;
  const Kind kind = terms_.node(a).kind;
  if (kind != terms_.node(b).kind) return kNoTerm;
  if (kind == Kind::kApply) return shape(a, b);
  if (frozen_ || terms_.tag(a) != 0 || replaced_.contains(a) || replaced_.contains(b)) return kNoTerm;
  const Term out = terms_.pointer("data of either", terms_.tag(a));
  replaced_[a] = {1, out}, replaced_[b] = {2, out};
  return out;
}

namespace {
struct Linear {
  std::map<Term, uint64_t> parts;
  uint64_t constant = 0;
};
Linear linear(const Terms& terms, Term t) {
  const Node& n = terms.node(t);
  Linear out;
  if (n.kind == Kind::kConst) {
    out.constant = n.value;
  } else if (n.kind == Kind::kSum) {
    out.constant = n.value;
    for (size_t i = 0; i < n.args.size(); i++) out.parts[n.args[i]] = n.coefs[i];
  } else {
    out.parts[t] = 1;
  }
  return out;
}
Term sum_of(Terms& terms, unsigned width, const std::map<Term, uint64_t>& parts, uint64_t constant) {
  Term sum = terms.constant(width, constant);
  for (const auto& [t, c] : parts) sum = terms.add(sum, terms.mul(t, terms.constant(width, c)));
  return sum;
}
}  // namespace

Term Pairing::sums(Term a, Term b) {
  const unsigned w = terms_.width(a);
  Linear x = linear(terms_, a), y = linear(terms_, b);
  std::map<Term, uint64_t> common;
  for (const auto& [t, c] : x.parts) {
    if (auto it = y.parts.find(t); it != y.parts.end() && it->second == c) common.insert({t, c});
  }
  for (const auto& [t, c] : common) x.parts.erase(t), y.parts.erase(t);
  // Objects go with objects.
  const auto object = [&](const Linear& l) {
    return std::find_if(l.parts.begin(), l.parts.end(),
                        [&](const auto& p) { return p.second == 1 && terms_.is_pointer(p.first); });
  };
  const auto p = object(x), q = object(y);
  if ((p == x.parts.end()) != (q == y.parts.end())) return kNoTerm;
  if (p != x.parts.end()) {
    const Term both = objects(p->first, q->first);
    if (both == kNoTerm) return kNoTerm;
    common[both] += 1;
    x.parts.erase(p), y.parts.erase(q);
  }
  const uint64_t top = mask_of(w) / 2 + 1;
  const uint64_t least = (x.constant ^ top) < (y.constant ^ top) ? x.constant : y.constant;
  const uint64_t rest_a = (x.constant - least) & mask_of(w), rest_b = (y.constant - least) & mask_of(w);
  const auto lone = [](const Linear& l) { return l.parts.size() == 1; };
  Term rest = kNoTerm;
  if (x.parts.empty() && y.parts.empty()) {
    rest = rest_a == rest_b ? terms_.constant(w, 0) : variable(terms_.constant(w, rest_a), terms_.constant(w, rest_b));
  } else if (rest_a == rest_b && lone(x) && lone(y) && x.parts.begin()->second == y.parts.begin()->second) {
    const Term one = of(x.parts.begin()->first, y.parts.begin()->first);
    if (one != kNoTerm) rest = terms_.mul(one, terms_.constant(w, x.parts.begin()->second));
  } else {
    const Term left = sum_of(terms_, w, x.parts, rest_a), right = sum_of(terms_, w, y.parts, rest_b);
    if (common.empty() && least == 0) return kNoTerm;
    rest = variable(left, right);
  }
  if (rest == kNoTerm) return kNoTerm;
  return terms_.add(sum_of(terms_, w, common, least), rest);
}

// The same operation on other arguments.
Term Pairing::shape(Term a, Term b) {
  const Node &x = terms_.node(a), &y = terms_.node(b);
  if (x.kind != y.kind || x.args.empty() || x.args.size() != y.args.size() || x.coefs != y.coefs) return kNoTerm;
  if (x.kind == Kind::kSum) return kNoTerm;
  for (size_t i = 0; i < x.args.size(); i++) {
    if (terms_.width(x.args[i]) != terms_.width(y.args[i])) return kNoTerm;
  }
  Node n = x;
  if (x.value != y.value) {
    if (x.kind != Kind::kByte) return kNoTerm;
    const auto it = unknowns_.find({uint32_t(x.value), uint32_t(y.value)});
    if (it == unknowns_.end()) return kNoTerm;
    n.value = it->second->symbol;
  }
  std::vector<Term> args;
  for (size_t i = 0; i < x.args.size(); i++) {
    args.push_back(of(x.args[i], y.args[i]));
    if (args.back() == kNoTerm) return kNoTerm;
  }
  if (n.value != x.value) return terms_.byte(uint32_t(n.value), args[0]);
  return terms_.with_args(a, args);
}

// Where the term can be cut without cutting what it is made of; nullopt: anywhere.
std::optional<std::vector<unsigned>> Pairing::boundaries(Term t) const {
  const Node& n = terms_.node(t);
  if (n.kind == Kind::kConst) return std::nullopt;
  std::vector<unsigned> out;
  if (n.kind == Kind::kConcat) {
    unsigned at = 0;
    for (size_t i = n.args.size(); i-- > 1;) out.push_back(at += terms_.width(n.args[i]));
  }
  return n.kind == Kind::kIte ? common(boundaries(n.args[1]), boundaries(n.args[2])) : out;
}

std::optional<std::vector<unsigned>> Pairing::common(const std::optional<std::vector<unsigned>>& a,
                                                     const std::optional<std::vector<unsigned>>& b) {
  if (!a) return b;
  if (!b) return a;
  std::vector<unsigned> out;
  std::set_intersection(a->begin(), a->end(), b->begin(), b->end(), std::back_inserter(out));
  return out;
}

// Parts between the boundaries that both have; zeros above both values are a part.
Term Pairing::split(Term a, Term b) {
  const unsigned w = terms_.width(a);
  std::vector<unsigned> cuts = common(boundaries(a), boundaries(b)).value_or(std::vector<unsigned>());
  const unsigned zero = bits(a, b);
  const auto parts = [&](Term t) { return terms_.node(t).kind == Kind::kConcat; };
  if ((parts(a) || parts(b)) && zero < w && (cuts.empty() || cuts.back() < zero)) cuts.push_back(zero);
  return cuts.empty() ? kNoTerm : parted(a, b, std::move(cuts));
}

Term Pairing::parted(Term a, Term b, std::vector<unsigned> cuts) {
  cuts.push_back(terms_.width(a));
  std::vector<Term> parts;
  unsigned low = 0;
  for (unsigned cut : cuts) {
    parts.insert(parts.begin(), of(terms_.extract(a, low, cut - low), terms_.extract(b, low, cut - low)));
    if (parts.front() == kNoTerm) return kNoTerm;
    low = cut;
  }
  return terms_.concat(std::move(parts));
}

// A new variable, or what stands for the pair already. Parts of the pair have parts of the variable, so that it does
// not matter in what pieces a machine holds a value.
Term Pairing::variable(Term a, Term b) {
  if (address(a) || address(b)) return kNoTerm;
  const unsigned w = terms_.width(a), narrow = std::min(bits(a, b), w);
  const Term low_a = terms_.extract(a, 0, narrow), low_b = terms_.extract(b, 0, narrow);
  if (auto it = narrow_.find({low_a, low_b}); it != narrow_.end()) return terms_.zext(it->second, w);
  std::vector<unsigned> bytes;
  bool known = false;
  for (unsigned at = 0; at < narrow && narrow > 8; at += 8) {
    const unsigned size = std::min(8u, narrow - at);
    const Term x = terms_.extract(low_a, at, size), y = terms_.extract(low_b, at, size);
    known |= x == y || narrow_.contains({x, y});
    if (at > 0) bytes.push_back(at);
  }
  const auto sum = [&](Term t) { return terms_.node(t).kind == Kind::kSum; };
  if (known && !sum(a) && !sum(b)) {
    const Term parts = parted(low_a, low_b, std::move(bytes));
    return parts == kNoTerm ? kNoTerm : terms_.zext(parts, w);
  }
  if (frozen_) return kNoTerm;
  const Term symbol = terms_.fresh(narrow, "either");
  for (unsigned size = 8; size < narrow; size *= 2) {
    for (unsigned at = 0; at + 8 <= narrow; at += size) {
      const unsigned part = std::min(size, narrow - at);
      narrow_.emplace(std::pair{terms_.extract(low_a, at, part), terms_.extract(low_b, at, part)},
                      terms_.extract(symbol, at, part));
    }
  }
  narrow_.emplace(std::pair{low_a, low_b}, symbol);
  variables_.push_back({terms_.zext(symbol, w), a, b});
  return terms_.zext(symbol, w);
}

std::optional<Memory> Pairing::beginning(const Memory& a, const Memory& b) {
  if (a == b) return a;
  const Extent x = extent(a), y = extent(b);
  if (x.beginnings.size() != 1 || y.beginnings.size() != 1) return std::nullopt;
  const Memory &first = *x.beginnings.begin(), &second = *y.beginnings.begin();
  if (first == second) return first;
  if (first->form != MemoryNode::Form::kUnknown || second->form != MemoryNode::Form::kUnknown) return std::nullopt;
  auto it = unknowns_.find({first->symbol, second->symbol});
  if (it == unknowns_.end()) {
    if (frozen_) return std::nullopt;
    it = unknowns_.emplace(std::pair{first->symbol, second->symbol}, unknown_memory()).first;
  }
  return it->second;
}

// Which bases of writes go together, with the base for both. A base that only one of them has is its own partner: to
// write over it there what is there changes nothing.
std::vector<std::pair<std::pair<Term, Term>, Term>> Pairing::bases(const Memory& a, const Memory& b) {
  std::set<Term> x, y;
  for (const auto& [base, at] : extent(a).places) x.insert(base);
  for (const auto& [base, at] : extent(b).places) y.insert(base);
  std::vector<std::pair<std::pair<Term, Term>, Term>> out;
  for (Term base : std::set<Term>(x)) {
    if (!y.contains(base)) continue;
    out.push_back({{base, base}, base});
    x.erase(base), y.erase(base);
  }
  for (bool known : {true, false}) {
    for (Term base : std::set<Term>(x)) {
      for (Term other : std::set<Term>(y)) {
        const bool before = std::exchange(frozen_, frozen_ || known);
        const Term both = of(base, other);
        frozen_ = before;
        if (both == kNoTerm) continue;
        out.push_back({{base, other}, both});
        x.erase(base), y.erase(other);
        break;
      }
    }
  }
  for (Term base : x) out.push_back({{base, base}, base});
  for (Term base : y) out.push_back({{base, base}, base});
  return out;
}

std::optional<Memory> Pairing::of(const Memory& a, const Memory& b, bool numbers) {
  if (a == b) return a;
  auto out = beginning(a, b);
  if (!out) return out;
  const Extent x = extent(a), y = extent(b);
  for (const auto& [pair, base] : bases(a, b)) {
    std::set<uint64_t> places;
    for (const auto& [of, at] : x.places) {
      if (of == pair.first) places.insert(at);
    }
    for (const auto& [of, at] : y.places) {
      if (of == pair.second) places.insert(at);
    }
    while (!places.empty()) {
      const uint64_t at = *places.begin();
      unsigned size = 8;
      const auto whole = [&] {
        for (unsigned i = 0; i < size; i++) {
          if (!places.contains(at + i)) return false;
        }
        return at % size == 0;
      };
      while (size > 1 && !whole()) size /= 2;
      const Term left = read(terms_, a, terms_.plus(pair.first, at), size);
      const Term right = read(terms_, b, terms_.plus(pair.second, at), size);
      const Term both = numbers ? of_number(left, right) : of(left, right);
      if (both == kNoTerm) return std::nullopt;
      *out = write(terms_, *out, terms_.plus(base, at), both);
      for (unsigned i = 0; i < size; i++) places.erase(at + i);
    }
  }
  return out;
}

}  // namespace xnic::compile::prove
