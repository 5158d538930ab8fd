// SPDX-License-Identifier: Apache-2.0
// The stored form of images: there and back, and what becomes of damaged ones.
#include "arch/native/image.hpp"

#include <gtest/gtest.h>

#include "arch/native/digest.hpp"

namespace xnic::arch::native {
namespace {

Image sample() {
  Image image;
  for (int i = 0; i < 100; ++i) image.blob.push_back(static_cast<uint8_t>(i * 7));
  image.symbols = {{Symbol::Kind::kHelper, 28, 0, {}}, {Symbol::Kind::kRuntime, 0, 0, "memcpy"}};
  image.fixups = {{0, 1, -4}, {92, 0, 1 << 20}};
  image.callbacks = {{17, 48}};
  image.program = 16;
  image.batch = 64;
  return image;
}

// The stored form of `image` with a right checksum, whatever the tables say.
base::Result<Image> through_disk(const Image& image) { return decode(encode(image)); }

TEST(ImageTest, ComesBackAsItWasStored) {
  const auto back = through_disk(sample());
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*back, sample());
}

TEST(ImageTest, EveryChangedByteAndEveryLengthIsNoticed) {
  const std::vector<uint8_t> stored = encode(sample());
  for (size_t i = 0; i < stored.size(); ++i) {
    std::vector<uint8_t> damaged = stored;
    damaged[i] ^= 0x10;
    EXPECT_FALSE(decode(damaged)) << "byte " << i;
    EXPECT_FALSE(decode(base::Bytes(stored).first(i))) << "length " << i;
  }
}

TEST(ImageTest, TablesThatPointOutsideTheBlobAreRefused) {
  Image image = sample();
  image.fixups[0].offset = 93;  // 8 bytes from there end behind the blob
  EXPECT_FALSE(through_disk(image));
  image = sample();
  image.fixups[0].symbol = 2;
  EXPECT_FALSE(through_disk(image));
  image = sample();
  image.callbacks[0].offset = 100;
  EXPECT_FALSE(through_disk(image));
  image = sample();
  image.program = 100;
  EXPECT_FALSE(through_disk(image));
}

TEST(DigestTest, TellsOrderLengthAndContentApart) {
  const auto of = [](std::initializer_list<uint64_t> words) {
    Digester digester;
    for (const uint64_t word : words) digester.word(word);
    return digester.finish();
  };
  EXPECT_NE(of({1, 2}), of({2, 1}));
  EXPECT_NE(of({}), of({0}));
  EXPECT_NE(of({0}), of({0, 0}));
  EXPECT_EQ(of({1, 2, 3}), of({1, 2, 3}));
  Digester split, joined;
  split.text("ab"), split.text("c");
  joined.text("a"), joined.text("bc");
  EXPECT_NE(split.finish(), joined.finish());
}

}  // namespace
}  // namespace xnic::arch::native
