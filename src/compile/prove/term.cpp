// SPDX-License-Identifier: Apache-2.0
// Terms: interning, arithmetic, slices and conditional values. Comparisons and bit operations: term_bits.cpp.
#include "compile/prove/term.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/check.hpp"

namespace xnic::compile::prove {

namespace {
uint32_t hash_of(const Node& n) {
  uint64_t h = uint64_t(n.kind) * 1000003 + n.width;
  const auto mix = [&](uint64_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15ull, h ^= h >> 29; };
  mix(n.value);
  for (Term t : n.args) mix(t);
  for (uint64_t c : n.coefs) mix(c);
  return uint32_t(h >> 32);
}
constexpr size_t kFirstIndex = 1 << 12;
}  // namespace

Terms::Terms() : index_(kFirstIndex, ~Term{0}) {
  false_ = constant(1, 0);
  true_ = constant(1, 1);
}

void Terms::grow_index() {
  std::vector<Term> larger(2 * index_.size(), ~Term{0});
  for (Term t = 0; t < nodes_.size(); t++) {
    size_t at = hashes_[t] & (larger.size() - 1);
    while (larger[at] != ~Term{0}) at = (at + 1) & (larger.size() - 1);
    larger[at] = t;
  }
  index_ = std::move(larger);
}

Term Terms::intern(Node node) {
  CHECK(node.width >= 1 && node.width <= 64);
  const uint32_t hash = hash_of(node);
  size_t at = hash & (index_.size() - 1);
  for (; index_[at] != ~Term{0}; at = (at + 1) & (index_.size() - 1)) {
    if (hashes_[index_[at]] == hash && nodes_[index_[at]] == node) return index_[at];
  }
  const Term made = Term(nodes_.size());
  index_[at] = made;
  hashes_.push_back(hash);
  uint16_t height = 0;
  for (Term arg : node.args) height = std::max(height, heights_[arg]);
  heights_.push_back(height < UINT16_MAX ? uint16_t(height + 1) : height);
  choices_.push_back(node.kind == Kind::kIte ||
                     std::any_of(node.args.begin(), node.args.end(), [&](Term arg) { return bool(choices_[arg]); }));
  nodes_.push_back(std::move(node));
  if (2 * nodes_.size() > index_.size()) grow_index();
  return made;
}

uint64_t Terms::name_index(const std::string& name) {
  auto [it, added] = name_at_.try_emplace(name, names_.size());
  if (added) names_.push_back(name);
  return it->second;
}

Term Terms::constant(unsigned width, uint64_t value) {
  return intern({Kind::kConst, uint8_t(width), value & mask_of(width)});
}
Term Terms::fresh(unsigned width, const std::string& name) {
  const uint64_t index = names_.size();
  names_.push_back(fmt::format("{}#{}", name, index));
  return intern({Kind::kSymbol, uint8_t(width), index});
}
Term Terms::pointer(const std::string& name, int64_t tag) { return tagged(fresh(64, name), tag); }
Term Terms::tagged(Term t, int64_t tag) {
  tags_[t] = tag;
  objects_.try_emplace(nodes_[t].value, objects_.size() + 1);
  CHECK(objects_.size() < 0x7fff);
  return t;
}
Term Terms::apply(unsigned width, const std::string& function, const std::vector<Term>& args) {
  return intern({Kind::kApply, uint8_t(width), name_index(function), args});
}
Term Terms::pointer_apply(const std::string& function, const std::vector<Term>& args, int64_t tag) {
  return tagged(apply(64, function, args), tag);
}
Term Terms::byte(uint32_t memory, Term address) { return intern({Kind::kByte, 8, memory, {address}}); }

Term Terms::make_sum(unsigned width, uint64_t constant, std::vector<std::pair<Term, uint64_t>> parts) {
  const uint64_t mask = mask_of(width);
  std::erase_if(parts, [](const auto& p) { return p.second == 0; });
  constant &= mask;
  if (parts.empty()) return this->constant(width, constant);
  if (constant == 0 && parts.size() == 1 && parts[0].second == 1) return parts[0].first;
  if (width == 16 && parts.size() > 1) {
    if (const Term checksum = folded_sum(parts, constant); checksum != ~Term{0}) return checksum;
  }
  // A lone power of two is a shift, a sum of parts that share no bit a concatenation.
  if (parts.size() == 1 && constant == 0 && (parts[0].second & (parts[0].second - 1)) == 0) {
    const unsigned by = unsigned(__builtin_ctzll(parts[0].second));
    return concat({extract(parts[0].first, 0, width - by), this->constant(by, 0)});
  }
  Node n{Kind::kSum, uint8_t(width), constant};
  for (const auto& [t, c] : parts) n.args.push_back(t), n.coefs.push_back(c);
  return intern(std::move(n));
}

Term Terms::linear(Term a, uint64_t ca, Term b, uint64_t cb, uint64_t constant) {
  const unsigned w = width(a);
  CHECK(w == width(b));
  const uint64_t mask = mask_of(w);
  if (ca == 1 && cb == 1 && constant == 0 && !is_const(a) && !is_const(b) && (possible_ones(a) & possible_ones(b)) == 0)
    return bitwise(Kind::kOr, a, b);
  std::map<Term, uint64_t> sum;
  const auto put = [&](Term t, uint64_t c) {
    const Node& n = nodes_[t];
    if (n.kind == Kind::kConst) {
      constant += c * n.value;
    } else if (n.kind == Kind::kSum) {
      constant += c * n.value;
      for (size_t i = 0; i < n.args.size(); i++) sum[n.args[i]] += c * n.coefs[i];
    } else if (n.kind == Kind::kConcat && nodes_[n.args.back()].kind == Kind::kConst &&
               nodes_[n.args.back()].value != 0) {
      // x:const is x:0 + const
      const Node& low = nodes_[n.args.back()];
      std::vector<Term> parts = n.args;
      parts.back() = this->constant(low.width, 0);
      constant += c * low.value;
      sum[concat(parts)] += c;
    } else {
      sum[t] += c;
    }
  };
  if (ca) put(a, ca);
  if (cb) put(b, cb);
  std::vector<std::pair<Term, uint64_t>> parts;
  for (auto& [t, c] : sum) {
    if (c & mask) parts.emplace_back(t, c & mask);
  }
  constant &= mask;
  // Disjoint bits: two parts, or one part and the constant.
  if (parts.size() == 2 && constant == 0 && parts[0].second == 1 && parts[1].second == 1 &&
      (possible_ones(parts[0].first) & possible_ones(parts[1].first)) == 0)
    return bitwise(Kind::kOr, parts[0].first, parts[1].first);
  if (parts.size() == 1 && constant != 0 && parts[0].second == 1 && nodes_[parts[0].first].kind == Kind::kConcat) {
    if (w < 64 && (possible_ones(parts[0].first) & constant) == 0)
      return bitwise(Kind::kOr, parts[0].first, this->constant(w, constant));
  }
  return make_sum(w, constant, std::move(parts));
}

Term Terms::mul(Term a, Term b) {
  const unsigned w = width(a);
  if (is_const(a)) std::swap(a, b);
  if (is_const(b)) {
    if (is_const(a)) return constant(w, value(a) * value(b));
    return linear(a, value(b), a, 0, 0);
  }
  if (a > b) std::swap(a, b);
  return intern({Kind::kMul, uint8_t(w), 0, {a, b}});
}

Term Terms::divide(Kind kind, Term a, Term b) {
  const unsigned w = width(a);
  if (is_const(a) && is_const(b) && value(b) != 0 && (kind == Kind::kUdiv || kind == Kind::kUrem))
    return constant(w, kind == Kind::kUdiv ? value(a) / value(b) : value(a) % value(b));
  if (is_const(b) && value(b) != 0 && (value(b) & (value(b) - 1)) == 0) {
    const unsigned by = unsigned(__builtin_ctzll(value(b)));
    if (kind == Kind::kUdiv) return shift(Kind::kLshr, a, constant(w, by));
    if (kind == Kind::kUrem) return bitwise(Kind::kAnd, a, constant(w, value(b) - 1));
  }
  return intern({kind, uint8_t(w), 0, {a, b}});
}

bool Terms::is_opaque(Term t) const {
  switch (nodes_[t].kind) {
    case Kind::kByte:
    case Kind::kApply:
    case Kind::kFold:
    case Kind::kMul:
    case Kind::kUdiv:
    case Kind::kUrem:
    case Kind::kSdiv:
    case Kind::kSrem:
      return true;
    default:
      return false;
  }
}

// Neighbouring slices of a sign extension, or of a bitwise operation, which were pushed down to its operands. ~0: none.
// Operands are tried with one another, at every level below, so answers are kept.
Term Terms::join_slices(Term high, Term low) {
  const uint64_t key = uint64_t{high} << 32 | low;
  if (auto it = joined_.find(key); it != joined_.end()) return it->second;
  return joined_[key] = find_joined(high, low);
}
Term Terms::find_joined(Term high, Term low) {
  const Node &h = nodes_[high], &l = nodes_[low];
  if (h.kind == Kind::kExtract && l.kind == Kind::kSext && h.value == l.width) {
    const Node& whole = nodes_[h.args[0]];
    if (whole.kind == Kind::kSext && whole.args == l.args) return extract(h.args[0], 0, unsigned(h.width) + l.width);
  }
  const auto exclusive = [](const Node& n) { return n.kind == Kind::kXor || n.kind == Kind::kNot; };
  const Kind kind = exclusive(h) || exclusive(l) ? Kind::kXor : h.kind;
  if (kind != Kind::kXor && (h.kind != l.kind || (h.kind != Kind::kAnd && h.kind != Kind::kOr))) return ~Term{0};
  std::vector<Term> highs, lows;
  const uint64_t high_ones = operands(kind, high, highs), low_ones = operands(kind, low, lows);
  if (highs.size() != lows.size()) return ~Term{0};
  Term whole = ~Term{0};
  for (Term part : highs) {
    Term both = ~Term{0};
    const auto partner =
        std::find_if(lows.begin(), lows.end(), [&](Term t) { return (both = joined(part, t)) != ~Term{0}; });
    if (partner == lows.end()) return ~Term{0};
    lows.erase(partner);
    whole = whole == ~Term{0} ? both : bitwise(kind, whole, both);
  }
  const uint64_t ones = high_ones << l.width | low_ones;
  return ones == 0 ? whole : bitwise(kind, whole, constant(unsigned(h.width) + l.width, ones));
}

// Two neighbouring parts as one that is no concatenation. ~0: they do not come together.
Term Terms::joined(Term high, Term low) {
  const Node &h = nodes_[high], &l = nodes_[low];
  const auto slice = [&](Term x, const Node& n) {
    return n.kind == Kind::kExtract ? std::pair{n.args[0], n.value} : std::pair{x, uint64_t{0}};
  };
  const auto [ht, hl] = slice(high, h);
  const auto [lt, ll] = slice(low, l);
  if (ht == lt && hl == ll + l.width) return extract(ht, unsigned(ll), unsigned(h.width) + l.width);
  // The low part of a sum is a sum of low parts, and no slice by its form.
  if (h.kind == Kind::kExtract && hl == l.width && extract(ht, 0, l.width) == low)
    return extract(ht, 0, unsigned(h.width) + l.width);
  if (h.kind == Kind::kIte && l.kind == Kind::kIte && h.args[0] == l.args[0])
    return ite(h.args[0], concat({h.args[1], l.args[1]}), concat({h.args[2], l.args[2]}));
  return join_slices(high, low);
}

Term Terms::concat(std::vector<Term> parts) {
  std::vector<Term> flat;
  const auto push = [&](Term t) {
    if (!flat.empty()) {
      const Node &high = nodes_[flat.back()], &low = nodes_[t];
      if (high.kind == Kind::kConst && low.kind == Kind::kConst) {
        flat.back() = constant(unsigned(high.width) + low.width, high.value << (low.width & 63) | low.value);
        return;
      }
      // A choice of constants stays one: shifts by it and comparisons with it are choices too.
      const auto chosen = [&](const Node& n) {
        return n.kind == Kind::kIte && is_const(n.args[1]) && is_const(n.args[2]);
      };
      if (high.kind == Kind::kConst && chosen(low)) {
        flat.back() = ite(low.args[0], concat({flat.back(), low.args[1]}), concat({flat.back(), low.args[2]}));
        return;
      }
      if (low.kind == Kind::kConst && chosen(high)) {
        flat.back() = ite(high.args[0], concat({high.args[1], t}), concat({high.args[2], t}));
        return;
      }
      if (const Term whole = joined(flat.back(), t); whole != ~Term{0}) {
        flat.back() = whole;
        return;
      }
    }
    flat.push_back(t);
  };
  unsigned total = 0;
  for (Term part : parts) {
    if (part == ~Term{0}) continue;
    const Node& n = nodes_[part];
    total += n.width;
    if (n.kind == Kind::kConcat) {
      for (Term t : n.args) push(t);
    } else {
      push(part);
    }
  }
  CHECK(total >= 1 && total <= 64);
  if (flat.size() == 1) return flat[0];
  return intern({Kind::kConcat, uint8_t(total), 0, std::move(flat)});
}

Term Terms::extract(Term t, unsigned low, unsigned w) {
  const Node& n = nodes_[t];
  CHECK(w >= 1 && low + w <= n.width);
  if (w == n.width) return t;
  switch (n.kind) {
    case Kind::kConst:
      return constant(w, n.value >> low);
    case Kind::kExtract:
      return extract(n.args[0], unsigned(n.value) + low, w);
    case Kind::kConcat: {
      std::vector<Term> parts;
      unsigned at = n.width;
      for (Term arg : n.args) {
        const unsigned aw = width(arg);
        at -= aw;  // arg holds bits at .. at + aw - 1
        const unsigned from = std::max(at, low), to = std::min(at + aw, low + w);
        if (from < to) parts.push_back(extract(arg, from - at, to - from));
      }
      return concat(std::move(parts));
    }
    case Kind::kAnd:
    case Kind::kOr:
    case Kind::kXor:
      return bitwise(n.kind, extract(n.args[0], low, w), extract(n.args[1], low, w));
    case Kind::kIte:
      return ite(n.args[0], extract(n.args[1], low, w), extract(n.args[2], low, w));
    case Kind::kSum:
      // Single bytes are left as slices: they are what memory holds, and have to come together again.
      if (low == 0 && w > 8) {
        Term sum = constant(w, n.value);
        for (size_t i = 0; i < n.args.size(); i++) sum = linear(sum, 1, extract(n.args[i], 0, w), n.coefs[i], 0);
        return sum;
      }
      break;
    case Kind::kMul:
      if (low == 0 && w > 8) return mul(extract(n.args[0], 0, w), extract(n.args[1], 0, w));
      break;
    case Kind::kSext: {
      const unsigned inner = width(n.args[0]);
      if (low + w <= inner) return extract(n.args[0], low, w);
      if (low < inner) return sext(extract(n.args[0], low, inner - low), w);
      break;
    }
    default:
      break;
  }
  return intern({Kind::kExtract, uint8_t(w), low, {t}});
}

Term Terms::zext(Term t, unsigned w) { return width(t) == w ? t : concat({constant(w - width(t), 0), t}); }

Term Terms::sext(Term t, unsigned w) {
  const Node& n = nodes_[t];
  if (n.width == w) return t;
  if (n.kind == Kind::kConst) return constant(w, uint64_t(int64_t(n.value << (64 - n.width)) >> (64 - n.width)));
  if (n.kind == Kind::kSext) return sext(n.args[0], w);
  if (n.kind == Kind::kConcat && nodes_[n.args[0]].kind == Kind::kConst &&
      (nodes_[n.args[0]].value >> (nodes_[n.args[0]].width - 1)) == 0)
    return zext(t, w);
  if (n.kind == Kind::kIte) return ite(n.args[0], sext(n.args[1], w), sext(n.args[2], w));
  return intern({Kind::kSext, uint8_t(w), 0, {t}});
}

// The object that both addresses lie in, or ~0. An address that is chosen by a condition is then the object plus a
// chosen offset, and can be compared like any other.
Term Terms::common_object(Term a, Term b) const {
  const auto object = [&](Term t) {
    if (is_pointer(t)) return t;
    const Node& n = nodes_[t];
    if (n.kind != Kind::kSum) return ~Term{0};
    for (size_t i = 0; i < n.args.size(); i++) {
      if (n.coefs[i] == 1 && is_pointer(n.args[i])) return n.args[i];
    }
    return ~Term{0};
  };
  const Term of_a = object(a);
  return of_a != ~Term{0} && of_a == object(b) ? of_a : ~Term{0};
}

Term Terms::ite(Term c, Term a, Term b) {
  CHECK(width(a) == width(b) && width(c) == 1);
  if (is_const(c)) return value(c) ? a : b;
  if (a == b) return a;
  if (nodes_[c].kind == Kind::kNot) return ite(nodes_[c].args[0], b, a);
  if (width(a) == 1) {
    if (is_const(a)) return value(a) ? either(c, b) : both(negate(c), b);
    if (is_const(b)) return value(b) ? either(negate(c), a) : both(c, a);
  }
  if (const Term base = common_object(a, b); base != ~Term{0}) return add(base, ite(c, sub(a, base), sub(b, base)));
  if (nodes_[a].kind == Kind::kIte && nodes_[a].args[0] == c) return ite(c, nodes_[a].args[1], b);
  if (nodes_[b].kind == Kind::kIte && nodes_[b].args[0] == c) return ite(c, a, nodes_[b].args[2]);
  return intern({Kind::kIte, uint8_t(width(a)), 0, {c, a, b}});
}

uint64_t Terms::upper_bound(Term t) const {
  if (nodes_[t].kind == Kind::kConst) return nodes_[t].value;
  if (auto it = bounds_.find(t); it != bounds_.end()) return it->second;
  const uint64_t bound = find_bound(t);
  bounds_[t] = bound;
  return bound;
}

// The bits that can be one, from the term's form alone.
uint64_t Terms::possible_ones(Term t) const {
  const Node& n = nodes_[t];
  const uint64_t mask = mask_of(n.width);
  switch (n.kind) {
    case Kind::kConst:
      return n.value;
    case Kind::kConcat: {
      uint64_t ones = 0;
      for (Term arg : n.args) ones = ones << (width(arg) & 63) | possible_ones(arg);
      return ones;
    }
    case Kind::kIte:
      return possible_ones(n.args[1]) | possible_ones(n.args[2]);
    case Kind::kSum: {
      uint64_t any = n.value;  // no bit below the lowest one of a coefficient or of the constant
      for (uint64_t c : n.coefs) any |= c;
      const uint64_t most = upper_bound(t);
      return most == 0 || any == 0 ? 0 : mask_of(64 - unsigned(__builtin_clzll(most))) & (0 - (any & (0 - any)));
    }
    default: {
      const uint64_t most = upper_bound(t);
      return most == 0 ? 0 : mask & mask_of(64 - unsigned(__builtin_clzll(most)));
    }
  }
}

uint64_t Terms::find_bound(Term t) const {
  const Node& n = nodes_[t];
  const uint64_t mask = mask_of(n.width);
  switch (n.kind) {
    case Kind::kConst:
      return n.value;
    case Kind::kConcat: {
      const Node& high = nodes_[n.args[0]];
      const unsigned rest = n.width - high.width;
      const uint64_t top = high.kind == Kind::kConst ? high.value : upper_bound(n.args[0]);
      const uint64_t low = n.args.size() == 2 ? upper_bound(n.args[1]) : mask_of(rest);
      return rest >= 64 ? mask : (top << rest | low) & mask;
    }
    case Kind::kExtract:
      return std::min(mask, upper_bound(n.args[0]) >> n.value);
    case Kind::kIte:
      return std::max(upper_bound(n.args[1]), upper_bound(n.args[2]));
    case Kind::kAnd:
      return std::min(upper_bound(n.args[0]), upper_bound(n.args[1]));
    case Kind::kOr:
    case Kind::kXor: {
      const uint64_t either = upper_bound(n.args[0]) | upper_bound(n.args[1]);
      return either ? mask_of(64 - unsigned(__builtin_clzll(either))) : 0;
    }
    case Kind::kUrem:
      return is_const(n.args[1]) && value(n.args[1]) ? value(n.args[1]) - 1 : mask;
    case Kind::kUdiv:
    case Kind::kLshr:
      return upper_bound(n.args[0]);
    case Kind::kShl: {
      const uint64_t by = upper_bound(n.args[1]), most = upper_bound(n.args[0]);
      return by < n.width && most <= mask >> by ? most << by : mask;
    }
    case Kind::kSum: {
      unsigned __int128 sum = n.value;
      for (size_t i = 0; i < n.args.size() && sum <= mask; i++)
        sum += (unsigned __int128)(n.coefs[i]) * upper_bound(n.args[i]);
      return sum > mask ? mask : uint64_t(sum);
    }
    default:
      return mask;
  }
}

Term Terms::rewrite(Term t, const std::function<int(Term)>& known, std::unordered_map<Term, Term>& cache) {
  if (nodes_[t].width > 1 && !choices_[t]) return t;
  if (auto it = cache.find(t); it != cache.end()) return it->second;
  const Node& n = nodes_[t];
  Term result = t;
  int truth = n.width == 1 && n.kind != Kind::kConst ? known(t) : -1;
  if (truth >= 0) {
    result = truth ? true_ : false_;
  } else if (!n.args.empty()) {
    std::vector<Term> args = n.args;
    for (Term& arg : args) arg = rewrite(arg, known, cache);
    if (args != n.args) result = with_args(t, args);
    if (result != t && n.width == 1 && !is_const(result)) {
      if (truth = known(result); truth >= 0) result = truth ? true_ : false_;
    }
  }
  cache[t] = result;
  return result;
}

Term Terms::with_args(Term t, const std::vector<Term>& args) {
  const Term result = rebuild(Node(nodes_[t]), args);
  if (auto tag = tags_.find(t); tag != tags_.end()) tags_.emplace(result, tag->second);
  return result;
}

Term Terms::rebuild(const Node& n, const std::vector<Term>& args) {
  switch (n.kind) {
    case Kind::kSum: {
      Term sum = constant(n.width, n.value);
      for (size_t i = 0; i < args.size(); i++) sum = linear(sum, 1, args[i], n.coefs[i], 0);
      return sum;
    }
    case Kind::kFold: {
      Term sum = constant(64, n.value);
      for (size_t i = 0; i < args.size(); i++) sum = linear(sum, 1, zext(args[i], 64), n.coefs[i], 0);
      return fold(sum);
    }
    case Kind::kMul:
      return mul(args[0], args[1]);
    case Kind::kUdiv:
    case Kind::kUrem:
    case Kind::kSdiv:
    case Kind::kSrem:
      return divide(n.kind, args[0], args[1]);
    case Kind::kAnd:
    case Kind::kOr:
    case Kind::kXor:
      return bitwise(n.kind, args[0], args[1]);
    case Kind::kNot:
      return negate(args[0]);
    case Kind::kShl:
    case Kind::kLshr:
    case Kind::kAshr:
      return shift(n.kind, args[0], args[1]);
    case Kind::kConcat:
      return concat(args);
    case Kind::kExtract:
      return extract(args[0], unsigned(n.value), n.width);
    case Kind::kSext:
      return sext(args[0], n.width);
    case Kind::kIte:
      return ite(args[0], args[1], args[2]);
    case Kind::kEq:
      return eq(args[0], args[1]);
    case Kind::kUlt:
      return ult(args[0], args[1]);
    case Kind::kSlt:
      return slt(args[0], args[1]);
    default: {
      Node copy = n;
      copy.args = args;
      return intern(std::move(copy));
    }
  }
}

std::string Terms::to_text(Term t, int depth) const {
  const Node& n = nodes_[t];
  static constexpr const char* kNames[] = {"const",  "sym",     "byte", "apply", "+",  "fold", "*",  "/",  "%",
                                           "s/",     "s%",      "&",    "|",     "^",  "!",    "<<", ">>", "s>>",
                                           "concat", "extract", "sext", "ite",   "==", "<",    "s<"};
  if (n.kind == Kind::kConst) return fmt::format("{:#x}", n.value);
  if (n.kind == Kind::kSymbol) return name(t);
  if (depth == 0) return "…";
  std::string out = n.kind == Kind::kApply ? name(t) : kNames[int(n.kind)];
  if (n.kind == Kind::kByte || n.kind == Kind::kExtract) out += fmt::format("{}", n.value);
  out += "(";
  for (size_t i = 0; i < n.args.size(); i++) {
    out += i ? ", " : "";
    if (n.kind == Kind::kSum && n.coefs[i] != 1) out += fmt::format("{}*", int64_t(n.coefs[i]));
    out += to_text(n.args[i], depth - 1);
  }
  if (n.kind == Kind::kSum && n.value) out += fmt::format(", {}", int64_t(n.value));
  return out + ")";
}

}  // namespace xnic::compile::prove
