// SPDX-License-Identifier: Apache-2.0
// One pass over the rows. Fields may stand in quotes, without separators in them.
#include "changepoint/series.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <iterator>
#include <optional>
#include <sstream>

#include "base/file.hpp"
#include "changepoint/decision.hpp"

namespace xnic::apps::changepoint {
namespace {

using base::ErrorKind;
using base::make_error;

std::string trimmed(std::string text) {
  const auto edge = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '"'; };
  while (!text.empty() && edge(text.back())) text.pop_back();
  size_t start = 0;
  while (start < text.size() && edge(text[start])) ++start;
  return text.substr(start);
}

std::vector<std::string> fields(const std::string& line, char separator) {
  std::vector<std::string> list;
  std::istringstream in(line);
  std::string field;
  while (std::getline(in, field, separator)) list.push_back(trimmed(field));
  if (!line.empty() && line.back() == separator) list.emplace_back();
  return list;
}

std::optional<size_t> column_number(const std::string& column) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(column.data(), column.data() + column.size(), number);
  if (error != std::errc() || end != column.data() + column.size() || number == 0) return std::nullopt;
  return number - 1;
}

base::Result<double> sample_of(const std::string& field, const std::string& where) {
  double sample = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), sample);
  if (error == std::errc::result_out_of_range || (error == std::errc() && std::isinf(sample)))
    return make_error(ErrorKind::kBadInput, where, "'{}' is out of range: samples are in [0, 65536)", field);
  if (error != std::errc() || end != field.data() + field.size())
    return make_error(ErrorKind::kBadInput, where, "'{}' is not a number", field);
  if (std::isnan(sample)) return make_error(ErrorKind::kBadInput, where, "the sample is NaN");
  if (std::signbit(sample) || sample >= kSampleLimit)
    return make_error(ErrorKind::kBadInput, where, "{} is out of range: samples are in [0, 65536)", field);
  return sample;
}

}  // namespace

base::Result<Series> parse_series(const std::string& text, const std::string& name, const SeriesOptions& options) {
  Series series{.name = name, .samples = {}, .rows = {}};
  std::optional<size_t> column = column_number(options.column);
  bool head = options.header || !column;
  std::istringstream in(text);
  std::string line;
  for (uint64_t row = 1; std::getline(in, line); ++row) {
    const std::string where = fmt::format("{}: row {}", name, row);
    const auto list = fields(line, options.separator);
    if (head) {
      head = false;
      if (column) continue;
      const auto found = std::find(list.begin(), list.end(), options.column);
      if (found == list.end())
        return make_error(ErrorKind::kBadInput, where, "the head has no column '{}'", options.column);
      column = static_cast<size_t>(found - list.begin());
      continue;
    }
    if (trimmed(line).empty()) {
      if (!options.skip_blank)
        return make_error(ErrorKind::kBadInput, where, "is blank: a sample is missing (--skip-blank leaves it out)");
      ++series.blank_rows;
      continue;
    }
    if (list.size() <= *column || list[*column].empty())
      return make_error(ErrorKind::kBadInput, where, "has no column {}", options.column);
    XNIC_ASSIGN(const double sample, sample_of(list[*column], where));
    series.samples.push_back(sample);
    series.rows.push_back(row);
  }
  if (series.samples.empty()) return make_error(ErrorKind::kBadInput, name, "has no samples");
  return series;
}

base::Result<Series> read_series(const std::string& path, const SeriesOptions& options) {
  if (path == "-") {
    const std::string text(std::istreambuf_iterator<char>(std::cin), {});
    return parse_series(text, "standard input", options);
  }
  XNIC_ASSIGN(const auto bytes, base::read_file(path));
  return parse_series(std::string(bytes.begin(), bytes.end()), path, options);
}

}  // namespace xnic::apps::changepoint
