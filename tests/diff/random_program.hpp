// SPDX-License-Identifier: Apache-2.0
// Random XDP programs that a verifier should accept: typed, bounded, and with nothing to observe but numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "base/rng.hpp"

namespace xnic::tests {

struct GeneratorOptions {
  uint32_t max_statements = 40;  // in the entry function, nested ones included
  bool queues = true;            // use queues and stacks
  bool tries = true;             // use LPM tries
  std::set<uint64_t> left_out;   // statements, by their number, that are not emitted
};

// A program with its maps' specs; raw has map indices in its 16-byte loads. Same seed and options, same program. Never
// reads time, random numbers, addresses or memory that nobody wrote. Each statement draws from a generator of its own,
// seeded with its number; so leaving one out (and those inside it) keeps the others much as they were, and the program
// valid. `statements`, if given, receives the numbers of those that were emitted.
std::shared_ptr<const arch::ebpf::Program> random_program(uint64_t seed, const GeneratorOptions& options = {},
                                                          std::vector<uint64_t>* statements = nullptr);

// The program with one to three small changes of its wire form, most of which make it invalid: other registers,
// offsets, constants and opcodes, lost checks, moved jumps, flipped bits. The result may not even decode: insns is then
// empty.
std::shared_ptr<const arch::ebpf::Program> mutate(base::Rng& rng, const arch::ebpf::Program& program);

}  // namespace xnic::tests
