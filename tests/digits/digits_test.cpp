// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "device/hxdp_images.hpp"
#include "device/native_images.hpp"
#include "digits/card.hpp"

namespace xnic::apps::digits {
namespace {

constexpr const char* kObject = XNIC_PROGRAMS "/digits.bpf.o";
constexpr const char* kWeights = XNIC_SOURCE "/apps/digits/data/weights.txt";

// Sanitizers make everything some ten times slower.
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kImages = 300;
#else
constexpr size_t kImages = 2000;
#endif

std::vector<Image> images_of(const std::vector<Sample>& set) {
  std::vector<Image> images;
  for (const Sample& sample : set) images.push_back(sample.image);
  return images;
}

double accuracy(const FloatWeights& weights, const std::vector<Sample>& set) {
  size_t right = 0;
  for (const Sample& sample : set) right += read_float(weights, sample.image) == sample.digit;
  return static_cast<double>(right) / static_cast<double>(set.size());
}

TEST(Digits, the_shipped_weights_read_nine_of_ten_held_back_images_everywhere_alike) {
  device::install_hxdp();
  device::install_native();
  const auto weights = read_weights(kWeights);
  ASSERT_TRUE(weights.has_value()) << weights.error().message();
  const auto fixed = quantise(*weights);
  ASSERT_TRUE(fixed.has_value()) << fixed.error().message();
  const auto set = draw_set(kImages, Shapes::kAll, 77);
  EXPECT_GE(accuracy(*weights, set), 0.9);
  std::vector<Reading> wanted;
  size_t right = 0;
  for (const Sample& sample : set) {
    wanted.push_back(read_fixed(*fixed, sample.image));
    right += wanted.back().digit == sample.digit;
  }
  EXPECT_GE(right, set.size() * 9 / 10);
  for (std::string_view engine : exec::engine_names()) {
    if (engine == "nfp" || (engine == "kernel" && geteuid() != 0)) continue;  // the NFP card refuses the program
    auto card = DigitsCard::open(kObject, std::string(engine));
    ASSERT_TRUE(card.has_value()) << engine << ": " << card.error().message();
    ASSERT_TRUE(card->use(*fixed).has_value());
    const auto got = card->read(images_of(set));
    ASSERT_TRUE(got.has_value()) << engine << ": " << got.error().message();
    EXPECT_TRUE(*got == wanted) << engine;
  }
}

// Two sets of weights that give different scores for every image: a packet sees the one or the other.
TEST(Digits, weights_can_be_replaced_while_packets_run) {
  FixedWeights sets[2];
  for (int32_t s = 0; s < 2; ++s) {
    for (auto& kernel : sets[s].kernels) kernel.fill(128 + s * 128);
    for (auto& digit : sets[s].digits) digit.fill(1 + s);
    sets[s].digit_bias.fill(1000 * s + 1);
    sets[s].digit_bias[static_cast<size_t>(3 + s)] += 1;
  }
  const auto images = images_of(draw_set(50, Shapes::kAll, 5));
  auto card = DigitsCard::open(kObject, "interp");
  ASSERT_TRUE(card.has_value()) << card.error().message();
  ASSERT_TRUE(card->use(sets[0]).has_value());
  // Between two replacements a whole batch runs, so that no packet still reads the set that is written next.
  std::atomic<bool> done = false;
  std::atomic<uint64_t> batches = 0;
  size_t seen[2] = {}, torn = 0;
  std::thread reader([&] {
    while (!done) {
      const auto readings = card->read(images);
      for (size_t i = 0; readings && i < images.size(); ++i) {
        if ((*readings)[i] == read_fixed(sets[0], images[i]))
          ++seen[0];
        else if ((*readings)[i] == read_fixed(sets[1], images[i]))
          ++seen[1];
        else
          ++torn;
      }
      ++batches;
    }
  });
  for (int i = 1; i <= 60; ++i) {
    const uint64_t before = batches;
    while (batches < before + 2) std::this_thread::yield();
    EXPECT_TRUE(card->use(sets[i % 2]).has_value());
  }
  done = true;
  reader.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_GT(seen[0], 0u);
  EXPECT_GT(seen[1], 0u);
}

TEST(Digits, training_learns_and_repeats_itself) {
  TrainOptions options;
  options.images = 4000, options.rounds = kImages > 1000 ? 4 : 2;
  const FloatWeights weights = train(options);
  EXPECT_GT(accuracy(weights, draw_set(500, Shapes::kAll, 78)), kImages > 1000 ? 0.8 : 0.6);
  if (kImages > 1000) {
    EXPECT_TRUE(train(options) == weights);
  }
}

TEST(Digits, the_test_set_is_not_the_training_set) {
  const auto training = draw_set(3000, Shapes::kTraining, 1);
  for (const Sample& test : draw_set(300, Shapes::kAll, 77))
    for (const Sample& train : training) ASSERT_NE(test.image, train.image);
}

TEST(Digits, weights_that_could_leave_32_bits_are_refused) {
  FloatWeights weights;
  EXPECT_TRUE(quantise(weights).has_value());
  weights.kernels[0].fill(4000);
  EXPECT_FALSE(quantise(weights).has_value());
  weights.kernels[0].fill(500);
  EXPECT_TRUE(quantise(weights).has_value());
  weights.digits[3].fill(500);
  EXPECT_FALSE(quantise(weights).has_value());
}

}  // namespace
}  // namespace xnic::apps::digits
