// SPDX-License-Identifier: Apache-2.0
// Running a conformance program on an engine that takes XDP programs only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"

namespace xnic::bpf_plugin {

// Puts the program behind an entry (arch/ebpf/flat_entry.hpp), loads it through the bpf(2) door, so that it is
// verified, and runs it twice on `memory` as the packet, once for each half of r0. Errors: what the verifier said, or
// the engine's.
base::Result<uint64_t> run_as_xdp(const std::string& engine, std::span<const arch::ebpf::RawInsn> program,
                                  const std::optional<std::vector<uint8_t>>& memory);

}  // namespace xnic::bpf_plugin
