// SPDX-License-Identifier: Apache-2.0
// The normal form: every constructor, on random terms, means what the operation means.
#include "compile/prove/term.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.hpp"

namespace xnic::compile::prove {
namespace {

uint64_t sign(uint64_t v, unsigned width) { return uint64_t(int64_t(v << (64 - width)) >> (64 - width)); }

// The value of a term under values for its symbols, straight from the meaning of each kind of node.
struct Evaluator {
  const Terms& terms;
  const std::map<Term, uint64_t>& symbols;
  std::map<Term, uint64_t> done{};

  uint64_t operator()(Term t) {
    if (auto it = done.find(t); it != done.end()) return it->second;
    const Node n = terms.node(t);
    std::vector<uint64_t> a;
    for (Term arg : n.args) a.push_back((*this)(arg));
    const unsigned inner = n.args.empty() ? n.width : terms.width(n.args[0]);
    return done[t] = meaning(t, n, a, inner) & mask_of(n.width);
  }
  uint64_t meaning(Term t, const Node& n, const std::vector<uint64_t>& a, unsigned inner) const {
    switch (n.kind) {
      case Kind::kConst:
        return n.value;
      case Kind::kSymbol:
        return symbols.at(t);
      case Kind::kSum: {
        uint64_t sum = n.value;
        for (size_t i = 0; i < a.size(); i++) sum += n.coefs[i] * a[i];
        return sum;
      }
      case Kind::kFold: {
        uint64_t sum = n.value;
        for (size_t i = 0; i < a.size(); i++) sum += n.coefs[i] * a[i];
        while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
        return sum;
      }
      case Kind::kMul:
        return a[0] * a[1];
      case Kind::kUdiv:
        return a[1] ? a[0] / a[1] : 0;
      case Kind::kUrem:
        return a[1] ? a[0] % a[1] : a[0];
      case Kind::kAnd:
        return a[0] & a[1];
      case Kind::kOr:
        return a[0] | a[1];
      case Kind::kXor:
        return a[0] ^ a[1];
      case Kind::kNot:
        return !a[0];
      case Kind::kShl:
        return a[0] << a[1];
      case Kind::kLshr:
        return a[0] >> a[1];
      case Kind::kAshr:
        return uint64_t(int64_t(sign(a[0], inner)) >> a[1]);
      case Kind::kConcat: {
        uint64_t v = 0;
        for (size_t i = 0; i < a.size(); i++) v = (v << (terms.width(n.args[i]) & 63)) | a[i];
        return v;
      }
      case Kind::kExtract:
        return a[0] >> n.value;
      case Kind::kSext:
        return sign(a[0], inner);
      case Kind::kIte:
        return a[0] ? a[1] : a[2];
      case Kind::kEq:
        return a[0] == a[1];
      case Kind::kUlt:
        return a[0] < a[1];
      case Kind::kSlt:
        return int64_t(sign(a[0], inner)) < int64_t(sign(a[1], inner));
      default:
        ADD_FAILURE() << "no meaning";
        return 0;
    }
  }
};

// Builds a term over terms that exist, and gives the value that it must have.
struct Builder {
  Terms terms{};
  base::Rng rng;
  std::map<Term, uint64_t> symbols{};
  std::vector<std::pair<Term, uint64_t>> pool{};

