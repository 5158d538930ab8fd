// SPDX-License-Identifier: Apache-2.0
// The search for the fewest rows, against small problems whose answer is plain, and against trying everything.
#include "compile/target/hxdp/exact.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "base/rng.hpp"

namespace xnic::compile::target::hxdp {
namespace {

constexpr uint64_t kPlenty = 1'000'000;

ExactProblem chain(uint32_t length, int rows) {
  ExactProblem problem;
  for (uint32_t i = 0; i < length; i++) {
    problem.units.push_back({});
    if (i > 0) problem.units[i].before.push_back({i - 1, rows});
  }
  return problem;
}

// The result keeps all rules, and is shorter than `known`.
void expect_schedule(const ExactProblem& problem, const ExactResult& result, uint32_t known) {
  ASSERT_EQ(result.rows.size(), problem.units.size());
  for (uint32_t i = 0; i < result.rows.size(); i++) {
    EXPECT_LT(result.rows[i], known - 1);
    for (const auto& link : problem.units[i].before)
      EXPECT_GE(int(result.rows[i]), int(result.rows[link.unit]) + link.rows);
  }
  for (uint32_t row = 0; row < known; row++) {
    uint32_t used = 0, calls = 0, branches = 0;
    for (uint32_t i = 0; i < result.rows.size(); i++) {
      if (result.rows[i] != row) continue;
      used += problem.units[i].lane, calls += problem.units[i].call, branches += problem.units[i].branch;
    }
    EXPECT_LE(used, problem.lanes);
    EXPECT_LE(calls, 1u);
    EXPECT_TRUE(problem.parallel_branches || branches <= 1);
  }
}

TEST(Exact, AChainTakesItsLength) {
  EXPECT_EQ(fewest_rows(chain(5, 1), 5, kPlenty).bound, 5u);
  const ExactResult shorter = fewest_rows(chain(5, 1), 9, kPlenty);
  EXPECT_EQ(shorter.bound, 5u);
  EXPECT_EQ(shorter.rows, (std::vector<uint32_t>{0, 1, 2, 3, 4}));
}

TEST(Exact, LinksWithinARowCostLanesOnly) {
  const ExactResult result = fewest_rows(chain(8, 0), 8, kPlenty);
  EXPECT_EQ(result.bound, 2u);
  expect_schedule(chain(8, 0), result, 8);
}

TEST(Exact, CallsTakeARowEachAndBranchesWhenAsked) {
  ExactProblem problem;
  problem.units.resize(3);
  for (auto& unit : problem.units) unit.call = true;
  EXPECT_EQ(fewest_rows(problem, 5, kPlenty).bound, 3u);
  for (auto& unit : problem.units) unit.call = false, unit.branch = true;
  EXPECT_EQ(fewest_rows(problem, 5, kPlenty).bound, 1u);
  problem.parallel_branches = false;
  EXPECT_EQ(fewest_rows(problem, 5, kPlenty).bound, 3u);
}

TEST(Exact, AtItsLimitItClaimsNothing) {
  // Two lanes, twelve independent chains of mixed calls: many fillings before an answer.
  ExactProblem problem;
  problem.lanes = 2;
  for (uint32_t i = 0; i < 36; i++) {
    problem.units.push_back({});
    if (i % 3 != 0) problem.units[i].before.push_back({i - 1, 1});
    problem.units[i].call = i % 3 == 1;
  }
  const ExactResult limited = fewest_rows(problem, 19, 3);
  EXPECT_LE(limited.bound, 19u);
  EXPECT_TRUE(limited.rows.empty() || limited.bound <= 19u);
  const ExactResult full = fewest_rows(problem, 30, kPlenty);
  EXPECT_LE(limited.bound, full.rows.empty() ? full.bound : 1 + *std::max_element(full.rows.begin(), full.rows.end()));
}

// All assignments of rows, without any of the search's shortcuts.
uint32_t by_trying_everything(const ExactProblem& problem) {
  for (uint32_t rows = 1;; rows++) {
    std::vector<uint32_t> at(problem.units.size());
    const std::function<bool(uint32_t)> place = [&](uint32_t unit) {
      if (unit == at.size()) return true;
      for (at[unit] = 0; at[unit] < rows; at[unit]++) {
        uint32_t used = 0, calls = 0;
        bool good = true;
        for (uint32_t i = 0; i <= unit; i++) {
          if (at[i] == at[unit]) used++, calls += problem.units[i].call;
        }
        for (const auto& link : problem.units[unit].before) good &= int(at[unit]) >= int(at[link.unit]) + link.rows;
        if (good && used <= problem.lanes && calls <= 1 && place(unit + 1)) return true;
      }
      return false;
    };
    if (place(0)) return rows;
  }
}

TEST(Exact, AgreesWithTryingEverything) {
  base::Rng rng(3);
  for (int round = 0; round < 400; round++) {
    ExactProblem problem;
    problem.lanes = 1 + uint32_t(rng.below(3));
    const auto count = uint32_t(2 + rng.below(6));
    for (uint32_t i = 0; i < count; i++) {
      problem.units.push_back({});
      problem.units[i].call = rng.below(4) == 0;
      for (uint32_t j = 0; j < i; j++) {
        if (rng.below(3) == 0) problem.units[i].before.push_back({j, int(rng.below(2))});
      }
    }
    const uint32_t best = by_trying_everything(problem);
    const ExactResult result = fewest_rows(problem, best + 2, kPlenty);
    ASSERT_EQ(result.bound, best) << round;
    expect_schedule(problem, result, best + 2);
    ASSERT_EQ(fewest_rows(problem, best, kPlenty).bound, best) << round;
  }
}

}  // namespace
}  // namespace xnic::compile::target::hxdp
