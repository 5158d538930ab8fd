// SPDX-License-Identifier: Apache-2.0
// Every form to its word and back, with operands of all kinds; the limits of the two encodings; the error correction;
// lines of a program that the Linux driver compiled, as bpftool showed it on a card.
#include "arch/nfp/codec.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "arch/nfp/text.hpp"
#include "base/rng.hpp"

namespace xnic::arch::nfp {
namespace {

class Random {
 public:
  explicit Random(uint64_t seed) : rng_(seed) {}
  unsigned below(unsigned limit) { return static_cast<unsigned>(rng_.next() % limit); }
  bool coin() { return below(2) == 1; }

  Operand destination(bool wide, bool may_be_none = true) {
    switch (below(may_be_none ? 5 : 4)) {
      case 0:
        return Gpr{static_cast<Bank>(below(3)), static_cast<uint8_t>(below(32))};
      case 1:
        return local(wide);
      case 2:
        return transfer(below(64));
      case 3:
        return wide ? Operand(Neighbour{static_cast<uint8_t>(below(32))}) : gpr_both(below(32));
      default:
        return None{};
    }
  }
  Operand source(bool wide, unsigned immediates) {
    switch (below(5)) {
      case 0:
        return gpr_a(below(32));
      case 1:
        return gpr_b(below(32));
      case 2:
        return local(wide);
      case 3:
        return transfer(below(64));
      default:
        return imm(below(immediates));
    }
  }
  // Two sources that fit the two ports.
  void sources(Operand& left, Operand& right, bool wide, unsigned immediates) {
    do {
      left = source(wide, immediates), right = source(wide, immediates);
    } while (left.index() == right.index() &&
             (!std::holds_alternative<Gpr>(left) || std::get<Gpr>(left).bank == std::get<Gpr>(right).bank));
  }
  uint16_t target() { return static_cast<uint16_t>(below(1 << 14)); }

