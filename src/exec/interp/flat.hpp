// SPDX-License-Identifier: Apache-2.0
// Running instructions on plain memory, without maps, packets or a context: what conformance suites need.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "arch/ebpf/instruction.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"
#include "exec/helpers/helper_context.hpp"

namespace xnic::exec::interp {

struct ExtraHelper {
  helpers::HelperFn function = nullptr;
  bool ends_when_zero = false;  // «unwind»: a result of 0 ends the program with r0 = 0
};
using ExtraHelpers = std::map<uint32_t, ExtraHelper>;

// Runs `insns` with r1 = address and r2 = length of `memory`, which is the packet to legacy packet loads, and returns
// r0. `extra` are the helpers that calls by number and by register reach. Errors: kUnsupported for an instruction or
// helper that cannot run here, kLimit when `budget` operations were not enough or calls nest too deep. Memory accesses
// are not checked.
base::Result<uint64_t> run_flat(std::span<const arch::ebpf::Instruction> insns, base::MutableBytes memory,
                                const ExtraHelpers& extra = {}, uint64_t budget = 1u << 30);

}  // namespace xnic::exec::interp
