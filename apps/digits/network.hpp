// SPDX-License-Identifier: Apache-2.0
// The network of programs/digits.bpf.c: in floating point to train, in fixed point as the card computes.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "digits/glyphs.hpp"

namespace xnic::apps::digits {

inline constexpr size_t kKernels = 8;
inline constexpr size_t kKernel = 5;
inline constexpr size_t kPooled = 4;
inline constexpr size_t kFeatures = kKernels * kPooled;
inline constexpr size_t kDigits = 10;
inline constexpr int kShift = 7;

// The weights, in the order and layout of the program's struct digits_weights.
template <class T>
struct Weights {
  std::array<std::array<T, kKernel * kKernel>, kKernels> kernels{};
  std::array<T, kKernels> kernel_bias{};
  std::array<std::array<T, kFeatures>, kDigits> digits{};
  std::array<T, kDigits> digit_bias{};
  bool operator==(const Weights&) const = default;
};
using FloatWeights = Weights<float>;
using FixedWeights = Weights<int32_t>;

struct Reading {
  uint32_t digit = 0;
  std::array<int32_t, kDigits> scores{};  // fixed point
  bool operator==(const Reading&) const = default;
};

// Pixels count as value / 255.
uint32_t read_float(const FloatWeights& weights, const Image& image);
// The same numbers as the card's. Pre: check_range(weights) holds.
Reading read_fixed(const FixedWeights& weights, const Image& image);

// Rounded to 1/128. Errors: kLimit when a sum could leave 32 bits for some image.
base::Result<FixedWeights> quantise(const FloatWeights& weights);
base::Result<void> check_range(const FixedWeights& weights);

struct TrainOptions {
  size_t images = 30000;
  uint32_t rounds = 12;  // over all images
  float rate = 0.02f;
  uint64_t seed = 1;
};
// Stochastic gradient descent on the cross entropy of the scores' softmax, with momentum. Takes seconds.
FloatWeights train(const TrainOptions& options);

// A number a line, in the struct's order. Errors: kIo; kBadInput naming the line.
base::Result<void> write_weights(const FloatWeights& weights, const std::string& path);
base::Result<FloatWeights> read_weights(const std::string& path);

}  // namespace xnic::apps::digits
