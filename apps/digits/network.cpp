// SPDX-License-Identifier: Apache-2.0
// Forward in both arithmetics, the gradient by hand. A maximum passes its gradient to the place it came from.
#include "digits/network.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <span>
#include <string>

namespace xnic::apps::digits {
namespace {

using base::ErrorKind;
using base::make_error;

static_assert(sizeof(FloatWeights) == sizeof(float) * (kKernels * 26 + kDigits * (kFeatures + 1)));

std::span<float> numbers(FloatWeights& w) { return {reinterpret_cast<float*>(&w), sizeof w / sizeof(float)}; }
std::span<const float> numbers(const FloatWeights& w) {
  return {reinterpret_cast<const float*>(&w), sizeof w / sizeof(float)};
}

// Upper left pixel of place `i` of pool `p`.
constexpr size_t place(size_t p, size_t i) { return ((p / 2) * 2 + i / 2) * kSide + (p % 2) * 2 + i % 2; }

struct Forward {
  std::array<float, kSide * kSide> pixels;
  std::array<float, kFeatures> pooled{};
  std::array<int, kFeatures> from{};  // place of the maximum, -1 when nothing was above zero
  std::array<float, kDigits> scores{};
};

Forward forward(const FloatWeights& w, const Image& image) {
  Forward f;
  for (size_t i = 0; i < image.size(); ++i) f.pixels[i] = static_cast<float>(image[i]) / 255;
  for (size_t k = 0; k < kKernels; ++k) {
    for (size_t p = 0; p < kPooled; ++p) {
      float most = 0;
      int from = -1;
      for (size_t i = 0; i < 4; ++i) {
        const size_t at = place(p, i);
        float sum = w.kernel_bias[k];
        for (size_t y = 0; y < kKernel; ++y)
          for (size_t x = 0; x < kKernel; ++x) sum += f.pixels[at + y * kSide + x] * w.kernels[k][y * kKernel + x];
        if (sum > most) most = sum, from = static_cast<int>(at);
      }
      f.pooled[k * kPooled + p] = most;
      f.from[k * kPooled + p] = from;
    }
  }
  for (size_t d = 0; d < kDigits; ++d) {
    f.scores[d] = w.digit_bias[d];
    for (size_t i = 0; i < kFeatures; ++i) f.scores[d] += f.pooled[i] * w.digits[d][i];
  }
  return f;
}

// Adds the gradient of one sample to `g`.
void add_gradient(const FloatWeights& w, const Sample& sample, FloatWeights& g) {
  const Forward f = forward(w, sample.image);
  std::array<float, kDigits> share;
  const float most = *std::max_element(f.scores.begin(), f.scores.end());
  float total = 0;
  for (size_t d = 0; d < kDigits; ++d) total += share[d] = std::exp(f.scores[d] - most);
  std::array<float, kFeatures> back{};
  for (size_t d = 0; d < kDigits; ++d) {
    const float error = share[d] / total - (d == sample.digit ? 1.0f : 0.0f);
    g.digit_bias[d] += error;
    for (size_t i = 0; i < kFeatures; ++i) {
      g.digits[d][i] += error * f.pooled[i];
      back[i] += error * w.digits[d][i];
    }
  }
  for (size_t i = 0; i < kFeatures; ++i) {
    if (f.from[i] < 0) continue;
    const size_t k = i / kPooled;
    const auto at = static_cast<size_t>(f.from[i]);
    g.kernel_bias[k] += back[i];
    for (size_t y = 0; y < kKernel; ++y)
      for (size_t x = 0; x < kKernel; ++x) g.kernels[k][y * kKernel + x] += back[i] * f.pixels[at + y * kSide + x];
  }
}

FloatWeights first_weights(base::Rng& rng) {
  FloatWeights w;
  const auto spread = [&](float size) { return size * (static_cast<float>(rng.below(20001)) / 10000 - 1); };
  for (auto& kernel : w.kernels)
    for (float& value : kernel) value = spread(0.35f);
  for (auto& digit : w.digits)
    for (float& value : digit) value = spread(0.3f);
  return w;
}

}  // namespace

uint32_t read_float(const FloatWeights& weights, const Image& image) {
  const Forward f = forward(weights, image);
  return static_cast<uint32_t>(std::max_element(f.scores.begin(), f.scores.end()) - f.scores.begin());
}

Reading read_fixed(const FixedWeights& w, const Image& image) {
  std::array<int32_t, kFeatures> pooled;
  for (size_t k = 0; k < kKernels; ++k) {
    for (size_t p = 0; p < kPooled; ++p) {
      int32_t most = 0;
      for (size_t i = 0; i < 4; ++i) {
        int32_t sum = w.kernel_bias[k];
        for (size_t y = 0; y < kKernel; ++y)
          for (size_t x = 0; x < kKernel; ++x)
            sum += image[place(p, i) + y * kSide + x] * w.kernels[k][y * kKernel + x];
        most = std::max(most, sum);
      }
      pooled[k * kPooled + p] = most >> kShift;
    }
  }
  Reading reading;
  for (size_t d = 0; d < kDigits; ++d) {
    reading.scores[d] = w.digit_bias[d];
    for (size_t i = 0; i < kFeatures; ++i) reading.scores[d] += pooled[i] * w.digits[d][i];
  }
  const auto best = std::max_element(reading.scores.begin(), reading.scores.end());
  reading.digit = static_cast<uint32_t>(best - reading.scores.begin());
  return reading;
}

base::Result<FixedWeights> quantise(const FloatWeights& weights) {
  constexpr float kOne = 1 << kShift;
  FixedWeights fixed;
  // Sums are in units of 1/128 for each weight that was multiplied, and of 1/255 for the pixel.
  const auto round = [](float value) { return static_cast<int32_t>(std::lround(std::clamp(value, -1e9f, 1e9f))); };
  for (size_t k = 0; k < kKernels; ++k) {
    for (size_t i = 0; i < weights.kernels[k].size(); ++i) fixed.kernels[k][i] = round(weights.kernels[k][i] * kOne);
    fixed.kernel_bias[k] = round(weights.kernel_bias[k] * kOne * 255);
  }
  for (size_t d = 0; d < kDigits; ++d) {
    for (size_t i = 0; i < kFeatures; ++i) fixed.digits[d][i] = round(weights.digits[d][i] * kOne);
    fixed.digit_bias[d] = round(weights.digit_bias[d] * kOne * 255);
  }
  XNIC_TRY(check_range(fixed));
  return fixed;
}

base::Result<void> check_range(const FixedWeights& w) {
  constexpr double kMost = 2147483647;
  std::array<double, kKernels> pooled{};
  for (size_t k = 0; k < kKernels; ++k) {
    double sum = std::fabs(static_cast<double>(w.kernel_bias[k]));
    for (int32_t value : w.kernels[k]) sum += 255 * std::fabs(static_cast<double>(value));
    if (sum > kMost)
      return make_error(ErrorKind::kLimit, fmt::format("kernel {}", k), "its sums need more than 32 bits");
    pooled[k] = sum / (1 << kShift);
  }
  for (size_t d = 0; d < kDigits; ++d) {
    double sum = std::fabs(static_cast<double>(w.digit_bias[d]));
    for (size_t i = 0; i < kFeatures; ++i) sum += pooled[i / kPooled] * std::fabs(static_cast<double>(w.digits[d][i]));
    if (sum > kMost)
      return make_error(ErrorKind::kLimit, fmt::format("digit {}", d), "its sum needs more than 32 bits");
  }
  return {};
}

FloatWeights train(const TrainOptions& options) {
  constexpr size_t kBatch = 16;
  constexpr float kMomentum = 0.9f;
  base::Rng rng(options.seed);
  FloatWeights w = first_weights(rng);
  std::vector<Sample> set = draw_set(options.images, Shapes::kTraining, options.seed);
  FloatWeights speed;
  for (uint32_t round = 0; round < options.rounds; ++round) {
    for (size_t i = set.size() - 1; i > 0; --i) std::swap(set[i], set[rng.below(i + 1)]);
    const float rate = options.rate * (1 - static_cast<float>(round) / static_cast<float>(options.rounds));
    for (size_t first = 0; first < set.size(); first += kBatch) {
      const size_t count = std::min(kBatch, set.size() - first);
      FloatWeights gradient;
      for (size_t i = 0; i < count; ++i) add_gradient(w, set[first + i], gradient);
      const auto g = numbers(gradient), v = numbers(speed), n = numbers(w);
      for (size_t i = 0; i < n.size(); ++i) {
        v[i] = kMomentum * v[i] - rate * g[i] / static_cast<float>(count);
        n[i] += v[i];
      }
    }
  }
  return w;
}

base::Result<void> write_weights(const FloatWeights& weights, const std::string& path) {
  std::ofstream file(path);
  for (float value : numbers(weights)) file << fmt::format("{:.6g}\n", value);
  file.close();
  return file ? base::Result<void>() : make_error(ErrorKind::kIo, path, "cannot be written");
}

base::Result<FloatWeights> read_weights(const std::string& path) {
  std::ifstream file(path);
  if (!file) return make_error(ErrorKind::kIo, path, "cannot be read");
  FloatWeights weights;
  size_t line = 0;
  for (float& value : numbers(weights)) {
    ++line;
    if (!(file >> value) || !std::isfinite(value))
      return make_error(ErrorKind::kBadInput, fmt::format("{}: line {}", path, line), "is no number");
  }
  std::string more;
  if (file >> more) return make_error(ErrorKind::kBadInput, path, "holds more than {} numbers", line);
  return weights;
}

}  // namespace xnic::apps::digits
