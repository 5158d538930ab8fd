// SPDX-License-Identifier: Apache-2.0
// Terms: bit operations, shifts and comparisons.
#include <algorithm>
#include <utility>

#include "base/check.hpp"
#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

namespace {
constexpr unsigned kScale = 12;
}  // namespace

Term Terms::negate(Term c) {
  const Node& n = nodes_[c];
  if (n.kind == Kind::kConst) return n.value ? false_ : true_;
  if (n.kind == Kind::kNot) return n.args[0];
  return intern({Kind::kNot, 1, 0, {c}});
}

// a kind b part by part, along the boundaries of their concatenations and of a constant's runs of equal bits.
Term Terms::bitwise_parts(Kind kind, Term a, Term b) {
  const unsigned w = width(a);
  std::vector<unsigned> lows = {0, w};
  for (Term t : {a, b}) {
    const Node& n = nodes_[t];
    if (n.kind == Kind::kConcat) {
      unsigned at = w;
      for (Term arg : n.args) lows.push_back(at -= width(arg));
    } else if (n.kind == Kind::kConst && kind != Kind::kXor) {
      for (unsigned i = 1; i < w; i++) {
        if ((n.value >> i & 1) != (n.value >> (i - 1) & 1)) lows.push_back(i);
      }
    }
  }
  std::sort(lows.begin(), lows.end());
  lows.erase(std::unique(lows.begin(), lows.end()), lows.end());
  if (lows.size() == 2) return ~Term{0};
  std::vector<Term> parts;
  for (size_t i = lows.size() - 1; i-- > 0;) {
    const unsigned pw = lows[i + 1] - lows[i];
    parts.push_back(bitwise(kind, extract(a, lows[i], pw), extract(b, lows[i], pw)));
  }
  return concat(std::move(parts));
}

// What the operation is over, however it was grouped; constants and negations under kXor are returned as the bits that
// they turn around. (Under kAnd and kOr there are no constants: they go by their runs of equal bits.)
uint64_t Terms::operands(Kind kind, Term t, std::vector<Term>& out) const {
  uint64_t ones = 0;
  std::vector<Term> stack = {t};
  while (!stack.empty()) {
    const Term at = stack.back();
    stack.pop_back();
    const Node& n = nodes_[at];
    if (n.kind == kind) {
      stack.insert(stack.end(), n.args.begin(), n.args.end());
    } else if (kind == Kind::kXor && n.kind == Kind::kNot) {
      ones ^= 1, stack.push_back(n.args[0]);
    } else if (kind == Kind::kXor && n.kind == Kind::kConst) {
      ones ^= n.value;
    } else {
      out.push_back(at);
    }
  }
  return ones;
}

// The operands of both in one order, whoever put them together: by what they are slices of, so that the slices of one
// value stand in the order of the value's. A constant comes last.
Term Terms::chain(Kind kind, Term a, Term b) {
  const unsigned w = width(a);
  std::vector<Term> all;
  const uint64_t ones = operands(kind, a, all) ^ operands(kind, b, all);
  const auto key = [&](Term t) { return std::pair{nodes_[t].kind == Kind::kExtract ? nodes_[t].args[0] : t, t}; };
  std::sort(all.begin(), all.end(), [&](Term x, Term y) { return key(x) < key(y); });
  std::vector<Term> left;
  for (Term t : all) {
    if (left.empty() || left.back() != t) {
      left.push_back(t);
    } else if (kind == Kind::kXor) {
      left.pop_back();
    }
  }
  if (left.empty()) return constant(w, ones);
  Term out = left[0];
  for (size_t i = 1; i < left.size(); i++) out = intern({kind, uint8_t(w), 0, {out, left[i]}});
  if (ones == 0) return out;
  return w == 1 ? negate(out) : intern({kind, uint8_t(w), 0, {out, constant(w, ones)}});
}

