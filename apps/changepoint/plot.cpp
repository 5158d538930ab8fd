// SPDX-License-Identifier: Apache-2.0
// `xnic-changepoint plot`: the series with its splits, as SVG or in the terminal. Decision n is about the change
// between samples n + 7 and n + 8; a run of splits in a row is one mark, at its first.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "changepoint/command.hpp"

namespace xnic::apps::changepoint {
namespace {

using base::ErrorKind;
using base::make_error;

// By decision number. Errors: kBadInput when the file is not one of recv's, or of another series.
base::Result<std::vector<bool>> read_decisions(const std::string& path, size_t decisions) {
  SeriesOptions options;
  options.column = "number";
  XNIC_ASSIGN(const Series numbers, read_series(path, options));
  options.column = "tag";
  XNIC_ASSIGN(const Series tags, read_series(path, options));
  std::vector<bool> split(decisions);
  for (size_t i = 0; i < numbers.samples.size(); ++i) {
    const double number = numbers.samples[i];
    if (number != std::floor(number) || number >= static_cast<double>(decisions))
      return make_error(ErrorKind::kBadInput, fmt::format("{}: row {}", path, numbers.rows[i]),
                        "decision {} is not one of the {} of this series", number, decisions);
    split[static_cast<size_t>(number)] = tags.samples[i] == 1;
  }
  return split;
}

std::vector<bool> decide(const std::vector<double>& samples) {
  std::vector<uint64_t> units;
  for (double sample : samples) units.push_back(to_fixed(sample, kDeployed.scale));
  const std::span<const uint64_t> all(units);
  std::vector<bool> split;
  for (size_t i = 0; i + kSamples <= units.size(); ++i)
    split.push_back(splits_fixed(all.subspan(i, kWindow), all.subspan(i + kWindow, kWindow), kDeployed));
  return split;
}

// The samples before which a mark stands.
std::vector<size_t> marks(const std::vector<bool>& split) {
  std::vector<size_t> list;
  for (size_t i = 0; i < split.size(); ++i)
    if (split[i] && (i == 0 || !split[i - 1])) list.push_back(i + kWindow);
  return list;
}

struct Range {
  double low, high;
};
Range range_of(const std::vector<double>& samples) {
  const auto [low, high] = std::minmax_element(samples.begin(), samples.end());
  return *low == *high ? Range{*low - 1, *high + 1} : Range{*low, *high};
}

base::Result<void> write_svg(const Series& series, const std::vector<size_t>& at, const std::string& path) {
  constexpr double kWidth = 1600, kHeight = 480, kMargin = 48;
  const Range range = range_of(series.samples);
  const auto x = [&](size_t i) {
    return kMargin + (kWidth - 2 * kMargin) * static_cast<double>(i) /
                         static_cast<double>(std::max<size_t>(series.samples.size() - 1, 1));
  };
  const auto y = [&](double sample) {
    return kHeight - kMargin - (kHeight - 2 * kMargin) * (sample - range.low) / (range.high - range.low);
  };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"14\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<g stroke=\"#d62728\" stroke-opacity=\"0.5\">\n",
      kWidth, kHeight);
  for (size_t mark : at)
    svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>\n", x(mark), kMargin,
                       kHeight - kMargin);
  svg += "</g>\n<polyline fill=\"none\" stroke=\"#1f4e79\" points=\"";
  for (size_t i = 0; i < series.samples.size(); ++i) svg += fmt::format("{:.1f},{:.1f} ", x(i), y(series.samples[i]));
  svg += fmt::format("\"/>\n<text x=\"{0}\" y=\"{1}\">{2} samples from {3} to {4}; {5} runs of splits</text>\n</svg>\n",
                     kMargin, kMargin - 16, series.samples.size(), range.low, range.high, at.size());
  std::ofstream file(path);
  file << svg;
  file.close();
  return file ? base::Result<void>() : make_error(ErrorKind::kIo, path, "cannot be written");
}

// A column is a part of the series: its lowest to its highest sample. The last line marks the columns with splits.
void print_terminal(const Series& series, const std::vector<size_t>& at, uint32_t columns, uint32_t lines) {
  const size_t n = series.samples.size();
  columns = static_cast<uint32_t>(std::min<size_t>(columns, n));
  const Range range = range_of(series.samples);
  const auto line_of = [&](double sample) {
    const double part = (sample - range.low) / (range.high - range.low);
    return static_cast<int>(std::lround(part * (lines - 1)));
  };
  std::vector<std::pair<int, int>> bars;
  for (size_t c = 0; c < columns; ++c) {
    const auto first = series.samples.begin() + static_cast<ptrdiff_t>(c * n / columns);
    const auto last = series.samples.begin() + static_cast<ptrdiff_t>((c + 1) * n / columns);
    const auto [low, high] = std::minmax_element(first, last);
    bars.push_back({line_of(*low), line_of(*high)});
  }
  for (int line = static_cast<int>(lines) - 1; line >= 0; --line) {
    const double level = range.low + (range.high - range.low) * line / (lines > 1 ? lines - 1 : 1);
    std::string text = fmt::format("{:>10.3f} |", level);
    for (const auto& [low, high] : bars) text += line >= low && line <= high ? "#" : " ";
    fmt::print("{}\n", text);
  }
  std::string row(columns, ' ');
  for (size_t mark : at) row[mark * columns / n] = '^';
  fmt::print("{:>10} |{}\n{:>10}  {} samples, {} runs of splits\n", "splits", row, "", n, at.size());
}

base::Result<void> plot_series(const PlotOptions& options) {
  XNIC_ASSIGN(const Series series, read_series(options.input, options.series));
  if (series.samples.size() < kSamples)
    return make_error(ErrorKind::kBadInput, series.name, "has {} samples; a decision needs {}", series.samples.size(),
                      kSamples);
  std::vector<bool> split;
  if (options.decisions.empty()) {
    split = decide(series.samples);
  } else {
    XNIC_ASSIGN(split, read_decisions(options.decisions, series.samples.size() - kSamples + 1));
  }
  const auto at = marks(split);
  if (!options.svg.empty()) return write_svg(series, at, options.svg);
  print_terminal(series, at, options.columns, options.lines);
  return {};
}

}  // namespace

int plot(const PlotOptions& options) {
  auto done = plot_series(options);
  return done ? int{kExitOk} : report(done.error());
}

}  // namespace xnic::apps::changepoint
