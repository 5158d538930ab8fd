// SPDX-License-Identifier: Apache-2.0
// One program and its packets on the interpreter and on another engine.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "base/rng.hpp"
#include "exec/engine.hpp"
#include "random_packet.hpp"

namespace xnic::tests {

struct Comparison {
  bool accepted = false;   // by the live kernel, or by our verifier for another engine
  std::string refusal;     // their words
  uint64_t packets = 0;    // run by both
  std::string difference;  // what differs, in sentences; empty when nothing does
};

// Puts entries into a fresh map that depend on the rng alone, with keys that random programs use.
void fill_map(exec::maps::Map& map, base::Rng& rng);

// What to create a map like one with this spec from: a map's own spec may hold flags that creation adds.
arch::ebpf::MapSpec creation_spec(arch::ebpf::MapSpec spec);

// Fresh maps for the program, with some entries that depend on the seed alone.
std::shared_ptr<exec::LoadedProgram> load_with_maps(std::shared_ptr<const arch::ebpf::Program> program,
                                                    uint64_t contents_seed,
                                                    std::shared_ptr<const arch::ebpf::Facts> facts = nullptr);

// Verdict, metadata, bytes of each packet, and all map contents after the last one, of the interpreter and of `engine`:
// "kernel", or one of our own, which gets the facts of our verifier.
Comparison compare(const std::shared_ptr<const arch::ebpf::Program>& program, std::span<const RandomPacket> packets,
                   uint64_t contents_seed, const std::string& engine = "kernel");

// A CPU that this thread may use; programs run there in both engines.
uint32_t usable_cpu();

std::string hex(std::span<const uint8_t> bytes);

}  // namespace xnic::tests
