// SPDX-License-Identifier: Apache-2.0
// Random programs within the rules of the NFP card.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arch/ebpf/program.hpp"

namespace xnic::tests {

// Map 0 of the programs: an array whose values' first 8 bytes are counted in and the rest read; map 1: a hash.
std::vector<arch::ebpf::MapSpec> card_maps();

// Text for the assembler. Reads the first 64 bytes of the packet, computes, counts, calls, and at the end writes every
// register into the packet; shorter packets pass. Same seed, same program.
std::string card_program(uint64_t seed, unsigned statements);

}  // namespace xnic::tests
