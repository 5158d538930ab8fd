// SPDX-License-Identifier: Apache-2.0
// Whole files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace xnic::base {

// All bytes of a file (or pipe, until its end). Errors: kIo with the system's reason (missing, no rights, a folder).
Result<std::vector<uint8_t>> read_file(const std::string& path);

}  // namespace xnic::base
