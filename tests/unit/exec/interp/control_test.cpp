// SPDX-License-Identifier: Apache-2.0
// Jumps, calls, exit, loops with a budget.
#include <gtest/gtest.h>

#include "exec/interp/flat.hpp"

namespace xnic::exec::interp {
namespace {

using namespace arch::ebpf;

const auto kMov = [](Reg dst, Operand src) { return Binary{BinaryOp::kMov, Width::k64, dst, src}; };
const auto kAdd = [](Reg dst, Operand src) { return Binary{BinaryOp::kAdd, Width::k64, dst, src}; };

uint64_t run(const std::vector<Instruction>& insns, const ExtraHelpers& extra = {}) {
  const base::Result<uint64_t> result = run_flat(insns, {}, extra);
  EXPECT_TRUE(result) << result.error().message();
  return result ? *result : 0xdead;
}

bool taken(JumpOp op, Width width, uint64_t left, uint64_t right, bool immediate) {
  std::vector<Instruction> insns{LoadImm64{Reg::kR1, left}, WideTail{}, LoadImm64{Reg::kR2, right}, WideTail{}};
  const Operand operand = immediate ? Operand{Imm{static_cast<int32_t>(right)}} : Operand{Reg::kR2};
  insns.push_back(Jump{op, width, Reg::kR1, operand, 7});
  insns.push_back(kMov(Reg::kR0, Imm{0}));
  insns.push_back(Exit{});
  insns.push_back(kMov(Reg::kR0, Imm{1}));
  insns.push_back(Exit{});
  return run(insns) == 1;
}

bool expected(JumpOp op, uint64_t a, uint64_t b, int64_t sa, int64_t sb) {
  switch (op) {
    case JumpOp::kEq:
      return a == b;
    case JumpOp::kGt:
      return a > b;
    case JumpOp::kGe:
      return a >= b;
    case JumpOp::kSet:
      return (a & b) != 0;
    case JumpOp::kNe:
      return a != b;
    case JumpOp::kSgt:
      return sa > sb;
    case JumpOp::kSge:
      return sa >= sb;
    case JumpOp::kLt:
      return a < b;
    case JumpOp::kLe:
      return a <= b;
    case JumpOp::kSlt:
      return sa < sb;
    case JumpOp::kSle:
      return sa <= sb;
  }
  return false;
}

TEST(Jump, ComparesEveryPairInEveryForm) {
  const uint64_t values[] = {
      0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffffffff, uint64_t{1} << 63, ~uint64_t{0}};
  for (int op = 0; op <= static_cast<int>(JumpOp::kSle); ++op) {
    const JumpOp jump = static_cast<JumpOp>(op);
    for (const uint64_t a : values) {
      for (const uint64_t b : values) {
        const auto a32 = static_cast<uint32_t>(a);
        const auto b32 = static_cast<uint32_t>(b);
        const bool wide = expected(jump, a, b, static_cast<int64_t>(a), static_cast<int64_t>(b));
        const bool narrow = expected(jump, a32, b32, static_cast<int32_t>(a32), static_cast<int32_t>(b32));
        EXPECT_EQ(taken(jump, Width::k64, a, b, false), wide) << op << ' ' << a << ' ' << b;
        EXPECT_EQ(taken(jump, Width::k32, a, b, false), narrow) << op << ' ' << a << ' ' << b;
        if (static_cast<uint64_t>(int64_t{static_cast<int32_t>(b)}) != b) continue;
        EXPECT_EQ(taken(jump, Width::k64, a, b, true), wide) << op << ' ' << a << ' ' << b;
        EXPECT_EQ(taken(jump, Width::k32, a, b, true), narrow) << op << ' ' << a << ' ' << b;
      }
    }
  }
}

TEST(Goto, JumpsBothWays) {
  EXPECT_EQ(run({Goto{false, 3}, kMov(Reg::kR0, Imm{2}), Exit{}, kMov(Reg::kR0, Imm{1}), Goto{true, 2}}), 1u);
}

TEST(CallLocal, SavesR6ToR10AndGivesAFreshStack) {
  EXPECT_EQ(run({
                kMov(Reg::kR6, Imm{5}),                          // 0
                Store{Size::k8, Reg::kR10, -8, Imm{40}},         // 1
                kMov(Reg::kR1, Imm{100}),                        // 2
                CallLocal{8},                                    // 3
                kAdd(Reg::kR0, Reg::kR6),                        // 4: 100 + 5
                Load{Size::k8, false, Reg::kR1, Reg::kR10, -8},  // 5
                kAdd(Reg::kR0, Reg::kR1),                        // 6: + 40
                Exit{},                                          // 7
                Load{Size::k8, false, Reg::kR0, Reg::kR10, -8},  // 8: 0, not 40
                Store{Size::k8, Reg::kR10, -8, Imm{77}},         // 9
                kMov(Reg::kR6, Imm{1000}),                       // 10
                kAdd(Reg::kR0, Reg::kR1),                        // 11
                Exit{},                                          // 12
            }),
            145u);
}

TEST(CallLocal, StopsAtNineFrames) {
  const std::vector<Instruction> insns{CallLocal{0}, Exit{}};
  const base::Result<uint64_t> result = run_flat(insns, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, base::ErrorKind::kLimit);
}

TEST(MayGoto, FallsThroughEightMillionTimes) {
  EXPECT_EQ(run({kMov(Reg::kR0, Imm{0}), MayGoto{4}, kAdd(Reg::kR0, Imm{1}), Goto{false, 1}, Exit{}}),
            8u * 1024 * 1024);
}

TEST(Budget, EndsAnEndlessLoop) {
  const std::vector<Instruction> insns{Goto{false, 0}};
  const base::Result<uint64_t> result = run_flat(insns, {}, {}, 1000);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, base::ErrorKind::kLimit);
}

uint64_t sum_helper(helpers::HelperContext&, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
  return a + 10 * b + 100 * c + 1000 * d + 10000 * e;
}
uint64_t identity_helper(helpers::HelperContext&, uint64_t a, uint64_t, uint64_t, uint64_t, uint64_t) { return a; }

TEST(FlatHelpers, AreReachedByNumberAndByRegister) {
  const ExtraHelpers extra{{3, {sum_helper}}};
  const std::vector<Instruction> arguments{kMov(Reg::kR1, Imm{1}), kMov(Reg::kR2, Imm{2}), kMov(Reg::kR3, Imm{3}),
                                           kMov(Reg::kR4, Imm{4}), kMov(Reg::kR5, Imm{5})};
  std::vector<Instruction> by_number = arguments;
  by_number.insert(by_number.end(), {CallHelper{3}, Exit{}});
  EXPECT_EQ(run(by_number, extra), 54321u);
  std::vector<Instruction> by_register = arguments;
  by_register.insert(by_register.end(), {kMov(Reg::kR7, Imm{3}), CallRegister{Reg::kR7}, Exit{}});
  EXPECT_EQ(run(by_register, extra), 54321u);
}

TEST(FlatHelpers, UnwindEndsTheProgramOnlyWhenItReturnsZero) {
  const ExtraHelpers extra{{5, {identity_helper, true}}};
  const auto program = [](int32_t argument) {
    return std::vector<Instruction>{kMov(Reg::kR1, Imm{argument}), CallHelper{5}, kMov(Reg::kR0, Imm{9}), Exit{}};
  };
  EXPECT_EQ(run(program(0), extra), 0u);
  EXPECT_EQ(run(program(-1), extra), 9u);
}

TEST(FlatHelpers, UnknownOnesAreRefused) {
  const std::vector<Instruction> by_number{CallHelper{3}, Exit{}};
  EXPECT_FALSE(run_flat(by_number, {}));
  const std::vector<Instruction> by_register{kMov(Reg::kR7, Imm{3}), CallRegister{Reg::kR7}, Exit{}};
  EXPECT_FALSE(run_flat(by_register, {}));
}

TEST(Trap, CatchesProgramsThatRunOffTheirEnd) {
  const std::vector<Instruction> insns{kMov(Reg::kR0, Imm{3})};
  EXPECT_FALSE(run_flat(insns, {}));
}

}  // namespace
}  // namespace xnic::exec::interp
