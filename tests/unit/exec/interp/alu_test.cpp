// SPDX-License-Identifier: Apache-2.0
// Each arithmetic instruction against the results that RFC 9669 states, with values at the edges of its definition.
#include <gtest/gtest.h>

#include "exec/interp/flat.hpp"

namespace xnic::exec::interp {
namespace {

using namespace arch::ebpf;

constexpr uint64_t kSmallest = uint64_t{1} << 63;
constexpr uint64_t kMinusOne = ~uint64_t{0};

uint64_t run(std::vector<Instruction> insns) {
  insns.push_back(Exit{});
  const base::Result<uint64_t> result = run_flat(insns, {});
  EXPECT_TRUE(result) << result.error().message();
  return result ? *result : 0xdead;
}

struct Case {
  BinaryOp op;
  Width width;
  uint64_t left;
  uint64_t right;
  uint64_t expected;
};

uint64_t with_register(const Case& c) {
  return run({LoadImm64{Reg::kR0, c.left}, WideTail{}, LoadImm64{Reg::kR1, c.right}, WideTail{},
              Binary{c.op, c.width, Reg::kR0, Reg::kR1}});
}

class BinaryOps : public testing::TestWithParam<Case> {};

TEST_P(BinaryOps, FollowTheRfcForRegistersAndImmediates) {
  const Case& c = GetParam();
  EXPECT_EQ(with_register(c), c.expected);
  if (static_cast<uint64_t>(int64_t{static_cast<int32_t>(c.right)}) != c.right) return;  // no such immediate
  EXPECT_EQ(run({LoadImm64{Reg::kR0, c.left}, WideTail{},
                 Binary{c.op, c.width, Reg::kR0, Imm{static_cast<int32_t>(c.right)}}}),
            c.expected);
}

constexpr uint64_t kHigh = 0xffffffff00000000u;
const Case kCases[] = {
    {BinaryOp::kAdd, Width::k64, kMinusOne, 2, 1},
    {BinaryOp::kAdd, Width::k32, kHigh | 0xffffffff, 2, 1},
    {BinaryOp::kSub, Width::k64, 1, 2, kMinusOne},
    {BinaryOp::kSub, Width::k32, 1, 2, 0xffffffff},
    {BinaryOp::kMul, Width::k64, uint64_t{1} << 33, uint64_t{1} << 31, 0},
    {BinaryOp::kMul, Width::k64, kMinusOne, kMinusOne, 1},
    {BinaryOp::kMul, Width::k32, 0x80000001, 2, 2},
    {BinaryOp::kDiv, Width::k64, 17, 5, 3},
    {BinaryOp::kDiv, Width::k64, kMinusOne, 2, kMinusOne >> 1},
    {BinaryOp::kDiv, Width::k64, 17, 0, 0},
    {BinaryOp::kDiv, Width::k32, kHigh | 17, 0, 0},
    {BinaryOp::kDiv, Width::k32, kHigh | 17, 5, 3},
    {BinaryOp::kMod, Width::k64, 17, 5, 2},
    {BinaryOp::kMod, Width::k64, kHigh | 17, 0, kHigh | 17},
    {BinaryOp::kMod, Width::k32, kHigh | 17, 0, 17},
    {BinaryOp::kMod, Width::k32, kHigh | 17, 5, 2},
    {BinaryOp::kSdiv, Width::k64, static_cast<uint64_t>(-17), 5, static_cast<uint64_t>(-3)},
    {BinaryOp::kSdiv, Width::k64, kSmallest, kMinusOne, kSmallest},
    {BinaryOp::kSdiv, Width::k64, 17, 0, 0},
    {BinaryOp::kSdiv, Width::k32, 0x80000000, kMinusOne, 0x80000000},
    {BinaryOp::kSdiv, Width::k32, static_cast<uint64_t>(-17), 5, 0xfffffffd},
    {BinaryOp::kSmod, Width::k64, static_cast<uint64_t>(-17), 5, static_cast<uint64_t>(-2)},
    {BinaryOp::kSmod, Width::k64, 17, static_cast<uint64_t>(-5), 2},
    {BinaryOp::kSmod, Width::k64, kSmallest, kMinusOne, 0},
    {BinaryOp::kSmod, Width::k64, static_cast<uint64_t>(-17), 0, static_cast<uint64_t>(-17)},
    {BinaryOp::kSmod, Width::k32, 0x80000000, kMinusOne, 0},
    {BinaryOp::kSmod, Width::k32, kHigh | 0xffffffef, 0, 0xffffffef},
    {BinaryOp::kOr, Width::k64, kHigh, 1, kHigh | 1},
    {BinaryOp::kOr, Width::k32, kHigh, 1, 1},
    {BinaryOp::kAnd, Width::k64, kHigh | 7, static_cast<uint64_t>(-2), kHigh | 6},
    {BinaryOp::kAnd, Width::k32, kHigh | 7, static_cast<uint64_t>(-2), 6},
    {BinaryOp::kXor, Width::k64, kHigh | 7, 5, kHigh | 2},
    {BinaryOp::kXor, Width::k32, kHigh | 7, 5, 2},
    {BinaryOp::kLsh, Width::k64, 1, 63, kSmallest},
    {BinaryOp::kLsh, Width::k64, 1, 64, 1},
    {BinaryOp::kLsh, Width::k32, 1, 31, 0x80000000},
    {BinaryOp::kLsh, Width::k32, kHigh | 1, 33, 2},
    {BinaryOp::kRsh, Width::k64, kSmallest, 63, 1},
    {BinaryOp::kRsh, Width::k64, kSmallest, 127, 1},
    {BinaryOp::kRsh, Width::k32, kHigh | 0x80000000, 31, 1},
    {BinaryOp::kArsh, Width::k64, kSmallest, 63, kMinusOne},
    {BinaryOp::kArsh, Width::k64, kSmallest, 64, kSmallest},
    {BinaryOp::kArsh, Width::k32, 0x80000000, 31, 0xffffffff},
    {BinaryOp::kArsh, Width::k32, kHigh | 4, 1, 2},
    {BinaryOp::kMov, Width::k64, 1, kMinusOne, kMinusOne},
    {BinaryOp::kMov, Width::k32, 1, kMinusOne, 0xffffffff},
};
INSTANTIATE_TEST_SUITE_P(Rfc9669, BinaryOps, testing::ValuesIn(kCases));

TEST(MovSx, ExtendsTheSignOfTheLowBits) {
  const auto extended = [](Width width, uint8_t bits, uint64_t value) {
    return run({LoadImm64{Reg::kR1, value}, WideTail{}, MovSx{width, bits, Reg::kR0, Reg::kR1}});
  };
  EXPECT_EQ(extended(Width::k64, 8, 0x1280), 0xffffffffffffff80u);
  EXPECT_EQ(extended(Width::k64, 8, 0x127f), 0x7fu);
  EXPECT_EQ(extended(Width::k64, 16, 0x18000), 0xffffffffffff8000u);
  EXPECT_EQ(extended(Width::k64, 32, 0x180000000), 0xffffffff80000000u);
  EXPECT_EQ(extended(Width::k32, 8, 0x80), 0xffffff80u);
  EXPECT_EQ(extended(Width::k32, 16, 0x8000), 0xffff8000u);
}

TEST(Neg, NegatesAtItsWidth) {
  EXPECT_EQ(run({LoadImm64{Reg::kR0, 5}, WideTail{}, Neg{Width::k64, Reg::kR0}}), static_cast<uint64_t>(-5));
  EXPECT_EQ(run({LoadImm64{Reg::kR0, kHigh | 5}, WideTail{}, Neg{Width::k32, Reg::kR0}}), 0xfffffffbu);
  EXPECT_EQ(run({LoadImm64{Reg::kR0, kSmallest}, WideTail{}, Neg{Width::k64, Reg::kR0}}), kSmallest);
}

TEST(Swap, ReordersAndTruncates) {
  const auto swapped = [](SwapKind kind, uint8_t bits) {
    return run({LoadImm64{Reg::kR0, 0x0123456789abcdef}, WideTail{}, Swap{kind, bits, Reg::kR0}});
  };
  EXPECT_EQ(swapped(SwapKind::kToLe, 16), 0xcdefu);
  EXPECT_EQ(swapped(SwapKind::kToLe, 32), 0x89abcdefu);
  EXPECT_EQ(swapped(SwapKind::kToLe, 64), 0x0123456789abcdefu);
  for (const SwapKind kind : {SwapKind::kToBe, SwapKind::kBswap}) {
    EXPECT_EQ(swapped(kind, 16), 0xefcdu);
    EXPECT_EQ(swapped(kind, 32), 0xefcdab89u);
    EXPECT_EQ(swapped(kind, 64), 0xefcdab8967452301u);
  }
}

}  // namespace
}  // namespace xnic::exec::interp
