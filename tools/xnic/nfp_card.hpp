// SPDX-License-Identifier: Apache-2.0
// The Netronome card as the command line names it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "compile/target/nfp/compile.hpp"
#include "exec/sim/nfp/engine.hpp"

namespace xnic::tools {

struct NfpSettings {
  compile::target::nfp::CompileOptions compile;
  exec::sim::nfp::CardTiming timing;
};

// "KEY=VALUE" settings over the defaults: board, firmware, off (a pass), and the figures of sim/nfp/timing.hpp. Errors:
// kBadInput with the keys that exist.
base::Result<NfpSettings> parse_nfp(const std::vector<std::string>& settings);
// The keys with their meanings, for --help.
std::string nfp_help();

// Where the card's cycles went, for people and for machines.
std::string nfp_lines(const exec::sim::nfp::Nfp& engine);
nlohmann::ordered_json nfp_json(const exec::sim::nfp::Nfp& engine);

}  // namespace xnic::tools
