// SPDX-License-Identifier: Apache-2.0
// A shape is a list of strokes, a stroke a list of points in the unit square, y downwards. Distortion: each point is
// moved a little, then the whole is turned, slanted, scaled and shifted. A pixel is the darker the nearer its centre is
// to a stroke; noise on top.
#include "digits/glyphs.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.hpp"

namespace xnic::apps::digits {
namespace {

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;
using Shape = std::vector<Stroke>;

// Part of an ellipse; angles in quarter turns, clockwise from the right.
Stroke arc(double x, double y, double rx, double ry, double from, double to) {
  Stroke stroke;
  constexpr int kSteps = 12;
  for (int i = 0; i <= kSteps; ++i) {
    const double angle = (from + (to - from) * i / kSteps) * std::numbers::pi / 2;
    stroke.push_back({x + rx * std::cos(angle), y + ry * std::sin(angle)});
  }
  return stroke;
}

// For each digit its shapes; the last one is for the test set alone.
const std::vector<Shape>& shapes_of(uint32_t digit) {
  static const std::vector<Shape> kShapes[10] = {
      {{arc(.5, .5, .3, .42, 0, 4)}, {arc(.5, .5, .24, .42, 0, 4)}, {arc(.5, .5, .34, .4, -.9, 3.1)}},
      {{{{.5, .08}, {.5, .92}}},
       {{{.32, .25}, {.52, .08}, {.52, .92}}},
       {{{.32, .25}, {.52, .08}, {.52, .92}}, {{.32, .92}, {.7, .92}}}},
      {{arc(.5, .32, .27, .24, -2.1, .5), {{.7, .46}, {.22, .92}, {.8, .92}}},
       {{{.25, .15}, {.6, .1}, {.75, .3}, {.6, .55}, {.22, .9}, {.8, .9}}},
       {arc(.48, .3, .28, .22, -2, .7), {{.66, .46}, {.2, .85}, {.5, .82}, {.82, .92}}}},
      {{arc(.45, .3, .28, .22, -2, 1.2), arc(.45, .7, .3, .24, -1.2, 2)},
       {{{.22, .1}, {.75, .1}, {.45, .42}}, arc(.45, .66, .3, .26, -1, 2)},
       {{{.22, .12}, {.7, .16}, {.68, .42}, {.42, .47}, {.74, .58}, {.7, .85}, {.22, .9}}}},
      {{{{.6, .08}, {.2, .6}, {.82, .6}}, {{.62, .4}, {.62, .94}}},
       {{{.28, .08}, {.22, .52}, {.78, .52}}, {{.7, .1}, {.68, .94}}},
       {{{.64, .94}, {.64, .08}, {.18, .64}, {.84, .64}}}},
      {{{{.75, .1}, {.3, .1}, {.27, .46}}, arc(.46, .66, .3, .26, -1.3, 1.9)},
       {{{.78, .08}, {.28, .1}, {.26, .45}, {.6, .42}, {.76, .64}, {.6, .9}, {.22, .88}}},
       {{{.72, .12}, {.34, .08}, {.3, .42}, {.64, .46}, {.72, .72}, {.5, .94}, {.24, .82}}}},
      {{{{.66, .08}, {.36, .36}, {.26, .66}}, arc(.5, .68, .26, .24, 0, 4)},
       {arc(.62, .6, .38, .52, -2, -3.2), arc(.5, .68, .25, .24, 0, 4)},
       {{{.6, .06}, {.3, .5}, {.28, .82}, {.5, .94}, {.74, .8}, {.7, .6}, {.5, .52}, {.3, .66}}}},
      {{{{.2, .1}, {.8, .1}, {.42, .92}}},
       {{{.2, .1}, {.8, .1}, {.45, .92}}, {{.34, .5}, {.74, .5}}},
       {{{.2, .2}, {.22, .1}, {.8, .12}, {.55, .5}, {.48, .92}}}},
      {{arc(.5, .29, .22, .2, 0, 4), arc(.5, .7, .27, .23, 0, 4)},
       {{{.7, .2},
         {.5, .08},
         {.3, .22},
         {.4, .42},
         {.68, .62},
         {.7, .82},
         {.5, .93},
         {.3, .82},
         {.32, .64},
         {.62, .4},
         {.7, .2}}},
       {arc(.5, .28, .25, .19, 0, 4), arc(.5, .7, .22, .22, 0, 4)}},
      {{arc(.48, .32, .26, .23, 0, 4), {{.74, .32}, {.7, .7}, {.56, .93}}},
       {arc(.5, .3, .24, .22, 0, 4), {{.74, .3}, {.72, .93}}},
       {{{.72, .2}, {.5, .08}, {.28, .28}, {.46, .5}, {.72, .34}, {.72, .2}, {.68, .7}, {.34, .92}}}}};
  CHECK(digit < 10);
  return kShapes[digit];
}

double uniform(base::Rng& rng, double low, double high) {
  return low + (high - low) * static_cast<double>(rng.next() >> 11) * 0x1p-53;
}

void distort(Shape& shape, base::Rng& rng) {
  const double turn = uniform(rng, -.2, .2);
  const double slant = uniform(rng, -.2, .2);
  const double wide = uniform(rng, .8, 1.05), high = uniform(rng, .85, 1.05);
  const double right = uniform(rng, -.06, .06), down = uniform(rng, -.06, .06);
  for (Stroke& stroke : shape) {
    for (Point& p : stroke) {
      const double x = (p.x + uniform(rng, -.025, .025) - .5) * wide;
      const double y = (p.y + uniform(rng, -.025, .025) - .5) * high;
      const double slanted = x - slant * y;
      p = {.5 + right + slanted * std::cos(turn) - y * std::sin(turn),
           .5 + down + slanted * std::sin(turn) + y * std::cos(turn)};
    }
  }
}

double distance(const Point& p, const Point& a, const Point& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / length, 0.0, 1.0);
  return std::hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

}  // namespace

Sample draw_digit(uint32_t digit, Shapes shapes, base::Rng& rng) {
  const auto& all = shapes_of(digit);
  Shape shape = all[rng.below(shapes == Shapes::kAll ? all.size() : all.size() - 1)];
  distort(shape, rng);
  const double pen = uniform(rng, .04, .09);
  const double ink = uniform(rng, 180, 255);
  Sample sample{{}, digit};
  for (size_t i = 0; i < sample.image.size(); ++i) {
    const Point centre{(static_cast<double>(i % kSide) + .5) / kSide, (static_cast<double>(i / kSide) + .5) / kSide};
    double nearest = 1;
    for (const Stroke& stroke : shape)
      for (size_t k = 0; k + 1 < stroke.size(); ++k)
        nearest = std::min(nearest, distance(centre, stroke[k], stroke[k + 1]));
    constexpr double kPixel = 1.0 / kSide;
    const double cover = std::clamp((pen + kPixel / 2 - nearest) / kPixel, 0.0, 1.0);
    sample.image[i] = static_cast<uint8_t>(std::clamp(ink * cover + uniform(rng, -12, 12), 0.0, 255.0));
  }
  return sample;
}

std::vector<Sample> draw_set(size_t count, Shapes shapes, uint64_t seed) {
  base::Rng rng(seed);
  std::vector<Sample> set;
  for (size_t i = 0; i < count; ++i) set.push_back(draw_digit(static_cast<uint32_t>(i % 10), shapes, rng));
  return set;
}

}  // namespace xnic::apps::digits
