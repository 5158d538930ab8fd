// SPDX-License-Identifier: Apache-2.0
// What each eBPF instruction becomes: how many NFP instructions, against the costs of the Linux driver's translation,
// and for some of them which.
#include "compile/target/nfp/compile.hpp"

#include <optional>

#include "../../verify/check.hpp"
#include "arch/ebpf/codec.hpp"
#include "arch/nfp/text.hpp"

namespace xnic::compile::target::nfp {
namespace {

using namespace arch::ebpf;
using arch::nfp::Image;
using verify::testing::map_of;

// The driver's translation, one instruction after the other.
CompileOptions driver() {
  CompileOptions options;
  options.passes = PassSet::driver();
  options.passes.put(Pass::kPacketCache, false);
  options.passes.put(Pass::kGather, false);
  return options;
}

base::Result<Image> compiled(std::string_view text, const std::vector<MapSpec>& maps = {},
                             const CompileOptions& options = driver()) {
  Program program = verify::testing::program_of(text, maps);
  program.raw = encode(program.insns);
  static const verify::testing::NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  EXPECT_TRUE(outcome.accepted) << text << "\n" << outcome.rejection.reason;
  return compile(program, outcome.facts, options);
}

std::vector<std::string> texts(const Image& image) {
  std::vector<std::string> all;
  for (const uint64_t word : image.words) all.push_back(to_text(*arch::nfp::decode(*arch::nfp::without_ecc(word))));
  return all;
}

// The text of the words of instruction `slot`.
std::vector<std::string> words_of(const Image& image, uint32_t slot) {
  const std::vector<std::string> all = texts(image);
  std::vector<std::string> some;
  for (size_t i = 0; i < all.size(); ++i)
    if (image.slots[i] == slot) some.push_back(all[i]);
  return some;
}

// The number of words of the instruction in the line that ends with "<-".
size_t cost(const std::string& text, const std::vector<MapSpec>& maps = {}) {
  const size_t mark = text.find("<-");
  EXPECT_NE(mark, std::string::npos);
  std::string plain = text;
  plain.erase(mark, 2);
  const auto image = compiled(plain, maps);
  EXPECT_TRUE(image.has_value()) << text << "\n" << (image ? "" : image.error().message());
  if (!image) return 0;
  Slot slot = 0;  // the marked instruction is the last one before the mark; wide ones take two slots
  for (size_t at = text.rfind('\n', mark); at != std::string::npos && at != 0; at = text.rfind('\n', at - 1)) {
    const std::string before = text.substr(0, at);
    const std::string line = before.substr(before.rfind('\n') + 1);
    slot += line.find(" ll") != std::string::npos || line.find("map[") != std::string::npos ? 2 : 1;
  }
  return words_of(*image, slot).size();
}

// r2 and r3 are unknown numbers of 64 bits, r4 one of 32; all are used afterwards.
std::string with_numbers(const std::string& statement) {
  return "r6 = *(u32 *)(r1 +0)\n r7 = *(u32 *)(r1 +4)\n r8 = r6\n r8 += 32\n if r8 > r7 goto out\n"
         "r2 = *(u64 *)(r6 +0)\n r3 = *(u64 *)(r6 +8)\n r4 = *(u32 *)(r6 +16)\n r5 = *(u8 *)(r6 +20)\n" +
         statement +
         "<-\n *(u64 *)(r6 +0) = r2\n *(u64 *)(r6 +8) = r3\n *(u64 *)(r6 +16) = r4\n *(u64 *)(r6 +24) = r5\n"
         "out: r0 = 1\n exit";
}

struct Cost {
  std::string statement;
  size_t words;
};

TEST(NfpCompile, SpendsWhatTheDriverSpendsOnArithmetic) {
  const std::vector<Cost> costs = {
      {"r2 = r3", 2},
      {"w2 = w3", 2},
      {"r2 = 7", 2},
      {"r2 = 0x12345678", 3},
      {"r2 = 0x1234567812345678 ll", 3},
      {"r2 = 0x1234567887654321 ll", 4},
      {"r2 += r3", 2},
      {"r2 -= r3", 2},
      {"r2 &= r3", 2},
      {"r2 += 255", 2},
      {"r2 += 256", 3},
      {"r2 += -1", 2},
      {"r2 -= 0x12345678", 4},
      {"r2 &= -1", 0},
      {"r2 |= 0", 0},
      {"r2 &= 15", 2},
      {"r2 ^= -1", 2},
      {"w2 += w3", 2},
      {"w2 += 7", 2},
      {"w2 ^= 0x1000", 3},
      {"r2 = -r2", 2},
      {"w2 = -w2", 2},
      {"r2 <<= 3", 2},
      {"r2 >>= 32", 2},
      {"r2 >>= 40", 2},
      {"r2 s>>= 3", 3},
      {"r2 s>>= 32", 2},
      {"r2 s>>= 40", 3},
      {"w2 <<= 3", 2},
      {"w2 s>>= 3", 3},
      {"r2 = be16 r2", 3},
      {"r2 = be32 r2", 3},
      {"r2 = be64 r2", 5},
      {"r4 *= 7", 7},
      {"r5 *= 7", 4},
      {"r5 *= 1000", 5},
      {"r4 /= 8", 1},
      {"r4 /= 3", 10},
      {"r4 /= 7", 13},
      {"r4 /= 1", 0},
  };
  for (const Cost& expected : costs)
    EXPECT_EQ(cost(with_numbers(expected.statement)), expected.words) << expected.statement;
}

// The upper half is cleared only for those who read it.
TEST(NfpCompile, LeavesTheUpperHalfOfANarrowResultThatNobodyReads) {
  EXPECT_EQ(cost("r2 = 3\n w2 += 5<-\n w0 = w2\n exit"), 1u);
  EXPECT_EQ(cost("r2 = 3\n w2 += 5<-\n r0 = r2\n r0 += 1\n r0 >>= 33\n exit"), 2u);
}

TEST(NfpCompile, ShiftsByRegistersAsFarAsTheirRangesAreKnown) {
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n r3 |= 1\n r2 <<= r3")), 5u);
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n r2 <<= r3")), 7u);  // 0 must not bring the low word up
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n r3 |= 32\n r2 <<= r3")), 3u);
  EXPECT_EQ(cost(with_numbers("r3 &= 63\n r3 |= 1\n r2 <<= r3")), 10u);
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n r2 >>= r3")), 4u);
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n r3 |= 32\n r2 s>>= r3")), 3u);
  EXPECT_EQ(cost(with_numbers("r3 &= 63\n r2 s>>= r3")), 9u);
  EXPECT_EQ(cost(with_numbers("r3 &= 31\n w2 <<= w3")), 3u);
}

TEST(NfpCompile, SpendsWhatTheDriverSpendsOnMemory) {
  const std::vector<Cost> costs = {
      {"r2 = *(u8 *)(r6 +0)", 3},
      {"r2 = *(u32 *)(r6 +127)", 3},
      {"r2 = *(u64 *)(r6 +3)", 3},
      {"*(u8 *)(r6 +0) = r2", 2},
      {"*(u64 *)(r6 +0) = r2", 3},
      {"*(u64 *)(r10 -8) = r2", 2},
      {"*(u32 *)(r10 -8) = r2", 1},
      {"*(u16 *)(r10 -8) = r2", 1},
      {"*(u64 *)(r10 -8) = r3\n r2 = *(u64 *)(r10 -8)", 2},
      {"*(u64 *)(r10 -8) = r3\n r2 = *(u16 *)(r10 -4)", 2},
      // Beyond 64 bytes: address, pointer and three cycles of delay, one of them filled.
      {"*(u64 *)(r10 -128) = r3\n r2 = *(u64 *)(r10 -8)\n *(u64 *)(r10 -8) = r2", 7},
      // A word that ld_field does not reach goes through a register.
      {"*(u64 *)(r10 -64) = r3\n *(u16 *)(r10 -8) = r2", 3},
  };
  for (Cost expected : costs) {
    std::string text = with_numbers(expected.statement);
    if (expected.statement.find("127") != std::string::npos) {  // the packet is long enough for it
      text.replace(text.find("r8 += 32"), 8, "r8 += 131");
    }
    EXPECT_EQ(cost(text), expected.words) << expected.statement;
  }
  EXPECT_EQ(cost("r0 = *(u32 *)(r1 +0)<-\n r0 = 1\n exit"), 2u);
  EXPECT_EQ(cost("r0 = *(u32 *)(r1 +4)<-\n r0 = 1\n exit"), 2u);
}

std::string looked_up(const std::string& then) {
  return "r6 = *(u32 *)(r1 +0)\n r7 = *(u32 *)(r1 +4)\n r8 = r6\n r8 += 8\n if r8 > r7 goto out\n r6 = *(u64 *)(r6 "
         "+0)\n"
         "r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n if r0 == 0 goto out\n" +
         then + "<-\n out: r0 = 1\n exit";
}

TEST(NfpCompile, AddsToCountersByTheirSize) {
  const std::vector<MapSpec> maps = {map_of(kMapArray, 4, 32)};
  EXPECT_EQ(cost(looked_up("r1 = 1\n lock *(u64 *)(r0 +0) += r1"), maps), 3u);
  EXPECT_EQ(cost(looked_up("r1 = 1\n lock *(u64 *)(r0 +8) += r1"), maps), 5u);
  EXPECT_EQ(cost(looked_up("r1 = 131072\n lock *(u32 *)(r0 +0) += r1"), maps), 2u);
  EXPECT_EQ(cost(looked_up("r1 = 131072\n lock *(u64 *)(r0 +0) += r1"), maps), 3u);
  EXPECT_EQ(cost(looked_up("lock *(u64 *)(r0 +0) += r6"), maps), 3u + 3 + 5);
  EXPECT_EQ(cost(looked_up("r1 = *(u32 *)(r0 +0)"), maps), 2u);  // nobody reads the upper half
  EXPECT_EQ(cost(looked_up("r1 = *(u64 *)(r0 +8)"), maps), 5u);
}

TEST(NfpCompile, MarksTheWordsThatAreCountedIn) {
  const auto image = compiled(
      "r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1\n"
      "if r0 == 0 goto out\n r1 = 1\n lock *(u64 *)(r0 +8) += r1\n out: r0 = 1\n exit",
      {map_of(kMapArray, 4, 32)});
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(image->atomic_words, (std::vector<arch::nfp::AtomicWord>{{0, 8}, {0, 12}}));
}

TEST(NfpCompile, ComparesWordByWord) {
  const auto jump = [](const std::string& condition) { return cost(with_numbers("if " + condition + " goto out")); };
  EXPECT_EQ(jump("r2 > r3"), 3u);
  EXPECT_EQ(jump("r2 == r3"), 4u);
  EXPECT_EQ(jump("r2 != r3"), 4u);
  EXPECT_EQ(jump("r2 & r3"), 4u);
  EXPECT_EQ(jump("r2 == 0"), 2u);
  EXPECT_EQ(jump("r2 == 7"), 3u);
  EXPECT_EQ(jump("r2 != 0x12345678"), 6u);
  EXPECT_EQ(jump("r2 > 7"), 3u);
  EXPECT_EQ(jump("r2 s< -7"), 3u);  // added, not subtracted
  EXPECT_EQ(jump("r2 s> -7"), 5u);
  EXPECT_EQ(jump("w2 > 7"), 2u);
  EXPECT_EQ(jump("w2 == 7"), 2u);
  EXPECT_EQ(jump("r2 & 7"), 2u);
}

TEST(NfpCompile, CallsHelpersByPlaceholders) {
  const std::vector<MapSpec> maps = {map_of(kMapArray, 4, 8)};
  const auto image = compiled(
      "r3 = 0\n *(u32 *)(r10 -8) = r3\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n"
      "r1 = map[0]\n call 1\n r0 = 1\n exit",
      maps);
  ASSERT_TRUE(image.has_value());
  const std::vector<std::string> expected = {"local_csr_wr[ActLMAddr0, gprB_4]",
                                             "br[.15001], defer[2]",
                                             "alu[gprA_0, --, B, gprA_2]",
                                             "immed[gprB_0, 0x10]",
                                             "local_csr_wr[ActLMAddr0, gprA_22]",
                                             "nop",
                                             "nop",
                                             "nop"};
  EXPECT_EQ(words_of(*image, 7), expected);
  // A key at the frame's base needs no pointer.
  EXPECT_EQ(cost("r3 = 0\n *(u32 *)(r10 -4) = r3\n r2 = r10\n r2 += -4\n r1 = map[0]\n call 1<-\n r0 = 1\n exit", maps),
            3u);
  EXPECT_EQ(cost("call 7<-\n r0 = 1\n exit"), 3u);
}

TEST(NfpCompile, AdjustsThePacketsBounds) {
  EXPECT_EQ(cost("r2 = 14\n call 44<-\n r0 = 1\n exit"), 5u);
  EXPECT_EQ(cost("r2 = 200\n call 44<-\n r0 = 1\n exit"), 16u);  // farther than the card promises
  EXPECT_EQ(cost("r6 = r1\n r2 = 14\n call 44\n r1 = r6\n r2 = -14\n call 44<-\n r0 = 1\n exit"), 16u);
  EXPECT_EQ(cost("r2 = -14\n call 65<-\n r0 = 1\n exit"), 11u);
}

// As the driver compiles the program that only returns; what the public dump of a larger one ends with.
TEST(NfpCompile, EndsWithTheExitBlockAndEightNops) {
  const auto image = compiled("r0 = 1\n exit");
  ASSERT_TRUE(image.has_value());
  const std::vector<std::string> expected = {
      "immed[gprB_22, 0x3fff]",
      "alu[gprB_22, gprB_22, AND, *l$index1]",
      "immed[gprA_0, 0x1], gpr_wrboth",
      "immed[gprA_1, 0x0], gpr_wrboth",
      "br[.15000]",
      "br[.15000], defer[2]",
      "alu[gprA_0, --, B, 0x0]",
      "ld_field[gprA_0, 1100, 0x82, <<16]",
      "alu[--, 0x3, -, gprB_0]",
      "bcc[.5]",
      "immed[gprB_2, 0x2282]",
      "immed_w1[gprB_2, 0x4411]",
      "alu_shf[gprA_1, --, B, gprB_0, <<3]",
      "alu[--, gprA_1, OR, 0x0]",
      "alu_shf[gprB_2, 0xff, AND, gprB_2, >>indirect]",
      "br[.15000], defer[2]",
      "alu[gprA_0, --, B, 0x0]",
      "ld_field[gprA_0, 1100, gprB_2, <<16]",
      "nop",
      "nop",
      "nop",
      "nop",
      "nop",
      "nop",
      "nop",
      "nop",
  };
  EXPECT_EQ(texts(*image), expected);
  EXPECT_EQ(image->abort, 5);
  EXPECT_EQ(image->out, 8);
}

TEST(NfpCompile, PlacesBranchesAndAddresses) {
  const auto image = compiled("r6 = *(u32 *)(r1 +0)\n call f\n r0 += r6\n exit\n f: r6 = 3\n r0 = r6\n exit");
  ASSERT_TRUE(image.has_value()) << image.error().message();
  ASSERT_NE(image->push_registers, 0);
  const auto words = arch::nfp::place(*image, {.start = 3000, .next_packet = 77, .helpers = 500});
  ASSERT_TRUE(words.has_value());
  size_t to_firmware = 0;
  for (size_t i = 0; i < words->size(); ++i) {
    const auto insn = *arch::nfp::decode(*arch::nfp::without_ecc((*words)[i]));
    if (const auto* branch = std::get_if<arch::nfp::Branch>(&insn)) {
      if (branch->target == 77) {
        ++to_firmware;
      } else {
        EXPECT_GE(branch->target, 3000) << i;
        EXPECT_LT(branch->target, 3000 + words->size()) << i;
      }
    }
  }
  EXPECT_EQ(to_firmware, 2u);
  EXPECT_EQ(words_of(*image, 1).front(), "br[.15000], defer[2]");
  EXPECT_FALSE(arch::nfp::place(*image, {.start = 16380, .next_packet = 77, .helpers = 500}).has_value());
}

TEST(NfpCompile, SaysWhatItDoesNotTake) {
  const auto refused = compiled("r0 = 7\n r0 %= 3\n exit");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message(),
            "instruction 1: [nfp] instruction 0x97 not supported. The card has no remainder: use a power of two and a "
            "mask, or a comparison.");
  const auto computed = compiled("r1 = r10\n r1 -= r10\n r0 = 1\n exit");
  ASSERT_FALSE(computed.has_value());
  EXPECT_EQ(computed.error().kind, base::ErrorKind::kUnsupported);
  std::string long_program = "r0 = 1\n";
  for (int i = 0; i < 700; ++i) long_program += "r0 += 0x12345678\n";
  const auto too_long = compiled(long_program + "exit");
  ASSERT_FALSE(too_long.has_value());
  EXPECT_EQ(too_long.error().kind, base::ErrorKind::kLimit);
}

}  // namespace
}  // namespace xnic::compile::target::nfp