  explicit Builder(uint64_t seed) : rng(seed) {
    for (unsigned width : {1u, 8u, 16u, 32u, 64u}) {
      for (int i = 0; i < 2; i++) {
        const Term t = terms.fresh(width, "s");
        symbols[t] = rng.next() & mask_of(width);
        if (rng.next() % 4 == 0) symbols[t] &= 3;
        pool.emplace_back(t, symbols[t]);
      }
      static constexpr uint64_t kInteresting[] = {0, 1, 0xff, 0xffff, 0xff00, 0x8000, ~uint64_t{0}, 0x0f0f};
      const uint64_t v = kInteresting[rng.next() % 8] & mask_of(width);
      pool.emplace_back(terms.constant(width, v), v);
    }
  }
  std::pair<Term, uint64_t> any() { return pool[rng.next() % pool.size()]; }
  std::pair<Term, uint64_t> of(unsigned width) {
    for (int tries = 0; tries < 1000; tries++) {
      auto p = any();
      if (terms.width(p.first) == width) return p;
    }
    return {terms.constant(width, 1), 1};
  }
  void grow() {
    const auto [a, x] = any();
    const unsigned w = terms.width(a);
    const auto [b, y] = of(w);
    const auto [c, z] = of(1);
    const uint64_t mask = mask_of(w);
    const bool shiftable = w >= 8;
    std::pair<Term, uint64_t> out;
    switch (rng.next() % 18) {
      case 0:
        out = {terms.add(a, b), x + y};
        break;
      case 1:
        out = {terms.sub(a, b), x - y};
        break;
      case 2:
        out = {terms.mul(a, b), x * y};
        break;
      case 3:
        out = {terms.bitwise(Kind::kAnd, a, b), x & y};
        break;
      case 4:
        out = {terms.bitwise(Kind::kOr, a, b), x | y};
        break;
      case 5:
        out = {terms.bitwise(Kind::kXor, a, b), x ^ y};
        break;
      case 6:
        if (!shiftable) return;
        out = {terms.shift(Kind::kShl, a, b), x << (y & (w - 1))};
        break;
      case 7:
        if (!shiftable) return;
        out = {terms.shift(Kind::kLshr, a, b), x >> (y & (w - 1))};
        break;
      case 8:
        if (!shiftable) return;
        out = {terms.shift(Kind::kAshr, a, b), uint64_t(int64_t(sign(x, w)) >> (y & (w - 1)))};
        break;
      case 9: {
        const unsigned low = unsigned(rng.next() % w), width = 1 + unsigned(rng.next() % (w - low));
        const unsigned whole = width >= 32 ? 32 : width >= 16 ? 16 : width >= 8 ? 8 : 1;
        pool.emplace_back(terms.extract(a, low, whole), x >> low & mask_of(whole));
        return;
      }
      case 10:
        if (w > 32 || w == 1) return;
        pool.emplace_back(terms.concat({a, b}), x << w | y);
        return;
      case 11:
        pool.emplace_back(terms.zext(a, 64), x);
        return;
      case 12:
        pool.emplace_back(terms.sext(a, 64), sign(x, w));
        return;
      case 13:
        out = {terms.ite(c, a, b), z ? x : y};
        break;
      case 14:
        pool.emplace_back(terms.eq(a, b), x == y);
        return;
      case 15:
        pool.emplace_back(terms.ult(a, b), x < y);
        return;
      case 16:
        pool.emplace_back(terms.slt(a, b), int64_t(sign(x, w)) < int64_t(sign(y, w)));
        return;
      default:
        pool.emplace_back(terms.negate(c), !z);
        return;
    }
    out.second &= mask;
    pool.push_back(out);
  }
};

TEST(Terms, KeepTheirMeaningInNormalForm) {
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    Builder builder(seed);
    for (int i = 0; i < 60; i++) {
      builder.grow();
      const auto [term, value] = builder.pool.back();
      Evaluator evaluate{builder.terms, builder.symbols};
      ASSERT_EQ(evaluate(term), value) << "seed " << seed << ", step " << i << ": " << builder.terms.to_text(term);
      ASSERT_LE(value, builder.terms.upper_bound(term)) << "seed " << seed << ", step " << i;
    }
  }
}

TEST(Terms, RewritingKnownConditionsKeepsTheMeaning) {
  for (uint64_t seed = 1; seed <= 500; seed++) {
    Builder builder(seed);
    for (int i = 0; i < 60; i++) builder.grow();
    Evaluator evaluate{builder.terms, builder.symbols};
    const auto known = [&](Term t) { return t % 3 ? -1 : int(evaluate(t)); };
    for (const auto& [term, value] : builder.pool) {
      std::unordered_map<Term, Term> cache;
      ASSERT_EQ(evaluate(builder.terms.rewrite(term, known, cache)), value) << "seed " << seed;
    }
  }
}

// The upper bits of a sum added to its low 16, `steps` times.
Term carried(Terms& terms, Term sum, int steps) {
  const unsigned w = terms.width(sum);
  for (int i = 0; i < steps; i++)
    sum = terms.add(terms.zext(terms.extract(sum, 0, 16), w), terms.zext(terms.extract(sum, 16, w - 16), w));
  return terms.extract(sum, 0, 16);
}

TEST(Terms, AnInternetChecksumIsOneTermHoweverItIsFolded) {
  base::Rng rng(1);
  for (int round = 0; round < 300; round++) {
    Terms terms;
    std::map<Term, uint64_t> symbols;
    const size_t words = 4 + 2 * (rng.next() % 5);
    std::vector<Term> bytes;
    uint64_t expected = 0;
    static constexpr uint64_t kBytes[] = {0, 0, 0xff, 0xff, 0x01, 0x80};
    for (size_t i = 0; i < 2 * words; i++) {
      bytes.push_back(terms.fresh(8, "b"));
      const uint64_t v = round % 3 == 0 ? kBytes[rng.next() % 6] : round % 3 == 1 ? 0 : rng.next() & 0xff;
      symbols[bytes[i]] = v;
      expected += i % 2 ? v << 8 : v;
    }
    while (expected >> 16) expected = (expected & 0xffff) + (expected >> 16);
    const auto word = [&](size_t i) { return terms.concat({bytes[2 * i + 1], bytes[2 * i]}); };
    Term narrow = terms.constant(32, 0), wide = terms.constant(64, 0), back = narrow;
    for (size_t i = 0; i < words; i++) {
      narrow = terms.add(narrow, terms.zext(word(i), 32));
      back = terms.add(back, terms.zext(terms.concat({bytes[2 * i], bytes[2 * i + 1]}), 32));
    }
    for (size_t i = 0; i < words; i += 2) wide = terms.add(wide, terms.zext(terms.concat({word(i + 1), word(i)}), 64));
    const Term two = carried(terms, narrow, 2), three = carried(terms, narrow, 3), four = carried(terms, wide, 4);
    // The program's own way: the second carry is added to the sum with its carry still in it.
    const Term once = terms.add(terms.zext(terms.extract(narrow, 0, 16), 32),
                                terms.shift(Kind::kLshr, narrow, terms.constant(32, 16)));
    const Term finish = terms.extract(terms.add(once, terms.shift(Kind::kLshr, once, terms.constant(32, 16))), 0, 16);
    const Term swapped = carried(terms, back, 2);
    Evaluator evaluate{terms, symbols};
    for (Term t : {two, three, four, finish}) {
      ASSERT_EQ(evaluate(t), expected) << terms.to_text(t);
      ASSERT_EQ(t, two) << terms.to_text(t) << " and " << terms.to_text(two);
    }
    ASSERT_EQ(evaluate(swapped), (expected << 8 | expected >> 8) & 0xffff);
    // What is lost when a carry is: not the same term.
    ASSERT_NE(carried(terms, narrow, 1), two);
  }
}

TEST(Terms, AHashIsOneTermHoweverItIsGrouped) {
  Terms terms;
  const auto c = [&](uint64_t v) { return terms.constant(64, v); };
  const auto exclusive = [&](Term a, Term b) { return terms.bitwise(Kind::kXor, a, b); };
  const auto halves = [&](Term t, unsigned by) {
    return std::pair{terms.shift(Kind::kShl, t, c(by)), terms.shift(Kind::kLshr, t, c(64 - by))};
  };
  const Term x = terms.fresh(64, "x"), y = terms.fresh(64, "y"), z = terms.fresh(64, "z");
  // Rounds of a hash: additions, rotations, and what both give. One machine rotates by or, the other by addition.
  const auto rounds = [&](bool other) {
    Term a = x, b = y, d = z;
    for (unsigned by : {13, 32}) {
      a = terms.add(a, b);
      const auto [left, right] = halves(b, by);
      const Term turned = other ? terms.add(right, left) : terms.bitwise(Kind::kOr, left, right);
      b = other ? exclusive(exclusive(a, c(0x6465646f)), exclusive(d, turned))
                : exclusive(exclusive(turned, a), exclusive(c(0x6465646f), d));
      d = exclusive(d, other ? exclusive(a, b) : exclusive(b, a));
    }
    return exclusive(other ? exclusive(a, b) : b, other ? d : exclusive(d, a));
  };
  EXPECT_EQ(rounds(false), rounds(true));
  // What memory has taken apart comes together, turned bits and all.
  const Term whole = exclusive(exclusive(x, terms.add(y, z)), c(0x8000ff01));
  std::vector<Term> bytes;
  for (unsigned at = 64; at > 0; at -= 8) bytes.push_back(terms.extract(whole, at - 8, 8));
  EXPECT_EQ(terms.concat(bytes), whole);
}

TEST(Terms, RewritingKeepsPointersPointers) {
  Terms t;
  const Term c = t.fresh(1, "c"), a = t.fresh(32, "a"), b = t.fresh(32, "b");
  const Term pointer = t.pointer_apply("value", {t.ite(c, a, b)}, 7);
  std::unordered_map<Term, Term> cache;
  const Term rewritten = t.rewrite(pointer, [&](Term x) { return x == c ? 1 : -1; }, cache);
  ASSERT_TRUE(t.is_pointer(rewritten));
  EXPECT_EQ(t.tag(rewritten), 7);
  EXPECT_EQ(rewritten, t.pointer_apply("value", {a}, 7));
}

TEST(Terms, BringMemoryBackTogether) {
  Terms t;
  const Term x = t.fresh(64, "x");
  const Term sum = t.plus(x, 34);
  std::vector<Term> bytes;
  for (unsigned i = 8; i-- > 0;) bytes.push_back(t.extract(sum, 8 * i, 8));
  EXPECT_EQ(t.concat(bytes), sum);
  const Term word = t.fresh(16, "w");
  const Term swapped = t.concat({t.extract(word, 0, 8), t.extract(word, 8, 8)});
  EXPECT_EQ(t.concat({t.extract(swapped, 0, 8), t.extract(swapped, 8, 8)}), word);
  // high << 8 | low, as compilers put bytes together
  const Term high = t.zext(t.extract(word, 8, 8), 64), low = t.zext(t.extract(word, 0, 8), 64);
  EXPECT_EQ(t.bitwise(Kind::kOr, t.shift(Kind::kShl, high, t.constant(64, 8)), low), t.zext(word, 64));
}

}  // namespace
}  // namespace xnic::compile::prove
