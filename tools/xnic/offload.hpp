// SPDX-License-Identifier: Apache-2.0
// `xnic check --target nfp`: what the offload verifier says of a program, for each firmware that was asked for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <vector>

#include "compile/target/nfp/offload.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {

struct OffloadAnswer {
  const arch::nfp::Board* board;  // null: any
  const arch::nfp::Firmware* firmware;
  std::vector<compile::target::nfp::Refusal> refusals;  // empty: the card takes the program
};

// Pre: the names in `options` exist, as the command line has checked.
std::vector<OffloadAnswer> offload_answers(const CheckOptions& options, const arch::ebpf::Program& program,
                                           const arch::ebpf::Facts& facts);
// The answer of each firmware, then the reasons.
void print(std::span<const OffloadAnswer> answers);
// {"board","clock_mhz","firmware","taken",
//  "refusals":[{"rule","stage","instruction","errno","message","advice","source"}]}
nlohmann::ordered_json to_json(const OffloadAnswer& answer);

}  // namespace xnic::tools
