// SPDX-License-Identifier: Apache-2.0
// What the scheduler's switches do to small programs, as listings; register pressure; limits with their messages.
#include <gtest/gtest.h>

#include "arch/hxdp/text.hpp"
#include "compile/pipeline.hpp"
#include "compile/prove/prove.hpp"
#include "unit/compile/opt/lifted.hpp"

namespace xnic::compile {
namespace {

using namespace opt::testing;
using arch::hxdp::Image;

base::Result<Image> compiled(std::string_view text, const HxdpOptions& options = {}) {
  const Program program = program_of(text, test_maps());
  static const NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  EXPECT_TRUE(outcome.accepted) << outcome.rejection.reason;
  return compile_hxdp(program, outcome.facts, options);
}
std::string rows(std::string_view text, std::vector<std::string> off = {}) {
  const auto image = compiled(text, {.parameters = {}, .off = std::move(off)});
  return image ? arch::hxdp::listing(*image, false) : image.error().message();
}

// Two checks, then work that does not depend on them.
constexpr const char* kChecks = R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 34
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +23)
    if r5 == 17 goto udp
    r0 = 2
    exit
    udp: r6 = *(u16 *)(r2 +20)
    r7 = *(u16 *)(r2 +22)
    r6 += r7
    r0 = r6
    r0 &= 1
    exit
    out: r0 = 1
    exit)";

TEST(Schedule, TracesMoveLoadsAboveBranches) {
  const std::string with = rows(kChecks), without = rows(kChecks, {"traces"});
  EXPECT_LT(with.find("packet1[23].spec"), with.find("if packet")) << with;
  EXPECT_GT(without.find("packet1[23].spec"), without.find("if packet")) << without;
}

// With one lane every order takes as many rows to the end, but the other exit need not wait for the sum.
TEST(Schedule, OrdersOtherThanByHeightLeaveTheRegionEarlier) {
  const std::string text = R"(
    r3 = *(u32 *)(r1 +12)
    r4 = *(u32 *)(r1 +16)
    r0 = 2
    if r4 != 5 goto out
    r4 = r3
    r4 *= r3
    r4 += 1
    r4 *= r3
    r4 ^= 1
    r4 *= r3
    r0 = r4
    r0 &= 1
    out: exit)";
  const auto branch_row = [&](const std::vector<std::string>& off) {
    const auto image = compiled(text, {.parameters = {.lanes = 1}, .off = off});
    EXPECT_TRUE(image.has_value());
    size_t row = 0;
    while (row < image->rows.size() && !std::holds_alternative<arch::hxdp::Branch>(image->rows[row].lanes[0])) row++;
    return row;
  };
  EXPECT_EQ(branch_row({}), 1u);
  EXPECT_GT(branch_row({"priorities"}), 3u);
}

// No row has two branches when the pass is off; some row has them when it is on.
TEST(Schedule, ParallelBranchesShareARow) {
  const auto most = [&](const std::string& text) {
    int best = 0;
    for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
      const std::string row = text.substr(at, text.find('\n', at) - at);
      int count = 0;
      for (size_t b = row.find("| if "); b != std::string::npos; b = row.find("| if ", b + 1)) count++;
      best = std::max(best, count);
    }
    return best;
  };
  constexpr const char* kTwo = R"(
    r2 = *(u32 *)(r1 +12)
    r3 = *(u32 *)(r1 +16)
    r0 = 1
    if r2 == 5 goto out
    r0 = 3
    if r3 == 6 goto out
    r0 = 2
    out: exit)";
  EXPECT_EQ(most(rows(kTwo)), 2) << rows(kTwo);
  EXPECT_EQ(most(rows(kTwo, {"parallel-branches"})), 1) << rows(kTwo, {"parallel-branches"});
}

TEST(Schedule, ACallWhoseResultIsTheVerdictEndsTheProgram) {
  constexpr const char* kCall = R"(
    r1 = 3
    r2 = 0
    call bpf_redirect
    exit)";
  EXPECT_NE(rows(kCall).find("exit call redirect(3, 0)"), std::string::npos) << rows(kCall);
  EXPECT_NE(rows(kCall, {"call-exit"}).find("r0 = call redirect(3, 0)"), std::string::npos);
}

// 24 values that are all alive at once, on 16 registers.
std::string many_values() {
  std::string text;
  for (int i = 0; i < 24; i++)
    text += fmt::format("r2 = *(u32 *)(r1 +12)\n r2 *= {}\n *(u64 *)(r10 -{}) = r2\n", 2 * i + 3, 8 * i + 8);
  text += "r6 = r10\n r1 = map[2]\n r2 = r10\n r2 += -8\n call bpf_map_delete_elem\n r0 = 0\n";
  for (int i = 0; i < 24; i++) text += fmt::format("r2 = *(u64 *)(r10 -{})\n r0 ^= r2\n", 8 * i + 8);
  return text + "exit";
}

