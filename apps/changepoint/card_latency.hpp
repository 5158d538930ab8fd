// SPDX-License-Identifier: Apache-2.0
// Latency in the hXDP card of packets that arrive at a given distance.
#pragma once

#include <vector>

#include "exec/sim/hxdp/engine.hpp"

namespace xnic::apps::changepoint {

struct CardLatency {
  uint32_t cycles = 0;           // first byte in to last byte out
  uint32_t transfer_cycles = 0;  // of them: frames into the queue and out of the card
};

// One entry for each packet that the engine has run, as if one arrived every `gap_cycles` on an idle card.
// Pre: the engine keeps its runs (CardOptions::keep_runs) and has one core.
std::vector<CardLatency> paced_latency(const exec::sim::hxdp::Hxdp& engine, uint64_t gap_cycles,
                                       const arch::hxdp::Timing& timing = {});

}  // namespace xnic::apps::changepoint
