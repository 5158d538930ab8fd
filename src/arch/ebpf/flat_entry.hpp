// SPDX-License-Identifier: Apache-2.0
// A program that takes (r1 = memory, r2 = its length), as conformance suites write them, behind an entry that makes it
// an XDP program: memory is the packet, and XDP's 32-bit result is one half of r0.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf {

// `memory_bytes`: what the program is told to own, at the start of a packet that may be longer; nothing: r1 = r2 = 0.
// With `upper` the result is r0 >> 32, else r0 cut to 32 bits. A packet below memory_bytes ends with 0.
std::vector<RawInsn> with_flat_entry(std::span<const RawInsn> program, std::optional<uint32_t> memory_bytes,
                                     bool upper);

}  // namespace xnic::arch::ebpf
