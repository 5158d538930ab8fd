// SPDX-License-Identifier: Apache-2.0
// The live kernel as a second opinion on a vector. XDP gives a program a context instead of (memory, length) and
// returns 32 bits, so a small entry function turns the packet into r1 and r2, calls the vector as a subprogram and
// returns half of its r0; two runs give both halves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vectors.hpp"

namespace xnic::conformance {

struct KernelOutcome {
  bool accepted = false;
  std::string log;      // the verifier's
  uint64_t result = 0;  // when accepted
};

// Whether bpf(2) may be used here, on a kernel that has all of cpu v4 (6.18).
bool kernel_is_usable();
// Verifies and runs the vector. Pre: memory of at most 64 bytes.
KernelOutcome run_in_kernel(const Vector& vector);
// Verifies the program alone, as it is.
KernelOutcome verify_in_kernel(const Vector& vector);

}  // namespace xnic::conformance
