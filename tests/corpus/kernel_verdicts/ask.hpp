// SPDX-License-Identifier: Apache-2.0
// The question to the kernel: would it load this program?
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace xnic::corpus {

struct Answer {
  // accepted; rejected (the kernel's verifier said no); libbpf_refused (libbpf gave up before the verifier was asked:
  // form of the object, missing kernel function, map the kernel does not make); crashed (libbpf crashed or took over a
  // minute).
  std::string status;
  int error = 0;                      // errno, positive; for crashed the signal's number
  std::vector<std::string> log_tail;  // the last three lines: of the verifier's log if rejected, else of libbpf's words
  uint32_t verified_insns = 0;        // accepted: instructions the verifier looked at
  std::vector<uint32_t> map_types;  // accepted: BPF_MAP_TYPE_* of each map the program refers to, global data as arrays
};

// Loads `program` of the object file at `path`, alone, in a child process, and unloads it. Needs CAP_BPF and
// CAP_NET_ADMIN.
Answer ask_kernel(const std::string& path, const std::string& program);

}  // namespace xnic::corpus
