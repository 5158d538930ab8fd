// SPDX-License-Identifier: Apache-2.0
// Words and image files: every form survives the way there and back, everything else is refused.
#include "arch/hxdp/codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "all_forms.hpp"
#include "arch/hxdp/text.hpp"
#include "base/rng.hpp"

namespace xnic::arch::hxdp {
namespace {

Image small_image() {
  Image image;
  image.program = "p";
  image.maps = {{"a", 1, 4, 8, 16}, {"b", 2, 4, 8, 1}};
  image.call_sites = {{1, {{{Argument::Kind::kMap, 0, 1, 0}, {Argument::Kind::kRegisterBytes, 13, 0, 0}}}}};
  image.rows.resize(2);
  image.rows[0].lanes[0] = Branch{JumpOp::kEq, Width::k64, 1, Imm(0), 1};
  image.rows[1].lanes[0] = Exit{1};
  image.slots.resize(2);
  for (auto& row : image.slots) row.fill(kNoSlot);
  image.lines = {{0, 12, 3, "p.c", "return 1;"}};
  return image;
}

TEST(HxdpCodec, EveryFormSurvivesItsWord) {
  std::vector<uint64_t> words;
  for (const Op& op : all_forms()) {
    const uint64_t word = encode(op);
    auto back = decode(word);
    ASSERT_TRUE(back) << to_text(op, {}) << ": " << back.error().message();
    EXPECT_EQ(to_text(*back, {}), to_text(op, {}));
    EXPECT_TRUE(*back == op) << to_text(op, {});
    words.push_back(word);
  }
  std::sort(words.begin(), words.end());
  EXPECT_EQ(std::adjacent_find(words.begin(), words.end()), words.end()) << "two forms share a word";
}

TEST(HxdpCodec, EveryFormObeysTheRules) {
  for (const Op& op : all_forms()) {
    Image image = small_image();
    image.rows[0].lanes[0] = op;
    for (const RuleViolation& v : check(image.rows[0], 0, image)) ADD_FAILURE() << to_text(op, {}) << ": " << v.text;
  }
}

TEST(HxdpCodec, RandomWordsDecodeToThemselvesOrNotAtAll) {
  base::Rng rng(7);
  int decoded = 0;
  for (int i = 0; i < 200'000; i++) {
    uint64_t word = rng.next();
    if (rng.chance(1, 2)) word &= 0xffff00ffull | rng.next() << 48;
    if (auto op = decode(word)) {
      decoded++;
      EXPECT_EQ(encode(*op), word);
    }
  }
  EXPECT_GT(decoded, 1000);
  EXPECT_FALSE(decode(0xffull));
  EXPECT_FALSE(decode(0x100ull)) << "a nop with a register";
}

TEST(HxdpImage, SurvivesItsFile) {
  const Image image = small_image();
  const auto file = to_bytes(image);
  auto back = from_bytes(file);
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(to_bytes(*back), file);
  EXPECT_EQ(listing(*back, true), listing(image, true));
  EXPECT_EQ(back->call_sites, image.call_sites);
  EXPECT_EQ(back->line_at(0)->text, "return 1;");
}

TEST(HxdpImage, RefusesEveryDamagedFile) {
  const auto file = to_bytes(small_image());
  for (size_t at = 0; at < file.size(); at++) {
    auto damaged = file;
    damaged[at] ^= 0x40;
    EXPECT_FALSE(from_bytes(damaged)) << "byte " << at;
    EXPECT_FALSE(from_bytes(base::Bytes(file).first(at))) << "cut at " << at;
  }
  auto other = file;
  other[8] = kImageVersion + 1;
  auto refused = from_bytes(other);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("version"), std::string::npos);
}

TEST(HxdpRules, EachIsFoundWhereItIsBroken) {
  struct Case {
    Rule rule;
    void (*breaks)(Image&);
  };
  const Case cases[] = {
      {Rule::kLaneInUse, [](Image& i) { i.rows[0].lanes[4] = Exit{1}; }},
      {Rule::kOneCall, [](Image& i) { i.rows[0].lanes[1] = Call{0, false, 0}, i.rows[0].lanes[2] = CallExit{0}; }},
      {Rule::kOneWriter,
       [](Image& i) { i.rows[0].lanes[1] = Move{Width::k64, 3, Imm(1)}, i.rows[0].lanes[2] = Swap{16, 3, 1}; }},
      {Rule::kTarget, [](Image& i) { i.rows[0].lanes[1] = Goto{2}; }},
      {Rule::kMemoryForm, [](Image& i) { i.rows[0].lanes[1] = Load{1, {Space::kPacket, 0, 0, 3, 0}, 0, 0, 0}; }},
      {Rule::kMemoryForm, [](Image& i) { i.rows[0].lanes[1] = Load{1, {Space::kStack, 0, 0, 8, 505}, 0, 0, 0}; }},
      {Rule::kOperand, [](Image& i) { i.rows[0].lanes[1] = Select{JumpOp::kEq, 1, 2, 3, 40000}; }},
      {Rule::kCallSite, [](Image& i) { i.rows[0].lanes[1] = Call{1, false, 0}; }},
      {Rule::kMapField, [](Image& i) { i.rows[0].lanes[1] = Address{Space::kMap, 1, 2, 0}; }},
      {Rule::kFallsOff, [](Image& i) { i.rows[1].lanes[0] = Nop{}; }},
      {Rule::kImageSize, [](Image& i) { i.parameters.rows = 1; }},
      {Rule::kForwarding,
       [](Image& i) {
         i.parameters.forwarding = Forwarding::kLane;
         i.rows[0].lanes[1] = Move{Width::k64, 3, Imm(1)};
         i.rows[1].lanes[0] = ExitRegister{3};
       }},
  };
  EXPECT_TRUE(check(small_image()).empty());
  for (const Case& c : cases) {
    Image image = small_image();
    c.breaks(image);
    const auto found = check(image);
    ASSERT_FALSE(found.empty()) << rule_name(c.rule);
    EXPECT_EQ(found[0].rule, c.rule) << found[0].text;
  }
}

TEST(HxdpMachine, ParametersHaveLimits) {
  EXPECT_TRUE(validate({}));
  EXPECT_FALSE(validate({.lanes = 9}));
  EXPECT_FALSE(validate({.rows = 0}));
  EXPECT_FALSE(validate({.frame_bytes = 48}));
  EXPECT_FALSE(validate({.clock_hz = 0}));
  EXPECT_FALSE(validate({.cores = 65}));
}

}  // namespace
}  // namespace xnic::arch::hxdp
