// SPDX-License-Identifier: Apache-2.0
// The program in an object file that the conformance runner makes: no maps, no BTF, no relocations.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::bpf_plugin {

// The instructions of the section that holds the function `main`, so arranged that the program begins with it. Errors:
// kBadInput for what is no such object, kUnsupported for relocations.
base::Result<std::vector<arch::ebpf::RawInsn>> program_in_elf(base::Bytes object);

}  // namespace xnic::bpf_plugin
