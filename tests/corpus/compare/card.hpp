// SPDX-License-Identifier: Apache-2.0
// The question to our card: would it load this program, and does it run as the kernel runs it?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace xnic::corpus {

struct CardAnswer {
  std::string status;  // accepted; rejected; crashed (or took over two minutes: a bug of ours)
  std::string kind;    // when rejected: memory, type, termination, structure, reference, unsupported, limit, object
  std::string reason;  // when rejected; when crashed the signal
  uint64_t load_ms = 0;
  // Only when it was run:
  uint64_t packets = 0;
  uint64_t different = 0;
  std::string skipped;                   // why not run, though both accept
  std::vector<std::string> differences;  // in full
};

// Loads `program` of the object file at `path`, alone, in a child process; if it is accepted and `packets` is not 0,
// runs that many on the interpreter and the live kernel. Running needs root.
CardAnswer ask_card(const std::string& path, const std::string& program, uint64_t packets, uint64_t seed);

}  // namespace xnic::corpus
