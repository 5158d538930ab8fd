// SPDX-License-Identifier: Apache-2.0
// The card as the command line names it.
#pragma once

#include "compile/pipeline.hpp"
#include "exec/sim/hxdp/card.hpp"

namespace xnic::tools {

struct CardSettings {
  compile::HxdpOptions compile;
  exec::sim::hxdp::CardOptions card;
};

// "KEY=VALUE" settings over the defaults. Errors: kBadInput with the keys that exist.
base::Result<CardSettings> parse_card(const std::vector<std::string>& settings);
// The keys with their meanings, for --help.
std::string card_help();

}  // namespace xnic::tools
