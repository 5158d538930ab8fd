// SPDX-License-Identifier: Apache-2.0
#include "arch/ebpf/assemble.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "arch/ebpf/print.hpp"
#include "random_program.hpp"

namespace xnic::arch::ebpf {
namespace {

Instruction one(std::string_view text) {
  auto insns = assemble(text);
  EXPECT_TRUE(insns) << insns.error().message();
  return insns && !insns->empty() ? insns->front() : Instruction{WideTail{}};
}

std::string error_of(std::string_view text) {
  auto insns = assemble(text);
  return insns ? "accepted" : insns.error().message();
}

TEST(Assemble, ReadsTheFormsOfPeople) {
  EXPECT_EQ(one("r1 = 5"), Instruction(Binary{BinaryOp::kMov, Width::k64, Reg::kR1, Imm{5}}));
  EXPECT_EQ(one("r1 = 0x5"), Instruction(LoadImm64{Reg::kR1, 5}));
  EXPECT_EQ(one("r1 = -5 ll"), Instruction(LoadImm64{Reg::kR1, ~uint64_t{0} - 4}));
  EXPECT_EQ(one("w1 = 0xffffffff"), Instruction(Binary{BinaryOp::kMov, Width::k32, Reg::kR1, Imm{-1}}));
  EXPECT_EQ(one("  r3 s>>= r4   // shift"), Instruction(Binary{BinaryOp::kArsh, Width::k64, Reg::kR3, Reg::kR4}));
  EXPECT_EQ(one("w3 s%= -7 ; remainder"), Instruction(Binary{BinaryOp::kSmod, Width::k32, Reg::kR3, Imm{-7}}));
  EXPECT_EQ(one("r1 = *(u32 *)(r6 + 0x4)"), Instruction(Load{Size::k4, false, Reg::kR1, Reg::kR6, 4}));
  EXPECT_EQ(one("r1 = *(s8 *)(r6 - 4)"), Instruction(Load{Size::k1, true, Reg::kR1, Reg::kR6, -4}));
  EXPECT_EQ(one("*(u8 *)(r6) = 1"), Instruction(Store{Size::k1, Reg::kR6, 0, Imm{1}}));
  EXPECT_EQ(one("call bpf_map_lookup_elem"), Instruction(CallHelper{1}));
  EXPECT_EQ(one("call 44"), Instruction(CallHelper{44}));
  EXPECT_EQ(one("r2 = atomic_fetch_xor((u32 *)(r1 + 4), r2)"),
            Instruction(Atomic{AtomicOp::kXor, true, Size::k4, Reg::kR1, Reg::kR2, 4}));
}

TEST(Assemble, ResolvesLabels) {
  auto insns = assemble(R"(
    start:  r1 = 0x1
            if w1 s< 0x7 goto out
            call twice
            r2 = subprog[twice]
            gotol start
    out:    exit
    twice:
            r0 = 2
            exit)");
  ASSERT_TRUE(insns) << insns.error().message();
  ASSERT_EQ(insns->size(), 10u);
  EXPECT_EQ(insns->at(2), Instruction(Jump{JumpOp::kSlt, Width::k32, Reg::kR1, Imm{7}, 7}));
  EXPECT_EQ(insns->at(3), Instruction(CallLocal{8}));
  EXPECT_EQ(insns->at(4), Instruction(LoadFunction{Reg::kR2, 8}));
  EXPECT_EQ(insns->at(6), Instruction(Goto{true, 0}));
}

TEST(Assemble, NamesTheLineAndWhatItExpected) {
  EXPECT_EQ(error_of("exit\nr11 = 1"), "line 2: expected an instruction, found \"r11 = 1\"");
  EXPECT_EQ(error_of("r1 = r2 r3"), "line 1: expected the end of the line, found \"r3\"");
  EXPECT_EQ(error_of("r1 += w2"), "line 1: expected a number, found \"w2\"");
  EXPECT_EQ(error_of("r1 += 0x100000000"), "line 1: 4294967296 does not fit in 32 bits");
  EXPECT_EQ(error_of("r1 = *(u32 *)(r6 +32768)"), "line 1: offset 32768 does not fit in 16 bits");
  EXPECT_EQ(error_of("goto nowhere\nexit"), "line 1: label nowhere is not defined");
  EXPECT_EQ(error_of("a:\na: exit"), "line 2: label a is defined twice");
  EXPECT_EQ(error_of("exit\ngoto +5"), "line 2: the jump leaves the program (slot 7)");
  EXPECT_EQ(error_of("goto +1\nr1 = 0x0\nexit"), "line 1: the jump goes into a 16-byte load (slot 2)");
  EXPECT_EQ(error_of("r1 = be16 r2"), "line 1: byte order can be changed only in place");
  EXPECT_EQ(error_of("r1 = -r2"), "line 1: a register can be negated only in place");
  EXPECT_EQ(error_of("lock *(u8 *)(r1 +0) += r2"), "line 1: atomic operations work on u32 and u64");
  EXPECT_EQ(error_of("r3 = atomic_xchg((u64 *)(r1 +0), r2)"), "line 1: the old value goes to the operand");
  EXPECT_EQ(error_of("call bpf_nothing"), "line 1: no helper is called bpf_nothing");
}

TEST(Assemble, RefusesAJumpTooFarForItsField) {
  std::string text = "goto end\n";
  for (int i = 0; i < 32768; ++i) text += "r0 = 0\n";
  EXPECT_EQ(error_of(text + "end: exit"), "line 1: the jump is too far (32768)");
  EXPECT_EQ(error_of("gotol end\n" + text.substr(9) + "end: exit"), "accepted");
}

// Whatever the decoder can yield, its text gives back the same value: line by line and as a listing.
TEST(AssembleProperty, IsTheInverseOfPrint) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    base::Rng rng(seed);
    Program program;
    program.insns = random_program(rng, 40);
    std::string text;
    for (Slot slot = 0; slot < program.insns.size(); ++slot) {
      if (!std::holds_alternative<WideTail>(program.insns[slot])) text += to_text(program, slot) + "\n";
    }
    auto plain = assemble(text);
    ASSERT_TRUE(plain) << plain.error().message() << "\n" << text;
    ASSERT_EQ(*plain, program.insns) << text;
    auto listed = assemble(listing(program, TextForm::kKernel));
    ASSERT_TRUE(listed) << listed.error().message() << "\n" << listing(program);
    ASSERT_EQ(*listed, program.insns) << listing(program);
  }
}

// The generator behind the property reaches every kind of instruction.
TEST(AssembleProperty, CoversEveryType) {
  std::vector<int> seen(std::variant_size_v<Instruction>);
  for (uint64_t seed = 0; seed < 400; ++seed) {
    base::Rng rng(seed);
    for (const Instruction& insn : random_program(rng, 40)) ++seen[insn.index()];
  }
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_GT(seen[i], 0) << "alternative " << i;
}

}  // namespace
}  // namespace xnic::arch::ebpf
