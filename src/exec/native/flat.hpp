// SPDX-License-Identifier: Apache-2.0
// Running instructions on plain memory as native code: what conformance suites need.
#pragma once

#include "exec/interp/flat.hpp"

namespace xnic::exec::native {

// As interp::run_flat(), but for budget and depth: a program that does not end does not come back.
base::Result<uint64_t> run_flat(std::span<const arch::ebpf::Instruction> insns, base::MutableBytes memory,
                                const interp::ExtraHelpers& extra = {});

}  // namespace xnic::exec::native
