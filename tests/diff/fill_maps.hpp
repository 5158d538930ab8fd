// SPDX-License-Identifier: Apache-2.0
// Contents for the maps of real programs, such that lookups by fields of the packets hit.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/rng.hpp"
#include "exec/engine.hpp"

namespace xnic::tests {

// Fills every map of the program that a host may fill and that is not global data: keys are addresses, ports, protocols
// and 5-tuples of `frames`, and small numbers; values are random, with many zeroes and small numbers. Device maps name
// the interface 1, program arrays the program itself, maps of maps new maps that are filled likewise. The contents
// depend on the arguments alone.
void fill_maps(const std::shared_ptr<const exec::LoadedProgram>& program, std::span<const std::vector<uint8_t>> frames,
               uint64_t seed);

}  // namespace xnic::tests
