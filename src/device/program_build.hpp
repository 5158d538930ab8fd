// SPDX-License-Identifier: Apache-2.0
// From what BPF_PROG_LOAD carries to a Program. Internal to this folder.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "device/objects.hpp"
#include "device/state.hpp"

namespace xnic::device {

// A failed step: positive errno and a line for the verifier's log.
struct LoadFailure {
  int error = 0;
  std::string text;
};

// The instructions and tables of one BPF_PROG_LOAD, copied from the caller.
struct LoadInput {
  std::string name;
  std::string license;
  std::vector<arch::ebpf::RawInsn> insns;
  std::shared_ptr<BtfObject> btf;
  arch::ebpf::ProgramBtf tables;  // empty when there is no BTF
  std::array<uint8_t, 8> tag{};
};

// Decodes, finds subprograms, resolves map references to objects (in `maps`, by MapIndex) and attaches names and lines.
std::shared_ptr<arch::ebpf::Program> build_program(const Command& command, LoadInput& input,
                                                   std::vector<std::shared_ptr<MapObject>>& maps, LoadFailure& failure);

// The kernel's program tag: the first 8 bytes of SHA-256 (SHA-1 before Linux 6.18) over the instructions, with map
// references zeroed (kernel/bpf/core.c bpf_prog_calc_tag).
std::array<uint8_t, 8> program_tag(std::vector<arch::ebpf::RawInsn> insns);

// Whether a license string makes GPL-only helpers available (include/linux/license.h).
bool is_gpl_compatible(const std::string& license);

}  // namespace xnic::device
