// SPDX-License-Identifier: Apache-2.0
#include "arch/ebpf/codec.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "live_kernel.hpp"

namespace xnic::arch::ebpf {
namespace {

using base::Result;

// Maps are numbered as the program numbers them; "by file descriptor" is 100 more.
Result<MapIndex> number_of(MapReference reference) {
  if (reference.value < 0) return base::make_error(base::ErrorKind::kBadInput, "", "no map {}", reference.value);
  return static_cast<MapIndex>(reference.is_index ? reference.value : reference.value - 100);
}

constexpr RawInsn kExit{0x95, 0, 0, 0, 0};

std::string error_of(std::vector<RawInsn> raw) {
  auto decoded = decode(raw, number_of);
  return decoded ? "accepted" : decoded.error().message();
}

Instruction first_of(std::vector<RawInsn> raw) {
  auto decoded = decode(raw, number_of);
  EXPECT_TRUE(decoded) << decoded.error().message();
  return decoded ? decoded->front() : Instruction{WideTail{}};
}

// The value that every opcode must give, written by hand from RFC 9669.
TEST(Decode, GivesTheInstructionsOfTheStandard) {
  using enum BinaryOp;
  const Reg r1 = Reg::kR1;
  const Reg r2 = Reg::kR2;
  EXPECT_EQ(first_of({{0x07, 1, 0, 0, -5}}), Instruction(Binary{kAdd, Width::k64, r1, Imm{-5}}));
  EXPECT_EQ(first_of({{0x0c, 1, 2, 0, 0}}), Instruction(Binary{kAdd, Width::k32, r1, r2}));
  EXPECT_EQ(first_of({{0x3f, 1, 2, 0, 0}}), Instruction(Binary{kDiv, Width::k64, r1, r2}));
  EXPECT_EQ(first_of({{0x3f, 1, 2, 1, 0}}), Instruction(Binary{kSdiv, Width::k64, r1, r2}));
  EXPECT_EQ(first_of({{0x94, 1, 0, 1, 3}}), Instruction(Binary{kSmod, Width::k32, r1, Imm{3}}));
  EXPECT_EQ(first_of({{0xc7, 1, 0, 0, 3}}), Instruction(Binary{kArsh, Width::k64, r1, Imm{3}}));
  EXPECT_EQ(first_of({{0xbf, 1, 2, 32, 0}}), Instruction(MovSx{Width::k64, 32, r1, r2}));
  EXPECT_EQ(first_of({{0xbc, 1, 2, 16, 0}}), Instruction(MovSx{Width::k32, 16, r1, r2}));
  EXPECT_EQ(first_of({{0x84, 1, 0, 0, 0}}), Instruction(Neg{Width::k32, r1}));
  EXPECT_EQ(first_of({{0xd4, 1, 0, 0, 16}}), Instruction(Swap{SwapKind::kToLe, 16, r1}));
  EXPECT_EQ(first_of({{0xdc, 1, 0, 0, 64}}), Instruction(Swap{SwapKind::kToBe, 64, r1}));
  EXPECT_EQ(first_of({{0xd7, 1, 0, 0, 32}}), Instruction(Swap{SwapKind::kBswap, 32, r1}));
  EXPECT_EQ(first_of({{0x71, 1, 2, -3, 0}}), Instruction(Load{Size::k1, false, r1, r2, -3}));
  EXPECT_EQ(first_of({{0x89, 1, 2, 4, 0}}), Instruction(Load{Size::k2, true, r1, r2, 4}));
  EXPECT_EQ(first_of({{0x62, 1, 0, 4, 9}}), Instruction(Store{Size::k4, r1, 4, Imm{9}}));
  EXPECT_EQ(first_of({{0x7b, 1, 2, 4, 0}}), Instruction(Store{Size::k8, r1, 4, r2}));
  EXPECT_EQ(first_of({{0xdb, 1, 2, 8, 0x41}}), Instruction(Atomic{AtomicOp::kOr, true, Size::k8, r1, r2, 8}));
  EXPECT_EQ(first_of({{0xc3, 1, 2, 8, 0xf1}}), Instruction(Atomic{AtomicOp::kCmpxchg, true, Size::k4, r1, r2, 8}));
  EXPECT_EQ(first_of({{0xd3, 1, 2, 8, 0x100}}),
            Instruction(Atomic{AtomicOp::kLoadAcquire, false, Size::k1, r1, r2, 8}));
  EXPECT_EQ(first_of({{0x28, 0, 0, 0, 12}}), Instruction(LoadPacket{Size::k2, false, Reg::kR0, 12}));
  EXPECT_EQ(first_of({{0x50, 0, 2, 0, 12}}), Instruction(LoadPacket{Size::k1, true, r2, 12}));
  EXPECT_EQ(first_of({{0x85, 0, 0, 0, 44}}), Instruction(CallHelper{44}));
  EXPECT_EQ(first_of({{0x85, 0, 2, 1, 4711}}), Instruction(CallKernel{4711, 1}));
  EXPECT_EQ(first_of({{0x8d, 2, 0, 0, 0}}), Instruction(CallRegister{r2}));
}

TEST(Decode, TurnsDisplacementsIntoSlots) {
  const std::vector<RawInsn> raw = {
      {0x05, 0, 0, 1, 0},  kExit, {0xa6, 3, 0, -2, 7}, {0x06, 0, 0, 0, -4}, {0xe5, 0, 0, 0, 0},
      {0x85, 0, 1, 0, -5}, kExit};
  auto insns = decode(raw, number_of);
  ASSERT_TRUE(insns) << insns.error().message();
  EXPECT_EQ(insns->at(0), Instruction(Goto{false, 2}));
  EXPECT_EQ(insns->at(2), Instruction(Jump{JumpOp::kLt, Width::k32, Reg::kR3, Imm{7}, 1}));
  EXPECT_EQ(insns->at(3), Instruction(Goto{true, 0}));
  EXPECT_EQ(insns->at(4), Instruction(MayGoto{5}));
  EXPECT_EQ(insns->at(5), Instruction(CallLocal{1}));
}

TEST(Decode, ReadsWideLoads) {
  EXPECT_EQ(first_of({{0x18, 1, 0, 0, -2}, {0, 0, 0, 0, 5}}), Instruction(LoadImm64{Reg::kR1, 0x5fffffffe}));
  EXPECT_EQ(first_of({{0x18, 1, 1, 0, 103}, {}}), Instruction(LoadMap{Reg::kR1, 3}));
  EXPECT_EQ(first_of({{0x18, 1, 5, 0, 3}, {}}), Instruction(LoadMap{Reg::kR1, 3}));
  EXPECT_EQ(first_of({{0x18, 1, 2, 0, 104}, {0, 0, 0, 0, 8}}), Instruction(LoadMapValue{Reg::kR1, 4, 8}));
  EXPECT_EQ(first_of({{0x18, 1, 6, 0, 4}, {0, 0, 0, 0, 8}}), Instruction(LoadMapValue{Reg::kR1, 4, 8}));
  EXPECT_EQ(first_of({{0x18, 1, 4, 0, 1}, {}, kExit}), Instruction(LoadFunction{Reg::kR1, 2}));
  EXPECT_EQ(first_of({{0x18, 1, 3, 0, 77}, {0, 0, 0, 0, 2}}), Instruction(LoadKernelVariable{Reg::kR1, 77, 2}));
  auto two = decode(std::vector<RawInsn>{{0x18, 1, 0, 0, 1}, {}, kExit}, number_of);
  EXPECT_EQ(two->at(1), Instruction(WideTail{}));
}

TEST(Decode, NamesTheUnusedFieldThatIsSet) {
  const std::pair<RawInsn, const char*> cases[] = {
      {{0x07, 1, 2, 0, 1}, "BPF_ALU uses reserved fields: src_reg must be 0"},
      {{0x07, 1, 0, 1, 1}, "BPF_ALU uses reserved fields: offset must be 0"},
      {{0x0f, 1, 2, 0, 1}, "BPF_ALU uses reserved fields: imm must be 0"},
      {{0x37, 1, 0, 2, 1}, "BPF_ALU uses reserved fields: offset must be 0 or 1"},
      {{0xb7, 1, 2, 0, 1}, "BPF_MOV uses reserved fields: src_reg must be 0"},
      {{0xb7, 1, 0, 8, 1}, "BPF_MOV uses reserved fields: offset must be 0"},
      {{0xbf, 1, 2, 0, 1}, "BPF_MOV uses reserved fields: imm must be 0"},
      {{0xbf, 1, 2, 8, 1}, "BPF_MOV uses reserved fields: imm must be 0"},
      {{0xbf, 1, 2, 9, 0}, "BPF_MOV uses reserved fields: offset must be 0, 8, 16 or 32"},
      {{0xbc, 1, 2, 32, 0}, "BPF_MOV uses reserved fields: offset must be 0, 8 or 16"},
      {{0x87, 1, 2, 0, 0}, "BPF_NEG uses reserved fields: src_reg must be 0"},
      {{0x87, 1, 0, 2, 0}, "BPF_NEG uses reserved fields: offset must be 0"},
      {{0x87, 1, 0, 0, 2}, "BPF_NEG uses reserved fields: imm must be 0"},
      {{0xdc, 1, 2, 0, 16}, "BPF_END uses reserved fields: src_reg must be 0"},
      {{0xd7, 1, 0, 1, 16}, "BPF_END uses reserved fields: offset must be 0"},
      {{0xd4, 1, 0, 0, 8}, "BPF_END uses reserved fields: imm must be 16, 32 or 64"},
      {{0x05, 1, 0, 0, 0}, "BPF_JA uses reserved fields: dst_reg must be 0"},
      {{0x05, 0, 1, 0, 0}, "BPF_JA uses reserved fields: src_reg must be 0"},
      {{0x05, 0, 0, 0, 1}, "BPF_JA uses reserved fields: imm must be 0"},
      {{0x06, 0, 0, 1, 0}, "BPF_JA uses reserved fields: offset must be 0"},
      {{0x15, 1, 2, 0, 1}, "BPF_JMP/JMP32 uses reserved fields: src_reg must be 0"},
      {{0x1e, 1, 2, 0, 1}, "BPF_JMP/JMP32 uses reserved fields: imm must be 0"},
      {{0x85, 1, 0, 0, 1}, "BPF_CALL uses reserved fields: dst_reg must be 0"},
      {{0x85, 0, 0, 1, 1}, "BPF_CALL uses reserved fields: offset must be 0"},
      {{0x85, 0, 1, 1, 0}, "BPF_CALL uses reserved fields: offset must be 0"},
      {{0x85, 0, 3, 0, 1}, "BPF_CALL uses reserved fields: src_reg must be 0, 1 or 2"},
      {{0x8d, 1, 0, 0, 1}, "BPF_CALL uses reserved fields: imm must be 0"},
      {{0x95, 1, 0, 0, 0}, "BPF_EXIT uses reserved fields: dst_reg must be 0"},
      {{0x95, 0, 1, 0, 0}, "BPF_EXIT uses reserved fields: src_reg must be 0"},
      {{0x95, 0, 0, 1, 0}, "BPF_EXIT uses reserved fields: offset must be 0"},
      {{0x95, 0, 0, 0, 1}, "BPF_EXIT uses reserved fields: imm must be 0"},
      {{0xe5, 1, 0, 0, 0}, "BPF_JCOND uses reserved fields: dst_reg must be 0"},
      {{0x61, 1, 2, 0, 1}, "BPF_LDX uses reserved fields: imm must be 0"},
      {{0x81, 1, 2, 0, 1}, "BPF_LDX uses reserved fields: imm must be 0"},
      {{0x62, 1, 2, 0, 1}, "BPF_ST uses reserved fields: src_reg must be 0"},
      {{0x63, 1, 2, 0, 1}, "BPF_STX uses reserved fields: imm must be 0"},
      {{0x20, 1, 0, 0, 1}, "BPF_LD_[ABS|IND] uses reserved fields: dst_reg must be 0"},
      {{0x20, 0, 1, 0, 1}, "BPF_LD_[ABS|IND] uses reserved fields: src_reg must be 0"},
      {{0x40, 0, 1, 1, 1}, "BPF_LD_[ABS|IND] uses reserved fields: offset must be 0"},
      {{0xdb, 1, 2, 0, 0x10}, "BPF_ATOMIC uses invalid atomic opcode 10"},
      {{0xdb, 1, 2, 0, 0xe0}, "BPF_ATOMIC uses invalid atomic opcode e0"},
      {{0xd3, 1, 2, 0, 0x00}, "invalid atomic operand size"},
      {{0xcb, 1, 2, 0, 0xe1}, "invalid atomic operand size"},
      {{0x18, 1, 0, 1, 0}, "BPF_LD_IMM64 uses reserved fields: offset must be 0"},
      {{0x18, 1, 7, 0, 0}, "unrecognized bpf_ld_imm64 insn: src_reg must be 0 to 6"},
      {{0xb7, 11, 0, 0, 0}, "R11 is invalid"},
      {{0xbf, 1, 15, 0, 0}, "R15 is invalid"},
      {{0x99, 1, 2, 0, 0}, "unknown opcode 99"},
      {{0x8f, 1, 0, 0, 0}, "unknown opcode 8f"},
      {{0x9d, 0, 0, 0, 0}, "unknown opcode 9d"},
  };
  for (const auto& [insn, text] : cases) {
    const bool wide = insn.opcode == 0x18;
    EXPECT_EQ(error_of({kExit, insn, wide ? RawInsn{} : kExit, kExit}),
              fmt::format("insn 1 (opcode {:#04x}): {}", insn.opcode, text));
  }
}

TEST(Decode, ChecksTheSecondSlotOfWideLoads) {
  const RawInsn load{0x18, 1, 0, 0, 7};
  for (const RawInsn second : {RawInsn{1, 0, 0, 0, 0}, {0, 1, 0, 0, 0}, {0, 0, 1, 0, 0}, {0, 0, 0, 1, 0}}) {
    EXPECT_EQ(error_of({load, second, kExit}),
              "insn 0 (opcode 0x18): invalid bpf_ld_imm64 insn: only imm of the second slot may be set");
  }
  EXPECT_EQ(error_of({load}), "insn 0 (opcode 0x18): invalid bpf_ld_imm64 insn: the second slot is missing");
  EXPECT_EQ(error_of({{0x18, 1, 5, 0, 0}, {0, 0, 0, 0, 1}}),
            "insn 0 (opcode 0x18): unrecognized bpf_ld_imm64 insn: imm of the second slot must be 0");
  EXPECT_EQ(error_of({{0x18, 1, 5, 0, -4}, {}}), "insn 0 (opcode 0x18): no map -4");
}

TEST(Decode, RefusesJumpsToNowhere) {
  EXPECT_EQ(error_of({{0x05, 0, 0, 1, 0}, kExit}), "insn 0 (opcode 0x05): jump out of range from insn 0 to 2");
  EXPECT_EQ(error_of({{0x05, 0, 0, -2, 0}, kExit}), "insn 0 (opcode 0x05): jump out of range from insn 0 to -1");
  EXPECT_EQ(error_of({{0x06, 0, 0, 0, INT32_MAX}, kExit}),
            "insn 0 (opcode 0x06): jump out of range from insn 0 to 2147483648");
  EXPECT_EQ(error_of({{0x15, 0, 0, 1, 0}, {0x18, 1, 0, 0, 0}, {}, kExit}),
            "insn 0 (opcode 0x15): jump into the middle of ldimm64 insn 1");
  EXPECT_EQ(error_of({{0x85, 0, 1, 0, 1}, {0x18, 1, 0, 0, 0}, {}, kExit}),
            "insn 0 (opcode 0x85): jump into the middle of ldimm64 insn 1");
  EXPECT_EQ(error_of({}), "program: has no instructions");
}

// Every opcode with interesting values in every field: what decodes must encode to the same bytes.
const int16_t kOffsets[] = {0, 1, -1, 2, 8, 16, 32, -32768, 32767};
const int32_t kImms[] = {0,    1,    -1,   2,    16,   32,   64,    0x40,  0x41,
                         0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110, INT32_MIN};

template <class F>
void for_all_instructions(F&& use) {
  for (int code = 0; code < 256; ++code) {
    for (uint8_t dst : {0, 1, 10}) {
      for (uint8_t src : {0, 1, 2, 3, 4, 5, 6, 7, 10}) {
        for (int16_t offset : kOffsets) {
          for (int32_t imm : kImms) use(RawInsn{static_cast<uint8_t>(code), dst, src, offset, imm});
        }
      }
    }
  }
}

TEST(CodecProperty, EncodeIsTheInverseOfDecode) {
  size_t accepted = 0;
  for_all_instructions([&](RawInsn insn) {
    // References by descriptor are written back by index, which is the one intended difference.
    if (insn.opcode == 0x18 && (insn.src_reg == 1 || insn.src_reg == 2)) return;
    const std::vector<RawInsn> raw = {kExit, kExit, insn, {0, 0, 0, 0, 0}, kExit, kExit};
    std::vector<RawInsn> program(raw);
    if (insn.opcode != 0x18) program[3] = kExit;
    auto decoded = decode(program, number_of);
    if (!decoded) return;
    ++accepted;
    ASSERT_EQ(encode(*decoded), program) << fmt::format("opcode {:#04x} off {} imm {}", insn.opcode,
                                                        int16_t{insn.offset}, int32_t{insn.imm});
  });
  EXPECT_GT(accepted, 20'000u);
}

TEST(CodecProperty, RandomProgramsSurviveTheRoundTrip) {
  base::Rng rng(20260101);
  size_t accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::vector<RawInsn> program;
    for (int i = 0; i < 3; ++i) {
      const auto code = static_cast<uint8_t>(rng.below(256));
      RawInsn insn{code, static_cast<uint8_t>(rng.below(11)), 0, 0, 0};
      if (rng.chance(1, 2)) insn.src_reg = static_cast<uint8_t>(rng.below(11)) & 0xf;
      if (rng.chance(1, 4)) insn.offset = static_cast<int16_t>(rng.below(4));
      if (rng.chance(1, 2)) insn.imm = static_cast<int32_t>(rng.next());
      program.push_back(insn);
      if (code == 0x18) program.push_back({0, 0, 0, 0, static_cast<int32_t>(rng.next())});
    }
    program.resize(8, kExit);
    auto any_map = [](MapReference reference) -> Result<MapIndex> { return static_cast<MapIndex>(reference.value); };
    auto decoded = decode(program, any_map);
    if (!decoded) continue;
    ++accepted;
    auto again = decode(encode(*decoded), any_map);
    ASSERT_TRUE(again);
    ASSERT_EQ(*again, *decoded);
  }
  EXPECT_GT(accepted, 1000u);
}

// The kernel looks at opcodes and unused fields too. Where it names one of these rules we must refuse, and where we
// refuse it must not accept. (It does not check the offset of exit, and knows no callx.)
TEST(CodecAgainstKernel, RefusesTheSameForms) {
  if (!have_live_kernel()) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  const char* rules[] = {"unknown opcode", "uses reserved fields", "invalid atomic opcode", "bpf_ld_imm64 insn"};
  size_t refused = 0;
  for_all_instructions([&](RawInsn insn) {
    // A part of the combinations, for time: each costs a system call.
    const bool some_imm =
        insn.imm == 0 || insn.imm == 1 || insn.imm == 16 || insn.imm == 0x41 || insn.imm == 0xe1 || insn.imm == 0x100;
    if (insn.dst_reg == 10 || insn.src_reg > 2 || insn.offset > 8 || insn.offset < 0 || !some_imm) return;
    if (insn.opcode == 0x18 && insn.src_reg != 0) return;  // needs maps, BTF or functions
    std::vector<RawInsn> program = {{0xb7, 0, 0, 0, 0}, {0xb7, 2, 0, 0, 1}, {0xb7, 3, 0, 0, 1}, {0xb7, 4, 0, 0, 1}};
    program.push_back(insn);
    program.push_back(insn.opcode == 0x18 ? RawInsn{} : RawInsn{0xb7, 0, 0, 0, 0});
    while (program.size() < 80) program.push_back({0xb7, 0, 0, 0, 0});
    program.push_back(kExit);
    const bool ours = decode(program, number_of).has_value();
    const std::string form = fmt::format("opcode {:#04x} dst {} src {} off {} imm {:#x}", insn.opcode,
                                         int{insn.dst_reg}, int{insn.src_reg}, int16_t{insn.offset}, insn.imm);
    const KernelVerdict kernel = ask_kernel(program);
    const bool exit_offset = insn.opcode == 0x95 && insn.offset != 0;
    if (!ours && !exit_offset) {
      ++refused;
      EXPECT_NE(kernel.error, 0) << form;
    }
    for (const char* rule : rules) {
      if (ours && insn.opcode != 0x8d) {
        EXPECT_EQ(kernel.log.find(rule), std::string::npos) << form << kernel.log;
      }
    }
  });
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace xnic::arch::ebpf
