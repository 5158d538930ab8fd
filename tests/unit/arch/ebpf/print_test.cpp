// SPDX-License-Identifier: Apache-2.0
#include "arch/ebpf/print.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "arch/ebpf/codec.hpp"
#include "live_kernel.hpp"

namespace xnic::arch::ebpf {
namespace {

Program program_of(const std::vector<RawInsn>& raw) {
  auto insns = decode(raw, [](MapReference map) -> base::Result<MapIndex> { return MapIndex(map.value); });
  EXPECT_TRUE(insns) << insns.error().message();
  Program program;
  program.insns = *insns;
  return program;
}

std::string text_of(RawInsn insn) {
  std::vector<RawInsn> raw = {insn};
  raw.resize(8, {0x95, 0, 0, 0, 0});
  return to_text(program_of(raw), 0);
}

TEST(Print, WritesWhatOnlyTheProgramKnows) {
  Program program = program_of({{0x18, 1, 5, 0, 1},
                                {},
                                {0x18, 1, 6, 0, 0},
                                {0, 0, 0, 0, 8},
                                {0x18, 2, 4, 0, 3},
                                {},
                                {0x18, 2, 3, 0, 77},
                                {0, 0, 0, 0, 1},
                                {0x85, 0, 1, 0, 0},
                                {0x95, 0, 0, 0, 0}});
  program.maps.resize(2);
  program.maps[1].name = "flows";
  program.subprograms = {{0, 9, "entry"}, {9, 10, "parse"}};
  EXPECT_EQ(to_text(program, 0), "r1 = map[1]");
  EXPECT_EQ(to_text(program, 0, TextForm::kBpftool), "r1 = map[name:flows]");
  EXPECT_EQ(to_text(program, 2, TextForm::kBpftool), "r1 = map[0][0]+8") << "a map without a name keeps its number";
  EXPECT_EQ(to_text(program, 4), "r2 = subprog[+3]");
  EXPECT_EQ(to_text(program, 6), "r2 = variable[77:1]");
  EXPECT_EQ(to_text(program, 8), "call pc+0");
  EXPECT_EQ(to_text(program, 8, TextForm::kBpftool), "call pc+0#parse");
}

TEST(Print, WritesWhatTheKernelRefusesToXdp) {
  EXPECT_EQ(text_of({0x28, 0, 0, 0, 12}), "r0 = *(u16 *)skb[12]");
  EXPECT_EQ(text_of({0x50, 0, 2, 0, -12}), "r0 = *(u8 *)skb[r2 + -12]");
  EXPECT_EQ(text_of({0x8d, 3, 0, 0, 0}), "callx r3");
  EXPECT_EQ(text_of({0x85, 0, 2, 0, 4711}), "call kernel-function#4711");
  EXPECT_EQ(text_of({0x85, 0, 2, 1, 4711}), "call kernel-function#4711:1");
  EXPECT_EQ(text_of({0x85, 0, 0, 0, 500}), "call unknown#500");
  EXPECT_EQ(text_of({0x85, 0, 0, 0, -1}), "call unknown#-1");
}

TEST(Print, ListsWithSourceLinesAndSkipsTails) {
  Program program = program_of({{0x18, 1, 0, 0, 5}, {}, {0xb7, 0, 0, 0, 2}, {0x95, 0, 0, 0, 0}});
  program.lines = {{0, 3, 1, "a.c", "u64 x = 5;"}, {2, 4, 1, "a.c", "return XDP_PASS;"}};
  program.subprograms = {{0, 4, "pass"}};
  EXPECT_EQ(listing(program),
            "; u64 x = 5;\n"
            "   0: (18) r1 = 0x5\n"
            "; return XDP_PASS;\n"
            "   2: (b7) r0 = 2\n"
            "   3: (95) exit\n");
}

// The lines "7: (bf) r6 = r1 ; R1=ctx()" of a level-2 log, by slot, without the state.
std::map<Slot, std::string> instructions_in(const std::string& log) {
  std::map<Slot, std::string> found;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    const size_t paren = line.find(": (");
    if (paren == std::string::npos || line.find_first_not_of("0123456789") != paren) continue;
    std::string text = line.substr(paren + 2, line.find(';', paren) - paren - 2);
    while (!text.empty() && text.back() == ' ') text.pop_back();
    found[static_cast<Slot>(std::stoul(line))] = text;
  }
  return found;
}

// Every instruction that the kernel lets an XDP program run is printed in its log; ours must read the same.
TEST(PrintAgainstKernel, ReadsAsTheVerifierLog) {
  if (!have_live_kernel()) GTEST_SKIP() << "needs bpf(2) on Linux 6.18";
  std::map<int, int> by_opcode;
  for (int code = 0; code < 256; ++code) {
    for (uint8_t src : {0, 1, 2, 10}) {
      for (int16_t offset : {0, 1, 2, 8, 16, 32, -8}) {
        for (int32_t imm : {0, 1, -1, 16, 32, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110, 7}) {
          const bool memory = (code & 7) < 4 && code != 0x18;
          const bool immediate = code == 0x18 || (code & 7) == 2 || (code & 7) == 3 || !(code & 8);
          if (memory && offset != -8) continue;
          if (!immediate && imm != 0) continue;
          if (code == 0x85 && src == 2) continue;  // named from the kernel's BTF
          // r2 is a number, r3 an initialised stack address; the instruction works on r3 if it accesses memory.
          const bool is_load = (code & 7) == 1 || imm == 0x100;
          const auto dst = static_cast<uint8_t>(code == 0x05 || code == 0x06 || code == 0x85 || code == 0x95 ? 0
                                                : memory && !is_load                                         ? 3
                                                                                                             : 2);
          const auto from = static_cast<uint8_t>(memory && is_load ? 3 : src);
          const RawInsn insn{static_cast<uint8_t>(code), static_cast<uint8_t>(dst & 0xf),
                             static_cast<uint8_t>(from & 0xf), offset, imm};
          std::vector<RawInsn> raw = {
              {0xb7, 2, 0, 0, 9}, {0xbf, 3, 10, 0, 0}, {0x7b, 3, 2, -8, 0}, {0xb7, 0, 0, 0, 0}, insn};
          raw.push_back(code == 0x18 ? RawInsn{0, 0, 0, 0, imm} : RawInsn{0xb7, 0, 0, 0, 0});
          while (raw.size() < 40) raw.push_back({0xb7, 0, 0, 0, 0});
          raw.push_back({0x95, 0, 0, 0, 0});
          auto decoded = decode(raw, [](MapReference) -> base::Result<MapIndex> { return MapIndex{0}; });
          if (!decoded || !std::holds_alternative<Exit>(decoded->back()) || (code == 0x18 && src != 0)) continue;
          const auto theirs = instructions_in(ask_kernel(raw, "GPL", 2).log);
          const auto at = theirs.find(4);
          if (at == theirs.end()) continue;
          ++by_opcode[code];
          Program program;
          program.insns = *decoded;
          EXPECT_EQ(fmt::format("({:02x}) {}", code, to_text(program, 4)), at->second);
        }
      }
    }
  }
  EXPECT_GE(by_opcode.size(), 104u) << "opcodes compared";
}

}  // namespace
}  // namespace xnic::arch::ebpf
