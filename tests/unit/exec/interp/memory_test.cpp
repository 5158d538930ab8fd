// SPDX-License-Identifier: Apache-2.0
// Loads, stores and atomics on plain memory.
#include <gtest/gtest.h>

#include "exec/interp/flat.hpp"

namespace xnic::exec::interp {
namespace {

using namespace arch::ebpf;

struct Memory {
  alignas(8) uint8_t bytes[32] = {0x11, 0x82, 0x33, 0x84, 0x55, 0x66, 0x77, 0x88, 1, 2, 3, 4, 5, 6, 7, 8};
  uint64_t word(int index) const { return base::load<uint64_t>(bytes + 8 * index); }
  uint64_t run(std::vector<Instruction> insns) {
    insns.push_back(Exit{});
    const base::Result<uint64_t> result = run_flat(insns, bytes);
    EXPECT_TRUE(result) << result.error().message();
    return result ? *result : 0xdead;
  }
};

TEST(Load, ReadsEverySizeAndSign) {
  Memory m;
  const auto load = [&](Size size, bool sign, int16_t offset) {
    return m.run({Load{size, sign, Reg::kR0, Reg::kR1, offset}});
  };
  EXPECT_EQ(load(Size::k1, false, 1), 0x82u);
  EXPECT_EQ(load(Size::k2, false, 2), 0x8433u);
  EXPECT_EQ(load(Size::k4, false, 0), 0x84338211u);
  EXPECT_EQ(load(Size::k8, false, 0), 0x8877665584338211u);
  EXPECT_EQ(load(Size::k1, true, 1), 0xffffffffffffff82u);
  EXPECT_EQ(load(Size::k2, true, 2), 0xffffffffffff8433u);
  EXPECT_EQ(load(Size::k4, true, 0), 0xffffffff84338211u);
  EXPECT_EQ(load(Size::k4, false, 5), 0x01887766u) << "unaligned";
}

TEST(Store, WritesOnlyItsBytes) {
  for (const Size size : {Size::k1, Size::k2, Size::k4, Size::k8}) {
    Memory with_register;
    with_register.run({LoadImm64{Reg::kR2, 0xf1f2f3f4f5f6f7f8}, WideTail{}, Store{size, Reg::kR1, 8, Reg::kR2}});
    const uint64_t mask = size == Size::k8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes(size))) - 1;
    EXPECT_EQ(with_register.word(1), (0x0807060504030201u & ~mask) | (0xf1f2f3f4f5f6f7f8u & mask));
    Memory with_immediate;
    with_immediate.run({Store{size, Reg::kR1, 8, Imm{-2}}});
    EXPECT_EQ(with_immediate.word(1), (0x0807060504030201u & ~mask) | (static_cast<uint64_t>(-2) & mask));
  }
}

struct AtomicCase {
  AtomicOp op;
  uint64_t expected;  // of 0x0807060504030201 with 0x00000001000000f0
};

class Atomics : public testing::TestWithParam<AtomicCase> {};

TEST_P(Atomics, ModifyMemoryAndFetchTheOldValue) {
  constexpr uint64_t kOld = 0x0807060504030201;
  constexpr uint64_t kOperand = 0x00000001000000f0;
  const AtomicCase& c = GetParam();
  for (const bool fetch : {false, true}) {
    if (c.op == AtomicOp::kXchg && !fetch) continue;
    Memory wide;
    const uint64_t r0 =
        wide.run({LoadImm64{Reg::kR2, kOperand}, WideTail{}, Atomic{c.op, fetch, Size::k8, Reg::kR1, Reg::kR2, 8},
                  Binary{BinaryOp::kMov, Width::k64, Reg::kR0, Reg::kR2}});
    EXPECT_EQ(wide.word(1), c.expected);
    EXPECT_EQ(r0, fetch ? kOld : kOperand);

    Memory narrow;
    const uint64_t r0_narrow =
        narrow.run({LoadImm64{Reg::kR2, kOperand}, WideTail{}, Atomic{c.op, fetch, Size::k4, Reg::kR1, Reg::kR2, 8},
                    Binary{BinaryOp::kMov, Width::k64, Reg::kR0, Reg::kR2}});
    EXPECT_EQ(narrow.word(1), (kOld & 0xffffffff00000000u) | (c.expected & 0xffffffff));
    EXPECT_EQ(r0_narrow, fetch ? kOld & 0xffffffff : kOperand);
  }
}
INSTANTIATE_TEST_SUITE_P(Rfc9669, Atomics,
                         testing::Values(AtomicCase{AtomicOp::kAdd, 0x08070606040302f1},
                                         AtomicCase{AtomicOp::kOr, 0x08070605040302f1},
                                         AtomicCase{AtomicOp::kAnd, 0x0000000100000000},
                                         AtomicCase{AtomicOp::kXor, 0x08070604040302f1},
                                         AtomicCase{AtomicOp::kXchg, 0x00000001000000f0}));

TEST(Cmpxchg, ExchangesOnlyWhenR0Matches) {
  for (const Size size : {Size::k4, Size::k8}) {
    const uint64_t old = size == Size::k8 ? 0x0807060504030201u : 0x04030201u;
    Memory same;
    EXPECT_EQ(same.run({LoadImm64{Reg::kR0, old}, WideTail{}, Binary{BinaryOp::kMov, Width::k64, Reg::kR2, Imm{7}},
                        Atomic{AtomicOp::kCmpxchg, true, size, Reg::kR1, Reg::kR2, 8}}),
              old);
    EXPECT_EQ(same.word(1) & 0xffffffff, 7u);
    EXPECT_EQ(same.word(1) >> 32, size == Size::k8 ? 0u : 0x08070605u);
    Memory other;
    EXPECT_EQ(other.run({LoadImm64{Reg::kR0, 5}, WideTail{}, Binary{BinaryOp::kMov, Width::k64, Reg::kR2, Imm{7}},
                         Atomic{AtomicOp::kCmpxchg, true, size, Reg::kR1, Reg::kR2, 8}}),
              old);
    EXPECT_EQ(other.word(1), 0x0807060504030201u);
  }
}

TEST(LoadAcquireStoreRelease, MoveEverySize) {
  for (const Size size : {Size::k1, Size::k2, Size::k4, Size::k8}) {
    Memory m;
    const uint64_t mask = size == Size::k8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes(size))) - 1;
    EXPECT_EQ(m.run({Atomic{AtomicOp::kLoadAcquire, false, size, Reg::kR0, Reg::kR1, 8},
                     Atomic{AtomicOp::kStoreRelease, false, size, Reg::kR1, Reg::kR0, 16}}),
              0x0807060504030201u & mask);
    EXPECT_EQ(m.word(2), 0x0807060504030201u & mask);
  }
}

TEST(LoadImm64, LoadsAllBitsAndSkipsItsTail) {
  Memory m;
  EXPECT_EQ(m.run({LoadImm64{Reg::kR0, 0x123456789abcdef0}, WideTail{}}), 0x123456789abcdef0u);
}

}  // namespace
}  // namespace xnic::exec::interp
