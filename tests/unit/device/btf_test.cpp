// SPDX-License-Identifier: Apache-2.0
// BTF blobs are written by hand, type by type, so that each rule can be broken alone.
#include "device/btf.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace xnic::device {
namespace {

using ::testing::HasSubstr;

class BtfWriter {
 public:
  uint32_t name(const std::string& text) {
    uint32_t offset = static_cast<uint32_t>(strings_.size());
    strings_ += text;
    strings_ += '\0';
    return offset;
  }
  // Returns the id of the new type.
  uint32_t type(uint32_t name_off, uint32_t kind, uint32_t vlen, bool flag, uint32_t size_or_type,
                std::vector<uint32_t> words = {}) {
    words_.push_back(name_off);
    words_.push_back((flag ? 1u << 31 : 0) | kind << 24 | vlen);
    words_.push_back(size_or_type);
    words_.insert(words_.end(), words.begin(), words.end());
    return ++last_;
  }
  uint32_t integer(uint32_t bits = 32) {
    return type(name("int"), BTF_KIND_INT, 0, false, bits / 8, {bits | BTF_INT_SIGNED << 24});
  }
  std::vector<uint8_t> blob() const {
    btf_header header{};
    header.magic = BTF_MAGIC;
    header.version = BTF_VERSION;
    header.hdr_len = sizeof header;
    header.type_len = header.str_off = static_cast<uint32_t>(words_.size() * 4);
    header.str_len = static_cast<uint32_t>(strings_.size());
    std::vector<uint8_t> bytes(sizeof header + header.type_len + header.str_len);
    std::memcpy(bytes.data(), &header, sizeof header);
    std::memcpy(bytes.data() + sizeof header, words_.data(), header.type_len);
    std::memcpy(bytes.data() + sizeof header + header.type_len, strings_.data(), header.str_len);
    return bytes;
  }

 private:
  std::vector<uint32_t> words_;
  std::string strings_ = std::string(1, '\0');
  uint32_t last_ = 0;
};

std::string refusal(const std::vector<uint8_t>& blob) {
  auto btf = Btf::parse(blob);
  return btf ? "accepted" : btf.error().detail;
}

TEST(Btf, ReadsAStructWithPlainMembersAndBitFields) {
  BtfWriter writer;
  uint32_t integer = writer.integer();
  uint32_t array = writer.type(0, BTF_KIND_ARRAY, 0, false, 0, {integer, integer, 3});
  uint32_t alias = writer.type(writer.name("triple"), BTF_KIND_TYPEDEF, 0, false, array);
  uint32_t record = writer.type(
      writer.name("record"), BTF_KIND_STRUCT, 3, true, 20,
      {writer.name("a"), alias, 0, writer.name("b"), integer, 96 | 5u << 24, writer.name("c"), integer, 128});
  auto parsed = Btf::parse(writer.blob());
  ASSERT_TRUE(parsed) << parsed.error().message();
  const Btf& btf = **parsed;
  EXPECT_EQ(btf.last_id(), 4u);
  EXPECT_EQ(btf.name(record), "record");
  EXPECT_EQ(btf.size_of(alias), 12u);
  EXPECT_EQ(btf.size_of(record), 20u);
  EXPECT_EQ(btf.size_of(0), std::nullopt);
  EXPECT_EQ(btf.skip_modifiers(alias), array);
  EXPECT_EQ(btf.string(btf.members(record)[1].name_off), "b");
  EXPECT_EQ(btf.member_place(record, 1).bit_offset, 96u);
  EXPECT_EQ(btf.member_place(record, 1).bit_width, 5u);
  EXPECT_EQ(btf.member_place(record, 2).bit_width, 0u);
}

TEST(Btf, ReadsBitFieldsInTheOlderForm) {
  BtfWriter writer;
  uint32_t field = writer.type(writer.name("unsigned"), BTF_KIND_INT, 0, false, 4, {3u});
  uint32_t record = writer.type(writer.name("flags"), BTF_KIND_STRUCT, 1, false, 4, {writer.name("f"), field, 7});
  auto parsed = Btf::parse(writer.blob());
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ((*parsed)->member_place(record, 0).bit_offset, 7u);
  EXPECT_EQ((*parsed)->member_place(record, 0).bit_width, 3u);
}

TEST(Btf, AcceptsAStructThatPointsToItself) {
  BtfWriter writer;
  uint32_t pointer = writer.type(0, BTF_KIND_PTR, 0, false, 2);
  writer.type(writer.name("node"), BTF_KIND_STRUCT, 1, false, 8, {writer.name("next"), pointer, 0});
  EXPECT_EQ(refusal(writer.blob()), "accepted");
}

TEST(Btf, RefusesAStructThatContainsItself) {
  BtfWriter writer;
  writer.type(writer.name("node"), BTF_KIND_STRUCT, 1, false, 8, {writer.name("self"), 1, 0});
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("without end"));
}

