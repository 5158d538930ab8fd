// SPDX-License-Identifier: Apache-2.0
// What BPF_PROG_LOAD found out, for the loader in this process: libbpf only passes on an errno and text. Internal.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compile/verify/verify.hpp"

namespace xnic::device {

// One PROG_LOAD of an XDP program.
struct LoadReport {
  std::string program;
  int error = 0;                                     // positive errno, 0 when loaded
  std::string text;                                  // why, when the program did not reach the verifier
  std::shared_ptr<const arch::ebpf::Program> built;  // null when its instructions could not be decoded
  std::optional<compile::verify::Rejection> rejection;
  std::string log;  // the verifier's, at the reports' log level
};

// While one exists, PROG_LOAD of this thread adds its reports to it.
class LoadReports {
 public:
  explicit LoadReports(int log_level);
  ~LoadReports();
  LoadReports(const LoadReports&) = delete;
  LoadReports& operator=(const LoadReports&) = delete;
  static LoadReports* current();

  std::vector<LoadReport> reports;
  const int log_level;

 private:
  LoadReports* previous_;
};

}  // namespace xnic::device
