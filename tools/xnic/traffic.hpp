// SPDX-License-Identifier: Apache-2.0
// `xnic run --rate` and `--trace-cycles`: what the hxdp card does with packets that come at a rate, and what it does in
// each cycle.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "exec/sim/hxdp/engine.hpp"

namespace xnic::tools {

struct Rate {
  exec::sim::hxdp::Traffic traffic;
  bool search = false;  // the highest rate without loss
};
// "10Gbps" (also M, K, none: bits on the wire), "2.5Mpps" (packets), "trace" (the capture's time stamps), "max".
// Errors: kBadInput.
base::Result<Rate> parse_rate(const std::string& text);

// Nothing was lost, and the queue grew no deeper in the second half of the packets than in the first, but for a packet.
bool sustained(const exec::sim::hxdp::TrafficCounters& traffic);

// Pre: the card ran with a rate.
std::string traffic_line(const exec::sim::hxdp::Hxdp& engine);
nlohmann::ordered_json traffic_json(const exec::sim::hxdp::Hxdp& engine);

// A line for each cycle in which something moved for the traced packets, as a Markdown table.
std::string cycle_table(const exec::sim::hxdp::Hxdp& engine);
nlohmann::ordered_json cycle_json(const exec::sim::hxdp::Hxdp& engine);

}  // namespace xnic::tools
