// SPDX-License-Identifier: Apache-2.0
// Why a verifier refused a program, from its log.
#pragma once

#include <algorithm>
#include <string>

namespace xnic::tests {

// The line before the statistics, with every number as "N", so that equal reasons count together.
inline std::string reason_of(const std::string& log) {
  std::string reason;
  for (size_t at = 0; at < log.size();) {
    const size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    if (!line.empty() && !line.starts_with("processed ") && !line.starts_with(": ")) reason = line;
    // The kernel says what it means above two states, of which the log's end may hold but the second.
    if (line.starts_with("old state: ")) reason = "infinite loop detected";
    at = end + 1;
  }
  std::string general;
  for (char c : reason) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) general += c;
    if (digit && (general.empty() || general.back() != 'N')) general += 'N';
  }
  return general;
}

}  // namespace xnic::tests
