// SPDX-License-Identifier: Apache-2.0
// Series of samples from CSV. Nothing is dropped in silence: a row that is no sample is an error with its number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::apps::changepoint {

struct SeriesOptions {
  std::string column = "1";  // number from 1, or a name, for which the first row is a head
  bool header = false;       // the first row is a head
  char separator = ',';
  bool skip_blank = false;  // leave blank rows out, and count them
};

struct Series {
  std::string name;  // of the file
  std::vector<double> samples;
  std::vector<uint64_t> rows;  // of each sample in the file, from 1
  uint64_t blank_rows = 0;     // left out
};

// Reads `path` ("-": standard input). Errors: kIo; kBadInput naming the row for a blank row, a missing column, text,
// NaN, and samples outside [0, 65536); kBadInput for an empty series and an unknown column.
base::Result<Series> read_series(const std::string& path, const SeriesOptions& options);
// The same from text; `name` is for messages.
base::Result<Series> parse_series(const std::string& text, const std::string& name, const SeriesOptions& options);

}  // namespace xnic::apps::changepoint
