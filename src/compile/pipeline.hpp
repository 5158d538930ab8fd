// SPDX-License-Identifier: Apache-2.0
// The only list of the compilers' stages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/hxdp/image.hpp"
#include "base/result.hpp"
#include "compile/target/hxdp/schedule.hpp"

namespace xnic::compile {

struct HxdpOptions {
  arch::hxdp::Parameters parameters;
  std::vector<std::string> off;  // passes to leave out, by name (hxdp_passes())
  uint32_t growth = 300;         // instructions that path copies may add, in percent of the program
  // Search for shorter schedules: so many fillings of rows for each region and number of rows; 0: do not. Needs results
  // that reach all lanes (Forwarding::kFull; else kUnsupported).
  uint64_t exact_nodes = 0;
  // Profile: by slot, how often the jump there was taken and not taken; empty: static heuristics.
  std::vector<std::pair<uint64_t, uint64_t>> profile{};
};

struct HxdpStatistics {
  uint32_t insns = 0;  // eBPF slots in
  uint32_t rows = 0;
  uint32_t operations = 0;                // lane operations
  uint32_t blocks = 0;                    // of the graph
  target::hxdp::ExactStatistics exact{};  // with exact_nodes
  uint32_t fastest_rows = 0;  // of the image with all copies of likely paths; more than `rows` when it did not fit
};

struct PassInfo {
  std::string_view name;
  std::string_view what;
};
// Every pass that can be switched off, in order.
const std::vector<PassInfo>& hxdp_passes();

// Compiles a verified program. Pre: `facts` are the verifier's for this program. Errors: kBadInput (parameters, unknown
// pass name), kUnsupported and kLimit with the source line, the rule and the limit. The image breaks no hardware rule.
base::Result<arch::hxdp::Image> compile_hxdp(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts,
                                             const HxdpOptions& options = {}, HxdpStatistics* statistics = nullptr);

}  // namespace xnic::compile
