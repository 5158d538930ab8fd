// SPDX-License-Identifier: Apache-2.0
// Pairing: the term for two terms is the first one when its variables have their first values, and the second one when
// they have their second values, however many pairs share the variables.
#include "compile/prove/pairing.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "compile/prove/model.hpp"

namespace xnic::compile::prove {
namespace {

// Terms by a recipe: the same random choices over other leaves give terms of one shape, or nearly so.
class Cook {
 public:
  Cook(Terms& terms, uint64_t seed, std::vector<Term> leaves, uint64_t change)
      : terms_(terms), rng_(seed), other_(change), leaves_(std::move(leaves)) {}

  Term number(int depth) {
    if (depth == 0 || rng_.next() % 6 == 0) return leaf();
    const Term a = number(depth - 1), b = number(depth - 1);
    switch (rng_.next() % 9) {
      case 0:
        return terms_.add(a, b);
      case 1:
        return terms_.plus(a, rng_.next() % 16 + odd());
      case 2:
        return terms_.mul(a, terms_.constant(64, 1 + rng_.next() % 8));
      case 3:
        return terms_.bitwise(Kind::kAnd, a, terms_.constant(64, 0xff << rng_.next() % 8));
      case 4:
        return terms_.bitwise(Kind::kXor, a, b);
      case 5:
        return terms_.zext(terms_.extract(a, 8 * unsigned(rng_.next() % 4), 8 << rng_.next() % 3), 64);
      case 6:
        return terms_.concat({terms_.extract(a, 0, 32), terms_.extract(b, 0, 32)});
      case 7:
        return terms_.ite(terms_.ult(a, b), a, terms_.constant(64, rng_.next() % 4 + odd()));
      default:
        return terms_.shift(Kind::kShl, a, terms_.constant(64, rng_.next() % 9));
    }
  }

 private:
  Term leaf() {
    const uint64_t r = rng_.next();
    return r % 4 == 0 ? terms_.constant(64, r / 4 % 32 + odd()) : leaves_[r % leaves_.size()];
  }
  uint64_t odd() { return other_ && rng_.next() % 3 == 0 ? other_ : 0; }

  Terms& terms_;
  base::Rng rng_;
  uint64_t other_;
  std::vector<Term> leaves_;
};

TEST(Pairing, GivesBackEitherTermForItsValuesOfTheVariables) {
  size_t variables = 0;
  for (uint64_t seed = 1; seed <= 300; seed++) {
    Terms terms;
    std::vector<Term> x, y;
    for (int i = 0; i < 6; i++) x.push_back(terms.zext(terms.fresh(8u << i % 4, "x"), 64));
    y = x;
    for (int i = 0; i < 3; i++) y[size_t(i)] = terms.zext(terms.fresh(8u << i % 4, "y"), 64);
    Pairing pairing(terms);
    std::vector<std::array<Term, 3>> all;
    for (uint64_t k = 0; k < 6; k++) {
      const Term a = Cook(terms, seed * 16 + k, x, 0).number(4), b = Cook(terms, seed * 16 + k, y, seed % 3).number(4);
      all.push_back({a, b, pairing.of(a, b)});
      ASSERT_NE(all.back()[2], kNoTerm) << "numbers always have one";
    }
    variables += pairing.variables().size();
    for (int side : {0, 1}) {
      for (uint64_t input = 1; input <= 4; input++) {
        Model plain(input), set(input);
        for (const Pairing::Variable& v : pairing.variables()) {
          Term symbol = v.term;
          while (terms.node(symbol).kind == Kind::kConcat) symbol = terms.node(symbol).args.back();
          set.set(terms, symbol, plain.value(terms, side == 0 ? v.a : v.b));
        }
        for (const auto& three : all)
          ASSERT_EQ(set.value(terms, three[2]), plain.value(terms, three[size_t(side)]))
              << "seed " << seed << ": " << terms.to_text(three[0]) << " and " << terms.to_text(three[1]) << " give "
              << terms.to_text(three[2]);
      }
    }
  }
  EXPECT_GT(variables, 1000u);
}

TEST(Pairing, KeepsWhatTwoPlacesHaveInCommon) {
  Terms t;
  const Term x = t.zext(t.fresh(16, "x"), 64), y = t.zext(t.fresh(16, "y"), 64);
  Pairing pairing(t);
  const Term v = pairing.of(x, y);
  EXPECT_EQ(pairing.of(x, y), v);
  EXPECT_EQ(pairing.of(t.plus(x, 8), t.plus(y, 8)), t.plus(v, 8));
  EXPECT_EQ(pairing.of(t.extract(x, 8, 8), t.extract(y, 8, 8)), t.extract(v, 8, 8));
  EXPECT_NE(pairing.of(y, x), v) << "the other way about it is another variable";
  EXPECT_EQ(pairing.variables().size(), 2u);
}

TEST(Pairing, DoesNotTakeAnAddressForANumber) {
  Terms t;
  const Term data = t.pointer("data", 0), value = t.pointer("value", 7);
  Pairing pairing(t);
  EXPECT_EQ(pairing.of(data, t.constant(64, 0)), kNoTerm);
  EXPECT_EQ(pairing.of(t.plus(data, 4), value), kNoTerm);
  const Term both = pairing.of(t.plus(data, 4), t.plus(data, 9));
  EXPECT_EQ(t.sub(both, data), t.plus(pairing.variables().at(0).term, 4));
}

TEST(Pairing, MakesNothingNewWhenFrozen) {
  Terms t;
  const Term x = t.fresh(32, "x"), y = t.fresh(32, "y"), z = t.fresh(32, "z");
  Pairing pairing(t);
  const Term v = pairing.of(x, y);
  pairing.freeze();
  EXPECT_EQ(pairing.of(t.ult(x, t.constant(32, 5)), t.ult(y, t.constant(32, 5))), t.ult(v, t.constant(32, 5)));
  EXPECT_EQ(pairing.of(x, z), kNoTerm);
}

}  // namespace
}  // namespace xnic::compile::prove
