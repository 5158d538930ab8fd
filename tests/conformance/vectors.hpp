// SPDX-License-Identifier: Apache-2.0
// Conformance vectors: a program, its memory, and the r0 or the refusal that RFC 9669 demands. README.md describes the
// files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"

namespace xnic::conformance {

// What the live kernel does with a vector where it differs from the vector's own statement.
enum class KernelSays { kSame, kRefuses, kAccepts, kSkip };

struct Vector {
  std::string group;  // name of the file
  std::string name;
  std::string cpu;  // v1 to v4: the first that has all instructions of the program
  std::optional<std::vector<uint8_t>> memory;
  std::vector<arch::ebpf::RawInsn> program;
  uint64_t result = 0;
  std::string error;  // not empty: the program must be refused with this message
  KernelSays kernel = KernelSays::kSame;
  std::string kernel_text;  // part of the kernel's log, or the reason to skip
};

// All vectors of the *.data files in `folder`, by file name. Errors name file and line.
base::Result<std::vector<Vector>> read_vectors(const std::string& folder);

}  // namespace xnic::conformance
