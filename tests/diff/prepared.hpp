// SPDX-License-Identifier: Apache-2.0
// What a real program needs before its runs can be compared, and what is compared after them.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "exec/engine.hpp"
#include "random_packet.hpp"

namespace xnic::tests {

// The program with every call whose result differs from run to run (clocks, random numbers) made a constant; the random
// number depends on the seed alone.
std::shared_ptr<const exec::LoadedProgram> with_constant_time(const std::shared_ptr<const exec::LoadedProgram>& loaded,
                                                              uint64_t seed);

// Fills the program's maps (fill_maps.hpp) with keys of `samples` and of the first frames of the mix with that seed.
void fill_from_mix(const std::shared_ptr<const exec::LoadedProgram>& program,
                   const std::vector<std::vector<uint8_t>>& samples, uint64_t seed);

// The input as a packet, its metadata in front.
void place(const RandomPacket& input, exec::packet::Packet& packet);

// Metadata and bytes, fragments included.
bool same_bytes(const exec::packet::Packet& a, const exec::packet::Packet& b);

// Whether host_lookup() shows what programs left in the map.
bool has_contents_of_its_own(const exec::maps::Map& map);
bool is_queue(const exec::maps::Map& map);

// What a host sees of the map; queues are emptied and have empty keys.
using Contents = std::multimap<std::vector<uint8_t>, std::vector<uint8_t>>;
Contents contents(exec::maps::Map& map);

}  // namespace xnic::tests