Term Terms::bitwise(Kind kind, Term a, Term b) {
  const unsigned w = width(a);
  CHECK(w == width(b));
  const uint64_t ones = mask_of(w);
  if (is_const(a)) std::swap(a, b);
  if (a == b) return kind == Kind::kXor ? constant(w, 0) : a;
  if (is_const(b)) {
    const uint64_t c = value(b);
    if (is_const(a)) {
      const uint64_t v = value(a);
      return constant(w, kind == Kind::kAnd ? v & c : kind == Kind::kOr ? v | c : v ^ c);
    }
    if (c == 0) return kind == Kind::kAnd ? b : a;
    if (c == ones && kind == Kind::kAnd) return a;
    if (c == ones && kind == Kind::kOr) return b;
    if (c == 1 && w == 1 && kind == Kind::kXor) return negate(a);
    if (kind == Kind::kXor && nodes_[a].kind == Kind::kXor && is_const(nodes_[a].args[1]))
      return bitwise(kind, nodes_[a].args[0], constant(w, c ^ value(nodes_[a].args[1])));
  }
  if (w == 1) {
    if (nodes_[a].kind == Kind::kNot && nodes_[a].args[0] == b) return kind == Kind::kAnd ? false_ : true_;
    if (nodes_[b].kind == Kind::kNot && nodes_[b].args[0] == a) return kind == Kind::kAnd ? false_ : true_;
  } else if (nodes_[a].kind == Kind::kConcat || nodes_[b].kind == Kind::kConcat ||
             (is_const(b) && kind != Kind::kXor)) {
    if (const Term parts = bitwise_parts(kind, a, b); parts != ~Term{0}) return parts;
  }
  // x | (!x & y) is x | y, and the other way round.
  if (w == 1 && kind != Kind::kXor) {
    for (int side = 0; side < 2; side++, std::swap(a, b)) {
      const Node& n = nodes_[b];
      if (n.kind != (kind == Kind::kAnd ? Kind::kOr : Kind::kAnd)) continue;
      const Term opposite = negate(a);
      if (n.args[0] == opposite) return bitwise(kind, a, n.args[1]);
      if (n.args[1] == opposite) return bitwise(kind, a, n.args[0]);
      if (n.args[0] == a || n.args[1] == a) return a;
    }
  }
  if (w > 1 || kind == Kind::kXor) return chain(kind, a, b);
  if (a > b) std::swap(a, b);
  // Absorption and chains: x & (x & y), for conditions.
  if (nodes_[a].kind == kind && (nodes_[a].args[0] == b || nodes_[a].args[1] == b)) return a;
  if (nodes_[b].kind == kind && (nodes_[b].args[0] == a || nodes_[b].args[1] == a)) return b;
  return intern({kind, uint8_t(w), 0, {a, b}});
}

Term Terms::shift(Kind kind, Term a, Term amount) {
  const unsigned w = width(a);
  if (is_const(amount)) {
    const unsigned by = unsigned(value(amount)) & (w - 1);
    if (by == 0) return a;
    if (kind == Kind::kShl) {
      // Elements of arrays are found by small shifts, which stay sums; rotations are made of slices.
      if (nodes_[a].kind == Kind::kSum && by <= kScale) return linear(a, uint64_t{1} << by, a, 0, 0);
      return concat({extract(a, 0, w - by), constant(by, 0)});
    }
    const Term rest = extract(a, by, w - by);
    return kind == Kind::kLshr ? zext(rest, w) : sext(rest, w);
  }
  if (const Node& n = nodes_[amount]; n.kind == Kind::kIte && is_const(n.args[1]) && is_const(n.args[2]))
    return ite(n.args[0], shift(kind, a, n.args[1]), shift(kind, a, n.args[2]));
  return intern({kind, uint8_t(w), 0, {a, bitwise(Kind::kAnd, amount, constant(w, w - 1))}});
}

// The address of an object, or one near by: never null.
bool Terms::near_object(Term t) const {
  if (is_pointer(t)) return true;
  const Node& n = nodes_[t];
  if (n.kind != Kind::kSum) return false;
  unsigned objects = 0;
  const auto size = [](uint64_t v) { return (unsigned __int128)(int64_t(v) < 0 ? 0 - v : v); };
  unsigned __int128 distance = size(n.value);
  for (size_t i = 0; i < n.args.size(); i++) {
    if (n.coefs[i] == 1 && is_pointer(n.args[i])) {
      objects++;
    } else {
      if (size(n.coefs[i]) >> 48) return false;
      distance += size(n.coefs[i]) * upper_bound(n.args[i]);
    }
  }
  return objects == 1 && distance < uint64_t{1} << 47;
}

