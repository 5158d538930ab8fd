// SPDX-License-Identifier: Apache-2.0
// Starts xnic-bpf-plugin as the conformance runner does.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.hpp"

namespace xnic::conformance {

// Bytes as the runner writes them: two digits and a blank each.
std::string hex(std::span<const uint8_t> bytes);

// Runs the plugin with `arguments` (as a shell takes them) and `input` on stdin; gives the r0 that it prints, or its
// message as the error's detail.
base::Result<uint64_t> run_plugin(const std::string& arguments, const std::string& input);

}  // namespace xnic::conformance
