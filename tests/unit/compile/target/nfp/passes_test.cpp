// SPDX-License-Identifier: Apache-2.0
// What each pass saves, on a program made for it; that results stay the same is tests/nfp's to show.
#include "compile/target/nfp/passes.hpp"

#include <algorithm>

#include "../../verify/check.hpp"
#include "arch/ebpf/codec.hpp"
#include "arch/nfp/text.hpp"
#include "compile/target/nfp/compile.hpp"

namespace xnic::compile::target::nfp {
namespace {

std::vector<std::string> compiled(const std::string& text, const PassSet& passes,
                                  const std::vector<arch::ebpf::MapSpec>& maps = {}) {
  arch::ebpf::Program program = verify::testing::program_of(text, maps);
  program.raw = arch::ebpf::encode(program.insns);
  const verify::Outcome outcome = verify::verify(program, verify::testing::NothingFrozen{});
  EXPECT_TRUE(outcome.accepted) << text << "\n" << outcome.rejection.reason;
  CompileOptions options;
  options.passes = passes;
  const auto image = compile(program, outcome.facts, options);
  EXPECT_TRUE(image.has_value()) << (image ? "" : image.error().message());
  std::vector<std::string> all;
  if (!image) return all;
  for (const uint64_t word : image->words)
    all.push_back(arch::nfp::to_text(*arch::nfp::decode(*arch::nfp::without_ecc(word))));
  return all;
}

PassSet only(Pass pass) {
  PassSet set = PassSet::none();
  for (size_t i = 0; i < std::size(kPasses); ++i)
    if (static_cast<Pass>(i) == pass) set.put(pass, true);
  return set;
}

size_t count(const std::vector<std::string>& words, std::string_view what) {
  return static_cast<size_t>(
      std::ranges::count_if(words, [&](const std::string& word) { return word.find(what) != std::string::npos; }));
}

const std::string kOpen = "r6 = *(u32 *)(r1 +0)\n r7 = *(u32 *)(r1 +4)\n r8 = r6\n r8 += 128\n if r8 > r7 goto out\n";
const std::string kClose = "out: r0 = 1\n exit";

// Words without any pass, and with the one alone.
struct Saving {
  Pass pass;
  std::string text;
  size_t fewer;
};

TEST(NfpPasses, EachSavesWordsOfItsOwn) {
  const Saving savings[] = {
      {Pass::kDeadBranches, "r2 = 1\n if r2 == 1 goto out\n r2 = 2\n out: r0 = 1\n exit", 2},
      {Pass::kZeroExtension, kOpen + "r2 = *(u8 *)(r6 +0)\n w2 += 1\n *(u8 *)(r6 +1) = r2\n" + kClose, 2},
      {Pass::kImmediateForms, "r2 = *(u32 *)(r1 +0)\n r0 = 5\n r0 &= -1\n r0 += -3\n exit", 6},
      {Pass::kMultiplyRange, kOpen + "r2 = *(u8 *)(r6 +0)\n r2 *= 3\n *(u64 *)(r6 +0) = r2\n" + kClose, 3},
      {Pass::kShiftRange,
       kOpen + "r2 = *(u64 *)(r6 +0)\n r3 = *(u8 *)(r6 +8)\n r3 &= 31\n r2 >>= r3\n *(u64 *)(r6 +0) = r2\n" + kClose,
       6},
      {Pass::kGather,
       kOpen +
           "r2 = *(u32 *)(r6 +0)\n *(u32 *)(r6 +32) = r2\n r2 = *(u32 *)(r6 +4)\n *(u32 *)(r6 +36) = r2\n"
           "r2 = *(u32 *)(r6 +8)\n *(u32 *)(r6 +40) = r2\n" +
           kClose,
       10},
      {Pass::kThreading, "r2 = *(u32 *)(r1 +0)\n r0 = 1\n if r2 == 7 goto l\n r0 = 2\n l: goto m\n m: exit", 1},
      {Pass::kValues, kOpen + "r2 = 70000\n *(u32 *)(r6 +0) = r2\n r2 = 70000\n *(u32 *)(r6 +4) = r2\n" + kClose, 3},
      {Pass::kDeadWords, kOpen + "r2 = *(u64 *)(r6 +0)\n r2 += 1\n r2 >>= 63\n *(u8 *)(r6 +0) = r2\n" + kClose, 2},
  };
  for (const Saving& saving : savings) {
    SCOPED_TRACE(kPasses[static_cast<size_t>(saving.pass)].name);
    const size_t before = compiled(saving.text, PassSet::none()).size();
    const size_t after = compiled(saving.text, only(saving.pass)).size();
    EXPECT_EQ(before - after, saving.fewer);
  }
}

TEST(NfpPasses, PacketLoadsShareARead) {
  const std::string text = kOpen +
                           "r2 = *(u32 *)(r6 +12)\n r3 = *(u16 *)(r6 +18)\n r2 += r3\n *(u32 *)(r6 +64) = r2\n"
                           "r3 = *(u8 *)(r6 +20)\n *(u8 *)(r6 +68) = r3\n" +
                           kClose;
  EXPECT_EQ(count(compiled(text, PassSet::none()), "read32_swap"), 3u);
  EXPECT_EQ(count(compiled(text, only(Pass::kPacketCache)), "read32_swap"), 2u) << "forgotten at the store";
  PassSet wide = only(Pass::kPacketCache);
  wide.put(Pass::kWideReads, true);
  EXPECT_EQ(count(compiled(text, wide), "read32_swap"), 1u) << "the store is elsewhere";
  const std::string overwritten = kOpen +
                                  "r2 = *(u32 *)(r6 +12)\n *(u32 *)(r6 +13) = r2\n r3 = *(u8 *)(r6 +14)\n"
                                  "*(u8 *)(r6 +68) = r3\n" +
                                  kClose;
  EXPECT_EQ(count(compiled(overwritten, wide), "read32_swap"), 2u);
}

TEST(NfpPasses, ReadsAreSharedBehindAJoinOfPathsThatHaveThem) {
  const std::string text = kOpen +
                           "r2 = *(u32 *)(r6 +0)\n if r2 > 5 goto join\n r2 = *(u32 *)(r6 +4)\n join:\n"
                           "r3 = *(u32 *)(r6 +8)\n r2 += r3\n *(u32 *)(r6 +64) = r2\n" +
                           kClose;
  PassSet wide = only(Pass::kPacketCache);
  EXPECT_EQ(count(compiled(text, wide), "read32_swap"), 2u) << "the driver forgets at the target of a branch";
  wide.put(Pass::kWideReads, true);
  EXPECT_EQ(count(compiled(text, wide), "read32_swap"), 1u);
}

TEST(NfpPasses, LongConstantsStayInARegister) {
  const std::string text = kOpen +
                           "r2 = *(u64 *)(r6 +0)\n r3 = *(u64 *)(r6 +8)\n w2 += 0x12345678\n w3 += 0x12345678\n"
                           "*(u32 *)(r6 +0) = r2\n *(u32 *)(r6 +8) = r3\n" +
                           kClose;
  PassSet passes = only(Pass::kValues);
  const size_t without = compiled(text, passes).size();
  passes.put(Pass::kConstants, true);
  const auto words = compiled(text, passes);
  EXPECT_GE(without, words.size());
  EXPECT_EQ(count(words, "0x5678"), 1u);
  EXPECT_EQ(count(words, "gprB_23"), 4u) << "two words to load, two that read";
}

TEST(NfpPasses, RegistersAreWrittenWhereTheyAreRead) {
  const std::string text = kOpen + "r2 = *(u32 *)(r6 +0)\n r2 += 7\n *(u32 *)(r6 +4) = r2\n" + kClose;
  const size_t both = count(compiled(text, PassSet::none()), "gpr_wrboth");
  EXPECT_LT(count(compiled(text, only(Pass::kBanks)), "gpr_wrboth"), both / 2);
}

TEST(NfpPasses, WorkFillsTheSlotsBehindBranches) {
  const std::string text =
      "r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n r0 = 1\n r4 = 2\n if r2 > r3 goto out\n"
      "r0 = 2\n out: r0 += r4\n exit";
  EXPECT_EQ(count(compiled(text, PassSet::none()), "bcc[.15], defer"), 0u);
  EXPECT_GE(count(compiled(text, only(Pass::kDelaySlots)), "bcc"), 1u);
  EXPECT_GE(count(compiled(text, only(Pass::kDelaySlots)), "defer[3]"), 1u);
}

TEST(NfpPasses, WorkFillsTheDelayOfAPointer) {
  const std::string text =
      "r2 = *(u32 *)(r1 +0)\n r3 = *(u32 *)(r1 +4)\n *(u64 *)(r10 -80) = r2\n r4 = 5\n r5 = 6\n"
      "*(u64 *)(r10 -8) = r4\n r0 = r5\n exit";
  const size_t before = count(compiled(text, PassSet::none()), "nop");
  EXPECT_LT(count(compiled(text, only(Pass::kPointerDelays)), "nop"), before);
  EXPECT_GE(count(compiled(text, only(Pass::kPointerDelays)), "nop"), 8u) << "the padding stays";
}

TEST(NfpPasses, AllTogetherKeepTheExitBlockAndThePadding) {
  const std::string text = kOpen + "r2 = *(u32 *)(r6 +0)\n r2 += 7\n *(u32 *)(r6 +4) = r2\n" + kClose;
  const auto plain = compiled(text, PassSet::none()), short_one = compiled(text, PassSet::all());
  ASSERT_GE(short_one.size(), 21u);
  for (size_t i = 1; i <= 21; ++i) {
    if (plain[plain.size() - i].starts_with("bcc")) continue;  // to the block's own first word
    EXPECT_EQ(plain[plain.size() - i], short_one[short_one.size() - i]);
  }
}

TEST(NfpPasses, AreFoundByTheirNames) {
  for (size_t i = 0; i < std::size(kPasses); ++i) EXPECT_EQ(find_pass(kPasses[i].name), static_cast<Pass>(i));
  EXPECT_FALSE(find_pass("nothing").has_value());
  EXPECT_TRUE(PassSet::driver().has(Pass::kPacketCache));
  EXPECT_FALSE(PassSet::driver().has(Pass::kValues));
}

}  // namespace
}  // namespace xnic::compile::target::nfp