TEST(Btf, RefusesPointersThatOnlyPointToEachOther) {
  BtfWriter writer;
  writer.type(0, BTF_KIND_PTR, 0, false, 2);
  writer.type(0, BTF_KIND_CONST, 0, false, 1);
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("without end"));
}

TEST(Btf, RefusesATypeThatDoesNotExist) {
  BtfWriter writer;
  writer.type(0, BTF_KIND_PTR, 0, false, 9);
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("type [9], which does not exist"));
}

TEST(Btf, RefusesAMemberOutsideItsStruct) {
  BtfWriter writer;
  uint32_t integer = writer.integer();
  writer.type(writer.name("s"), BTF_KIND_STRUCT, 1, false, 4, {writer.name("m"), integer, 16});
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("outside its struct"));
}

TEST(Btf, RefusesNamesOutsideTheStringSection) {
  BtfWriter writer;
  writer.type(10'000, BTF_KIND_INT, 0, false, 4, {32u});
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("outside the string section"));
}

TEST(Btf, RefusesAFunctionWithoutPrototype) {
  BtfWriter writer;
  uint32_t integer = writer.integer();
  writer.type(writer.name("f"), BTF_KIND_FUNC, 1, false, integer);
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("without a prototype"));
}

TEST(Btf, RefusesOverlappingVariablesOfADataSection) {
  BtfWriter writer;
  uint32_t integer = writer.integer();
  uint32_t variable = writer.type(writer.name("v"), BTF_KIND_VAR, 0, false, integer, {1});
  writer.type(writer.name(".data"), BTF_KIND_DATASEC, 2, false, 8, {variable, 0, 4, variable, 2, 4});
  EXPECT_THAT(refusal(writer.blob()), HasSubstr("overlap"));
}

TEST(Btf, RefusesBrokenHeaders) {
  BtfWriter writer;
  writer.integer();
  const auto good = writer.blob();
  ASSERT_EQ(refusal(good), "accepted");
  auto bad = good;
  bad[0] ^= 1;
  EXPECT_THAT(refusal(bad), HasSubstr("magic"));
  bad = good;
  bad[2] = 9;
  EXPECT_THAT(refusal(bad), HasSubstr("version"));
  bad = good;
  bad.push_back(0);
  EXPECT_THAT(refusal(bad), HasSubstr("do not fill"));
  bad = good;
  bad.back() = 'x';
  EXPECT_THAT(refusal(bad), HasSubstr("NUL"));
  EXPECT_THAT(refusal({}), HasSubstr("shorter"));
}

// Whatever the damage, parsing ends with an answer, and what is accepted can be walked.
TEST(Btf, SurvivesEveryBrokenByte) {
  BtfWriter writer;
  uint32_t integer = writer.integer();
  uint32_t array = writer.type(0, BTF_KIND_ARRAY, 0, false, 0, {integer, integer, 3});
  writer.type(writer.name("record"), BTF_KIND_STRUCT, 2, false, 16,
              {writer.name("a"), array, 0, writer.name("b"), integer, 96});
  const auto good = writer.blob();
  size_t refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[at] ^= 1 << bit;
      auto btf = Btf::parse(bad);
      refused += !btf;
      if (!btf) continue;
      for (uint32_t id = 1; id <= (*btf)->last_id(); ++id) {
        (*btf)->name(id);
        (*btf)->size_of(id);
      }
    }
  }
  EXPECT_GT(refused, good.size());
}

}  // namespace
}  // namespace xnic::device
