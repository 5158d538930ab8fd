// SPDX-License-Identifier: Apache-2.0
// The runs are timed again with the card's own time line; back to back, as the engine itself runs them, a latency would
// hold the time in which the packets wait for each other.
#include "changepoint/card_latency.hpp"

#include "base/check.hpp"
#include "exec/sim/hxdp/timeline.hpp"

namespace xnic::apps::changepoint {

std::vector<CardLatency> paced_latency(const exec::sim::hxdp::Hxdp& engine, uint64_t gap_cycles,
                                       const arch::hxdp::Timing& timing) {
  CHECK(engine.card() != nullptr && engine.image().parameters.cores == 1);
  exec::sim::hxdp::Timeline timeline(timing);
  uint64_t output_free = 0;
  uint64_t arrival = 0;
  std::vector<CardLatency> list;
  for (const auto& run : engine.card()->runs()) {
    const auto schedule = timeline.place(run, arrival + run.frames_in, output_free);
    list.push_back({static_cast<uint32_t>(schedule.out_end - arrival), run.frames_in + run.frames_out});
    arrival += gap_cycles;
  }
  return list;
}

}  // namespace xnic::apps::changepoint