 private:
  Operand local(bool wide) {
    if (wide && below(3) == 0)
      return Lm{static_cast<uint8_t>(below(4)), 0, coin() ? Step::kIncrement : Step::kDecrement};
    return lm(below(4), below(wide ? 16 : 8));
  }
  base::Rng rng_;
};

Alu random_alu(Random& random) {
  static constexpr AluOp kOps[] = {AluOp::kMove,     AluOp::kAdd,    AluOp::kNot, AluOp::kAdd16,     AluOp::kAnd,
                                   AluOp::kAdd8,     AluOp::kNotAnd, AluOp::kSub, AluOp::kSubCarry,  AluOp::kAndNot,
                                   AluOp::kAddCarry, AluOp::kOr,     AluOp::kXor, AluOp::kReverseSub};
  Alu insn{kOps[random.below(std::size(kOps))], random.destination(true), {}, {}};
  random.sources(insn.left, insn.right, true, 256);
  if (!reads_left(insn.op)) insn.left = None{};
  return insn;
}
Shift random_shift(Random& random) {
  Shift insn{static_cast<ShiftOp>(random.below(7)),
             static_cast<ShiftKind>(random.below(4)),
             static_cast<uint8_t>(random.below(32)),
             random.destination(false),
             {},
             {}};
  random.sources(insn.left, insn.right, false, 256);
  if (!reads_left(insn.op, insn.kind)) insn.left = None{};
  return insn;
}
LoadField random_field(Random& random) {
  LoadField insn{{},
                 static_cast<uint8_t>(1 + random.below(15)),
                 {},
                 static_cast<ShiftKind>(random.below(4)),
                 static_cast<uint8_t>(random.below(32)),
                 random.coin()};
  do {
    insn.dst = random.destination(false, false), insn.src = random.source(false, 256);
  } while (insn.dst.index() == insn.src.index() &&
           (!std::holds_alternative<Gpr>(insn.dst) || std::get<Gpr>(insn.dst).bank == std::get<Gpr>(insn.src).bank));
  return insn;
}
Multiply random_multiply(Random& random) {
  Multiply insn{static_cast<MultiplyType>(random.below(4)), MultiplyStep::k1, {}, {}, {}};
  if (insn.type != MultiplyType::kStart) insn.step = static_cast<MultiplyStep>(random.below(6));
  if (insn.step >= MultiplyStep::kLast) {
    insn.dst = random.destination(true);
  } else {
    random.sources(insn.left, insn.right, true, 256);
  }
  return insn;
}
Command random_command(Random& random) {
  Command insn{static_cast<CommandOp>(random.below(10)),
               random.coin() ? AddressMode::k32 : AddressMode::k40RightHigh,
               static_cast<uint8_t>(random.below(64)),
               gpr_a(random.below(32)),
               random.coin() ? gpr_b(random.below(32)) : imm(random.below(128)),
               static_cast<uint8_t>(random.below(8)),
               static_cast<uint8_t>(random.below(16)),
               static_cast<Swap>(random.below(4)),
               random.coin()};
  if (random.below(4) == 0) insn.mode = AddressMode::k40LeftHigh, insn.left = lm(random.below(2), random.below(8));
  return insn;
}

const std::vector<std::function<Instruction(Random&)>> kForms = {
    random_alu,
    random_shift,
    random_field,
    random_multiply,
    random_command,
    [](Random& r) -> Instruction {
      return LoadImmediate{r.destination(true), static_cast<uint16_t>(r.below(65536)),
                           static_cast<ImmediateWidth>(r.below(3)), r.coin(), static_cast<uint8_t>(r.below(3))};
    },
    [](Random& r) -> Instruction {
      const unsigned condition = r.below(13);
      return Branch{condition == 12 ? Condition::kAlways : static_cast<Condition>(condition), r.target(),
                    static_cast<uint8_t>(r.below(3))};
    },
    [](Random& r) -> Instruction {
      return BranchBit{r.coin() ? gpr_a(r.below(32)) : gpr_b(r.below(32)), static_cast<uint8_t>(r.below(32)), r.coin(),
                       r.target(), static_cast<uint8_t>(r.below(4))};
    },
    [](Random& r) -> Instruction {
      return BranchByte{r.coin() ? transfer(r.below(64)) : gpr_b(r.below(32)),
                        static_cast<uint8_t>(r.below(4)),
                        static_cast<uint8_t>(r.below(256)),
                        r.coin(),
                        r.target(),
                        static_cast<uint8_t>(r.below(4))};
    },
    [](Random& r) -> Instruction {
      return JumpRegister{r.coin() ? gpr_a(r.below(32)) : gpr_b(r.below(32)), r.below(1 << 17),
                          static_cast<uint8_t>(r.below(4))};
    },
    [](Random& r) -> Instruction { return CsrWrite{static_cast<uint16_t>(4 * r.below(2048)), r.source(true, 256)}; },
    [](Random& r) -> Instruction { return CsrRead{static_cast<uint16_t>(4 * r.below(2048))}; },
};

TEST(NfpCodec, DecodesEveryFormToWhatWasEncoded) {
  Random random(1);
  for (size_t form = 0; form < kForms.size(); ++form) {
    for (int i = 0; i < 4000; ++i) {
      const Instruction insn = kForms[form](random);
      const auto bits = encode(insn);
      ASSERT_TRUE(bits.has_value()) << form << ": " << to_text(insn) << ": " << bits.error().detail;
      ASSERT_EQ(*bits >> kInstructionBits, 0u);
      const auto again = decode(*bits);
      ASSERT_TRUE(again.has_value()) << form << ": " << to_text(insn) << ": " << again.error().detail;
      ASSERT_TRUE(*again == insn) << to_text(insn) << " became " << to_text(*again);
    }
  }
}

TEST(NfpCodec, DecodesOnlyWordsThatItWouldWriteItself) {
  Random random(2);
  int taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    // A word that is written by the encoder, with one bit changed.
    const uint64_t bits = *encode(kForms[random.below(static_cast<unsigned>(kForms.size()))](random)) ^
                          uint64_t { 1 } << random.below(kInstructionBits);
    const auto insn = decode(bits);
    if (!insn) continue;
    ++taken;
    ASSERT_EQ(*encode(*insn), bits) << to_text(*insn);
  }
  EXPECT_GT(taken, 50'000);
}

void expect_refused(const Instruction& insn, std::string_view reason) {
  const auto bits = encode(insn);
  ASSERT_FALSE(bits.has_value()) << to_text(insn);
  EXPECT_NE(bits.error().detail.find(reason), std::string::npos) << bits.error().detail;
}

TEST(NfpCodec, RefusesWhatAFormCannotHold) {
  expect_refused(Alu{AluOp::kAdd, gpr_a(1), gpr_a(2), gpr_a(3)}, "same port");
  expect_refused(Alu{AluOp::kAdd, gpr_a(1), imm(2), imm(3)}, "same port");
  expect_refused(Alu{AluOp::kAdd, gpr_a(1), lm(0, 1), lm(1, 1)}, "same port");
  expect_refused(Alu{AluOp::kAdd, gpr_a(1), gpr_both(2), imm(3)}, "in one bank");
  expect_refused(Alu{AluOp::kMove, gpr_a(1), gpr_a(2), gpr_b(3)}, "right operand alone");
  expect_refused(Alu{AluOp::kAdd, imm(1), gpr_a(2), gpr_b(3)}, "no destination");
  expect_refused(Alu{AluOp::kAdd, gpr_a(32), gpr_a(2), gpr_b(3)}, "no register 32");
  expect_refused(Alu{AluOp::kAdd, gpr_a(0), gpr_a(2), lm(0, 16)}, "beyond 15");
  expect_refused(Alu{AluOp::kAdd, gpr_a(0), gpr_a(2), Lm{0, 1, Step::kIncrement}}, "no index");
  expect_refused(Shift{ShiftOp::kMove, ShiftKind::kLeft, 1, gpr_a(0), None{}, lm(0, 8)}, "beyond 7");
  expect_refused(Shift{ShiftOp::kMove, ShiftKind::kLeft, 1, gpr_a(0), None{}, Lm{0, 0, Step::kDecrement}},
                 "cannot move");
  expect_refused(Shift{ShiftOp::kOr, ShiftKind::kLeft, 1, gpr_a(0), Neighbour{1}, gpr_b(1)}, "neighbour");
  expect_refused(Shift{ShiftOp::kMove, ShiftKind::kLeft, 32, gpr_a(0), None{}, gpr_b(1)}, "shift by 32");
  expect_refused(Command{CommandOp::kRead8, AddressMode::k32, 0, gpr_a(0), imm(128), 0, 0, Swap::kNow, false},
                 "7 bits");
  expect_refused(Command{CommandOp::kRead8, AddressMode::k32, 0, gpr_b(0), imm(1), 0, 0, Swap::kNow, false}, "bank A");
  expect_refused(Command{CommandOp::kRead8, AddressMode::k32, 0, lm(2, 0), imm(1), 0, 0, Swap::kNow, false}, "0 and 1");
  expect_refused(Branch{Condition::kAlways, 1, 3}, "2 at most");
  expect_refused(Branch{Condition::kEqual, 16384, 0}, "14 bits");
  expect_refused(BranchBit{gpr_a(0), 32, true, 0, 0}, "no bit 32");
  expect_refused(LoadField{gpr_both(0), 0, gpr_b(1), ShiftKind::kRotate, 0, false}, "byte mask");
  expect_refused(LoadImmediate{gpr_a(0), 1, ImmediateWidth::kAll, false, 3}, "3 bytes");
  expect_refused(CsrWrite{0x65, gpr_a(0)}, "no local register");
  expect_refused(Multiply{MultiplyType::k32x32, MultiplyStep::kLast, gpr_a(0), gpr_a(1), gpr_b(2)}, "no sources");
}

// Each mask has its own parity; worked out by hand from the masks' hexadecimal digits.
TEST(NfpCodec, ChecksWordsWithSevenParityBits) {
  EXPECT_EQ(ecc_of(0), 0u);
  EXPECT_EQ(ecc_of(uint64_t{1}), 0b0000111u);        // masks 0, 1, 2
  EXPECT_EQ(ecc_of(uint64_t{1} << 44), 0b0111110u);  // masks 1 to 5
  EXPECT_EQ(ecc_of(uint64_t{1} << 35), 0b1001111u);  // masks 0 to 3 and 6
  EXPECT_EQ(ecc_of(uint64_t{1} | uint64_t{1} << 44), 0b0111001u);
  EXPECT_EQ(with_ecc(*encode(kNop)), 0x000000f0000c0300u);  // every mask has an even number of its bits
}

TEST(NfpCodec, FindsEverySingleAndDoubleErrorOfAWord) {
  const uint64_t word = with_ecc(*encode(Alu{AluOp::kAdd, gpr_both(6), gpr_a(6), imm(14)}));
  ASSERT_TRUE(without_ecc(word).has_value());
  for (unsigned i = 0; i < kInstructionBits + kEccBits; ++i) {
    EXPECT_FALSE(without_ecc(word ^ uint64_t{1} << i).has_value()) << i;
    for (unsigned j = 0; j < i; ++j)
      EXPECT_FALSE(without_ecc(word ^ uint64_t{1} << i ^ uint64_t{1} << j).has_value()) << i << " " << j;
  }
}

struct Line {
  Instruction insn;
  std::string_view text;
};

// The end of a program for the card as its public dump shows it: the exit block, then the padding.
TEST(NfpText, IsThatOfThePublicDisassembler) {
  const std::vector<Line> lines = {
      {LoadImmediate{gpr_b(22), 0x3fff}, "immed[gprB_22, 0x3fff]"},
      {Alu{AluOp::kAnd, gpr_b(22), gpr_b(22), lm(1, 0)}, "alu[gprB_22, gprB_22, AND, *l$index1]"},
      {Alu{AluOp::kAdd, gpr_both(4), gpr_b(22), lm(1, 2)}, "alu[gprA_4, gprB_22, +, *l$index1[2]], gpr_wrboth"},
      {Alu{AluOp::kMove, gpr_both(6), None{}, gpr_b(2)}, "alu[gprA_6, --, B, gprB_2], gpr_wrboth"},
      {Alu{AluOp::kSubCarry, None{}, gpr_a(5), gpr_b(7)}, "alu[--, gprA_5, -carry, gprB_7]"},
      {Branch{Condition::kNoCarry, 152, 0}, "bcc[.152]"},
      {Command{CommandOp::kRead32Swap, AddressMode::k32, 0, gpr_a(2), imm(12), 5, 1, Swap::kNow, false},
       "mem[read32_swap, $xfer_0, gprA_2, 0xc, 6], ctx_swap[sig1]"},
      {Command{CommandOp::kRead32Swap, AddressMode::k32, 0, gpr_a(2), imm(16), 6, 1, Swap::kNow, true},
       "mem[read32_swap, $xfer_0, gprA_2, 0x10, 7], indirect_ref, ctx_swap[sig1]"},
      {LoadField{gpr_both(10), 1, transfer(0), ShiftKind::kRight, 8, true},
       "ld_field_w_clr[gprA_10, 0001, $xfer_0, >>8], gpr_wrboth"},
      {LoadField{gpr_both(8), 12, transfer(5), ShiftKind::kLeft, 16, false},
       "ld_field[gprA_8, 1100, $xfer_5, <<16], gpr_wrboth"},
      {Shift{ShiftOp::kMove, ShiftKind::kDoubleRight, 24, gpr_both(11), gpr_a(11), gpr_b(10)},
       "dbl_shf[gprA_11, gprA_11, gprB_10, >>24], gpr_wrboth"},
      {Shift{ShiftOp::kMove, ShiftKind::kLeft, 8, gpr_both(10), None{}, gpr_b(10)},
       "alu_shf[gprA_10, --, B, gprB_10, <<8], gpr_wrboth"},
      {LoadImmediate{gpr_b(21), 0x403, ImmediateWidth::kWord, false, 2}, "immed_w1[gprB_21, 0x403]"},
      {LoadImmediate{None{}, 0xe80}, "immed[--, 0xe80]"},
      {Alu{AluOp::kSub, None{}, imm(0x22), gpr_a(6)}, "alu[--, 0x22, -, gprA_6]"},
      {Branch{Condition::kAlways, 15000, 2}, "br[.15000], defer[2]"},
      {LoadField{gpr_a(0), 12, imm(0x82), ShiftKind::kLeft, 16, false}, "ld_field[gprA_0, 1100, 0x82, <<16]"},
      {Shift{ShiftOp::kAnd, ShiftKind::kRight, 0, gpr_b(2), imm(0xff), gpr_b(2)},
       "alu_shf[gprB_2, 0xff, AND, gprB_2, >>indirect]"},
      {kNop, "nop"},
  };
  for (const Line& line : lines) {
    EXPECT_EQ(to_text(line.insn), line.text);
    const auto bits = encode(line.insn);
    ASSERT_TRUE(bits.has_value()) << line.text << ": " << bits.error().detail;
    EXPECT_EQ(to_text(*decode(*bits)), line.text);
  }
}

TEST(NfpText, NamesTheOtherForms) {
  EXPECT_EQ(to_text(LoadField{gpr_both(0), 5, gpr_a(0), ShiftKind::kRotate, 16, false}),
            "ld_field[gprB_0, 0101, gprA_0, >>rot16], gpr_wrboth");
  EXPECT_EQ(to_text(LoadImmediate{gpr_both(3), 1, ImmediateWidth::kAll, true, 1}),
            "immed[gprA_3, 0xfffffffe, <<8], gpr_wrboth");
  EXPECT_EQ(to_text(LoadImmediate{gpr_a(3), 7, ImmediateWidth::kByte, false, 2}), "immed_b2[gprA_3, 0x7]");
  EXPECT_EQ(to_text(BranchBit{gpr_a(4), 5, true, 12, 0}), "br_bset[gprA_4, 5, .12]");
  EXPECT_EQ(to_text(BranchByte{gpr_b(4), 1, 0xff, false, 12, 1}), "br!=byte[gprB_4, 1, 0xff, .12], defer[1]");
  EXPECT_EQ(to_text(JumpRegister{gpr_a(21), 0, 3}), "rtn[gprA_21], defer[3]");
  EXPECT_EQ(to_text(JumpRegister{gpr_a(21), 12, 0}), "jump[gprA_21, .12]");
  EXPECT_EQ(to_text(Multiply{MultiplyType::kStart, MultiplyStep::k1, None{}, gpr_a(0), gpr_b(2)}),
            "mul_step[gprA_0, gprB_2], start");
  EXPECT_EQ(to_text(Multiply{MultiplyType::k32x32, MultiplyStep::kLast2, gpr_both(1), None{}, None{}}),
            "mul_step[gprA_1, --], 32x32_last2, gpr_wrboth");
  EXPECT_EQ(
      to_text(Command{CommandOp::kAdd, AddressMode::k40RightHigh, 0, gpr_a(0), gpr_b(1), 4, 1, Swap::kAfter2, false}),
      "mem[add64, $xfer_0, gprB_1, <<8, gprA_0, 5], ctx_swap[sig1], defer[2]");
  EXPECT_EQ(to_text(Command{CommandOp::kAddImmediate, AddressMode::k40RightHigh, 0, gpr_a(0), gpr_b(1), 0, 0,
                            Swap::kNever, true}),
            "mem[add_imm, $xfer_0, gprB_1, <<8, gprA_0, 1], indirect_ref");
  EXPECT_EQ(to_text(CsrWrite{kCsrLmAddress[3], gpr_b(21)}), "local_csr_wr[ActLMAddr3, gprB_21]");
  EXPECT_EQ(to_text(CsrRead{kCsrRandom}), "local_csr_rd[PseudoRndNum]");
  EXPECT_EQ(to_text(Alu{AluOp::kMove, Lm{3, 0, Step::kIncrement}, None{}, gpr_b(1)}),
            "alu[*l$index3++, --, B, gprB_1]");
  EXPECT_EQ(to_text(Shift{ShiftOp::kArithmetic, ShiftKind::kRight, 31, gpr_both(1), None{}, gpr_b(1)}),
            "asr[gprA_1, gprB_1, >>31], gpr_wrboth");
}

}  // namespace
}  // namespace xnic::arch::nfp
