// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: a table for people whose rows are also a JSON file, the median, and the behaviour case on
// each program's main path.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::bench {

// A column that the table shows. The JSON has every member of a row, shown or not.
struct Column {
  std::string key;     // member of the rows, and head of the column
  int width = 10;      // characters, at least; text stands left, numbers right
  int digits = 1;      // of fractions
  std::string unit{};  // printed behind numbers: "%", "x"
};

// Rows are printed as they come. A null is a figure that could not be had: "-" in the table.
class Report {
 public:
  explicit Report(std::vector<Column> columns);
  ~Report();
  void print_head() const;
  // Pre: `row` is an object; a missing member is as null. Numbers are kept to four decimal places in the JSON.
  void add(nlohmann::ordered_json row);
  const nlohmann::ordered_json& rows() const;
  // The rows as a JSON list. Makes the folder. Errors: kIo.
  base::Result<void> write(const std::filesystem::path& path) const;

 private:
  std::vector<Column> columns_;
  std::unique_ptr<nlohmann::ordered_json> rows_;
};

// Pre: not empty.
double median(std::vector<double> values);

// Processors, kernel, load average: what figures hang on.
std::string machine_state();

// Keeps this process on one processor, so that medians are of one kind of time.
void pin_to_cpu(int cpu);

// The name of the case (tests/programs/PROGRAM.json) on the program's main path: verdict and maps stay the same
// however often it runs. Errors: kBadInput when none is named yet.
base::Result<std::string> main_case_name(const std::string& program);
// A case by its name. Errors: kIo, kBadInput.
base::Result<nlohmann::ordered_json> read_case(const std::filesystem::path& cases, const std::string& program,
                                               const std::string& name);
base::Result<nlohmann::ordered_json> main_case(const std::filesystem::path& cases, const std::string& program);
// Names of the programs with an object in `folder` (NAME.bpf.o), sorted.
std::vector<std::string> programs_in(const std::filesystem::path& folder);

}  // namespace xnic::bench