// a == c: constant parts decide, the others are put in the order of their ids, so that byte order does not matter.
Term Terms::eq_const(Term a, uint64_t c) {
  const Node& n = nodes_[a];
  if (n.kind == Kind::kConst) return n.value == c ? true_ : false_;
  if (c > upper_bound(a)) return false_;
  if (c == 0 && near_object(a)) return false_;
  if (n.kind == Kind::kIte && (is_const(n.args[1]) || is_const(n.args[2])))
    return ite(n.args[0], eq_const(n.args[1], c), eq_const(n.args[2], c));
  if (n.kind == Kind::kSum && n.args.size() == 1 && n.coefs[0] == 1)
    return eq_const(n.args[0], (c - n.value) & mask_of(n.width));
  if (n.kind == Kind::kSum && n.args.size() == 1 && n.coefs[0] == mask_of(n.width))
    return eq_const(n.args[0], (n.value - c) & mask_of(n.width));
  if (n.kind == Kind::kSum && n.value != 0) {
    const Term rest = linear(a, 1, a, 0, 0 - n.value);
    return eq_const(rest, (c - n.value) & mask_of(n.width));
  }
  if (n.width == 1) return c ? a : negate(a);
  if (n.kind == Kind::kXor && is_const(n.args[1])) return eq_const(n.args[0], c ^ value(n.args[1]));
  if (n.kind == Kind::kConcat) {
    std::vector<std::pair<Term, uint64_t>> parts;
    unsigned at = n.width;
    for (Term arg : n.args) {
      at -= width(arg);
      uint64_t part = c >> at & mask_of(width(arg));
      if (const Node& inner = nodes_[arg]; inner.kind == Kind::kXor && is_const(inner.args[1]))
        part ^= value(inner.args[1]), arg = inner.args[0];
      if (is_const(arg)) {
        if (value(arg) != part) return false_;
      } else {
        parts.emplace_back(arg, part);
      }
    }
    std::vector<Term> terms;
    uint64_t joined = 0;
    Term all = ~Term{0};
    const auto put_together = [&] {
      terms.clear(), joined = 0;
      for (const auto& [t, v] : parts) terms.push_back(t), joined = (width(t) >= 64 ? 0 : joined << width(t)) | v;
      all = concat(terms);
      return nodes_[all].kind != Kind::kConcat;
    };
    if (!put_together()) {
      std::sort(parts.begin(), parts.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
      put_together();
    }
    if (all != a)
      return nodes_[all].kind == Kind::kConcat ? intern({Kind::kEq, 1, 0, {all, constant(width(all), joined)}})
                                               : eq_const(all, joined);
  }
  return intern({Kind::kEq, 1, 0, {a, constant(n.width, c)}});
}

// Pointers of two names: of two objects. Of one name with other arguments, nothing is known.
bool Terms::apart(Term a, Term b) const { return nodes_[a].value != nodes_[b].value; }

Term Terms::eq(Term a, Term b) {
  CHECK(width(a) == width(b));
  if (a == b) return true_;
  const unsigned w = width(a);
  const uint64_t mask = mask_of(w);
  if (is_const(a)) std::swap(a, b);
  if (is_const(b)) return eq_const(a, value(b));
  if (w == 1) {
    if (a > b) std::swap(a, b);
    return intern({Kind::kEq, 1, 0, {a, b}});
  }
  if (nodes_[a].kind == Kind::kConcat && nodes_[b].kind == Kind::kConcat && is_const(nodes_[a].args[0]) &&
      is_const(nodes_[b].args[0])) {
    // Common zero prefix.
    const unsigned cut = std::min(width(nodes_[a].args[0]), width(nodes_[b].args[0]));
    if (value(extract(a, w - cut, cut)) != value(extract(b, w - cut, cut))) return false_;
    return eq(extract(a, 0, w - cut), extract(b, 0, w - cut));
  }
  if (nodes_[a].kind == Kind::kSum || nodes_[b].kind == Kind::kSum) {
    const Term d = sub(a, b);
    const Node& n = nodes_[d];
    if (n.kind == Kind::kConst) return n.value == 0 ? true_ : false_;
    // Two objects never overlap, or are the same object.
    if (n.kind == Kind::kSum && n.args.size() == 2 && is_pointer(n.args[0]) && is_pointer(n.args[1]) &&
        n.coefs[0] + n.coefs[1] == 0 && (n.coefs[0] == 1 || n.coefs[1] == 1) &&
        (n.value != 0 || apart(n.args[0], n.args[1])))
      return false_;
    if (n.kind != Kind::kSum) return eq_const(d, 0);
    if (n.coefs[0] > mask / 2) return eq_const(linear(d, mask, d, 0, 0), 0);
    if (n.args.size() == 2 && n.value == 0 && n.coefs[0] == 1 && n.coefs[1] == mask)
      return intern({Kind::kEq, 1, 0, {std::min(n.args[0], n.args[1]), std::max(n.args[0], n.args[1])}});
    return eq_const(d, 0);
  }
  if (is_pointer(a) && is_pointer(b) && apart(a, b)) return false_;
  if (a > b) std::swap(a, b);
  return intern({Kind::kEq, 1, 0, {a, b}});
}

// The parts and the constant stay far from wrapping around: each is below 2^40.
bool Terms::small(const std::vector<std::pair<Term, uint64_t>>& parts, uint64_t constant) const {
  constexpr uint64_t kSmall = uint64_t{1} << 40;
  if (constant >= kSmall) return false;
  return std::all_of(parts.begin(), parts.end(), [](const auto& p) { return p.second < 256; }) &&
         std::all_of(parts.begin(), parts.end(), [&](const auto& p) { return upper_bound(p.first) < kSmall; });
}

// a < b, 64 bits, where both have something in common that can leave: the base of one object (addresses of an object
// do not wrap around), or constants of small sums. ~0 if there is nothing.
Term Terms::order_addresses(Term a, Term b) {
  const auto split = [&](Term t, Term& base, uint64_t& c) {
    std::vector<std::pair<Term, uint64_t>> rest;
    const Node& n = nodes_[t];
    base = ~Term{0}, c = 0;
    if (n.kind == Kind::kSum) {
      c = n.value;
      for (size_t i = 0; i < n.args.size(); i++) {
        if (n.coefs[i] == 1 && is_pointer(n.args[i]) && base == ~Term{0}) {
          base = n.args[i];
        } else {
          rest.emplace_back(n.args[i], n.coefs[i]);
        }
      }
    } else if (is_pointer(t)) {
      base = t;
    }
    return rest;
  };
  Term base_a, base_b;
  uint64_t ca, cb;
  const auto rest_a = split(a, base_a, ca), rest_b = split(b, base_b, cb);
  if (base_a != ~Term{0} && base_a == base_b && small(rest_a, ca) && small(rest_b, cb))
    return order(Kind::kUlt, sub(a, base_a), sub(b, base_b));
  // x + c < y + d with small parts: the lesser constant leaves both sides.
  const uint64_t common = std::min(ca, cb);
  if (common > 0 && base_a == ~Term{0} && base_b == ~Term{0} && small(rest_a, ca) && small(rest_b, cb) &&
      nodes_[a].kind == Kind::kSum && nodes_[b].kind == Kind::kSum)
    return order(Kind::kUlt, plus(a, 0 - common), plus(b, 0 - common));
  if (nodes_[a].kind == Kind::kSum && is_const(b) && base_a == ~Term{0} && ca > 0 && small(rest_a, ca))
    return value(b) <= ca ? false_ : order(Kind::kUlt, plus(a, 0 - ca), constant(64, value(b) - ca));
  return ~Term{0};
}

Term Terms::order(Kind kind, Term a, Term b) {
  const unsigned w = width(a);
  const uint64_t mask = mask_of(w);
  CHECK(w == width(b));
  if (a == b) return false_;
  const auto as_signed = [&](Term t) { return int64_t(value(t) << (64 - w)) >> (64 - w); };
  if (is_const(a) && is_const(b))
    return (kind == Kind::kUlt ? value(a) < value(b) : as_signed(a) < as_signed(b)) ? true_ : false_;
  if (kind == Kind::kSlt) {
    const uint64_t top = mask / 2;
    if (upper_bound(a) <= top && upper_bound(b) <= top) return order(Kind::kUlt, a, b);
    if (is_const(a)) {
      if (value(a) == top) return false_;
      return negate(order(kind, b, constant(w, value(a) + 1)));
    }
    return intern({kind, 1, 0, {a, b}});
  }
  if (is_const(b, 0) || is_const(a, mask)) return false_;
  if (upper_bound(a) == 0) return negate(eq(b, constant(w, 0)));
  if (is_const(b, 1)) return eq(a, constant(w, 0));
  if (is_const(b) && upper_bound(a) < value(b)) return true_;
  if (is_const(a) && upper_bound(b) <= value(a)) return false_;
  // The constant goes to the right: c < x is not (x < c + 1).
  if (is_const(a)) return negate(order(kind, b, constant(w, value(a) + 1)));
  for (Term t : {a, b}) {
    const Node& n = nodes_[t];
    if (n.kind == Kind::kIte && is_const(n.args[1]) && is_const(n.args[2]))
      return t == a ? ite(n.args[0], order(kind, n.args[1], b), order(kind, n.args[2], b))
                    : ite(n.args[0], order(kind, a, n.args[1]), order(kind, a, n.args[2]));
  }
  // Zero-extended values compare as what they extend.
  const auto zeros = [&](Term t) -> unsigned {
    const uint64_t bound = upper_bound(t);
    return bound == 0 ? w - 1 : w - (64 - unsigned(__builtin_clzll(bound)));
  };
  if (const unsigned cut = std::min(zeros(a), zeros(b));
      cut > 0 && (nodes_[a].kind == Kind::kConcat || nodes_[b].kind == Kind::kConcat) &&
      (is_const(a) || nodes_[a].kind == Kind::kConcat) && (is_const(b) || nodes_[b].kind == Kind::kConcat))
    return order(kind, extract(a, 0, w - cut), extract(b, 0, w - cut));
  if (w == 64) {
    if (const Term shorter = order_addresses(a, b); shorter != ~Term{0}) return shorter;
  }
  return intern({kind, 1, 0, {a, b}});
}

Term Terms::ult(Term a, Term b) { return order(Kind::kUlt, a, b); }
Term Terms::slt(Term a, Term b) { return order(Kind::kSlt, a, b); }

}  // namespace xnic::compile::prove