TEST(Registers, MoreValuesThanRegistersGoToTheStackAndBack) {
  for (uint32_t lanes : {1u, 2u, 4u, 8u}) {
    HxdpOptions options;
    options.parameters.lanes = lanes;
    const auto image = compiled(many_values(), options);
    ASSERT_TRUE(image.has_value()) << image.error().message();
    EXPECT_TRUE(arch::hxdp::check(*image).empty());
  }
}

TEST(Limits, TooManyRowsNameTheParameterThatWouldDo) {
  HxdpOptions options;
  options.parameters.rows = 2;
  const auto image = compiled(kChecks, options);
  ASSERT_FALSE(image.has_value());
  EXPECT_EQ(image.error().kind, base::ErrorKind::kLimit);
  const std::string message = image.error().message();
  EXPECT_NE(message.find("the instruction memory has 2 (parameter rows="), std::string::npos) << message;
}

// Results that only the lane that made them sees in the next row: moves into a loop's registers must wait as well, and
// so must moves that take a value from where a move has just put it. compile_hxdp() itself checks every image it makes.
TEST(Forwarding, MovesIntoMergesKeepToTheLane) {
  const std::string text = R"(
    r2 = *(u32 *)(r1 +12)
    r3 = *(u32 *)(r1 +16)
    r4 = r2
    r5 = r2
    r6 = r3
    r7 = 9
    turn: r8 = r2
    r2 = r3
    r3 = r4
    r4 = r5
    r5 = r6
    r6 = r8
    r4 ^= r8
    r7 += -1
    if r7 != 0 goto turn
    r0 = r2
    r0 ^= r3
    r0 ^= r4
    r0 ^= r5
    r0 ^= r6
    r0 &= 1
    exit)";
  for (uint32_t lanes = 1; lanes <= 8; lanes++) {
    HxdpOptions options;
    options.parameters.lanes = lanes;
    options.parameters.forwarding = arch::hxdp::Forwarding::kLane;
    const auto image = compiled(text, options);
    ASSERT_TRUE(image.has_value()) << image.error().message();
    EXPECT_TRUE(arch::hxdp::check(*image).empty()) << lanes;
  }
}

// What the search finds is issued as the heuristics' schedules are, and means the same.
TEST(Schedule, AnExactOneIsNeverLongerAndIsProved) {
  const Program program = program_of(kChecks, test_maps());
  static const NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  for (uint32_t lanes : {1u, 2u, 4u}) {
    HxdpOptions options;
    options.parameters.lanes = lanes;
    HxdpStatistics plain, exact;
    ASSERT_TRUE(compile_hxdp(program, outcome.facts, options, &plain).has_value());
    EXPECT_EQ(plain.exact.regions, 0u);
    options.exact_nodes = 10'000;
    const auto image = compile_hxdp(program, outcome.facts, options, &exact);
    ASSERT_TRUE(image.has_value());
    EXPECT_GT(exact.exact.regions, 0u);
    EXPECT_EQ(exact.exact.shortest + exact.exact.cramped + exact.exact.undecided, exact.exact.regions);
    EXPECT_LE(exact.exact.bound, exact.exact.rows);
    EXPECT_LE(exact.rows, plain.rows);
    EXPECT_EQ(prove::prove(program, outcome.facts, *image).status, prove::ProofStatus::kProved) << lanes;
  }
}

TEST(Limits, UnknownPassesAndParametersAreRefused) {
  EXPECT_EQ(compiled(kChecks, {.parameters = {}, .off = {"no-such-pass"}}).error().kind, base::ErrorKind::kBadInput);
  HxdpOptions options;
  options.parameters.lanes = 9;
  EXPECT_NE(compiled(kChecks, options).error().message().find("lanes"), std::string::npos);
}

TEST(Statistics, SayHowManyRowsTheFastestImageWouldTake) {
  const Program program = program_of(kChecks);
  static const NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  HxdpStatistics roomy, tight;
  ASSERT_TRUE(compile_hxdp(program, outcome.facts, {}, &roomy).has_value());
  EXPECT_EQ(roomy.fastest_rows, roomy.rows);
  HxdpOptions options;
  options.parameters.rows = roomy.rows;
  ASSERT_TRUE(compile_hxdp(program, outcome.facts, options, &tight).has_value());
  EXPECT_EQ(tight.fastest_rows, roomy.rows);
}

}  // namespace
}  // namespace xnic::compile
