// SPDX-License-Identifier: Apache-2.0
// One program on some packets: what the card's model counts, what the interpreter's trace would allow, and whether the
// compile is proved.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "compile/pipeline.hpp"
#include "compile/prove/prove.hpp"
#include "device/object.hpp"
#include "exec/sim/hxdp/card.hpp"
#include "path_bound.hpp"

namespace xnic::bench {

struct Workload {
  std::function<base::Result<device::Object>()> load;  // a fresh object with its maps filled
  std::string function;                                // of the object's programs; empty: the only one
  std::vector<exec::packet::Packet> packets;
  // The packets come again and again, and the figure is that of the steady state; else they come once.
  bool steady = true;
};

struct PathFigures {
  uint32_t insns = 0;  // eBPF slots in
  uint32_t rows = 0;
  double static_slots = 0;   // operations a row, of the image
  double dynamic_slots = 0;  // operations a row, of the rows run
  double path_rows = 0;      // rows run for a packet
  double cycles = 0;         // a packet, back to back
  double mpps = 0;
  exec::sim::hxdp::CycleCounters causes;  // of `packets` packets
  uint64_t packets = 0;
  double latency_ns = 0;  // median
  // Means over the packets of the bounds on the traced paths.
  double executed = 0;
  double raw_rows = 0;
  double bound_height = 0;
  double bound_rows = 0;
  std::vector<uint32_t> verdicts;  // of the packets, first round
};

struct PathSettings {
  compile::HxdpOptions compile;
  exec::sim::hxdp::CardOptions card;
};

// Errors: of loading and compiling; kBadInput when the card and the interpreter disagree on a verdict or a byte.
base::Result<PathFigures> measure_path(const Workload& workload, const PathSettings& settings);

// "proved", "refuted: …", "undecided: …".
base::Result<std::string> prove_program(const Workload& workload, const PathSettings& settings, uint32_t seconds);

}  // namespace xnic::bench
