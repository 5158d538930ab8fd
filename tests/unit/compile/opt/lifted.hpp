// SPDX-License-Identifier: Apache-2.0
// Small programs as text, verified and lifted; what a pass makes of them is compared as text.
#pragma once

#include "compile/opt/callbacks.hpp"
#include "compile/opt/lift.hpp"
#include "compile/opt/passes.hpp"
#include "unit/compile/verify/check.hpp"

namespace xnic::compile::opt::testing {

using namespace verify::testing;
using arch::ebpf::kMapArray;
using arch::ebpf::kMapHash;
using Pass = void (*)(Graph&);

// One map of each kind that tests want, by index: an array (4, 16), a hash (8, 16), a hash (8, 8), programs.
inline std::vector<MapSpec> test_maps() {
  return {map_of(kMapArray, 4, 16), map_of(kMapHash, 8, 16), map_of(kMapHash, 8, 8),
          map_of(arch::ebpf::kMapProgArray, 4, 4)};
}

struct Lifted {
  Expanded source;
  std::unique_ptr<Graph> graph;
  std::string error;
};

inline Lifted lift_program(std::string_view text, const LiftOptions& options = {}) {
  Lifted out;
  const Program program = program_of(text, test_maps());
  static const NothingFrozen environment;
  const verify::Outcome outcome = verify::verify(program, environment);
  EXPECT_TRUE(outcome.accepted) << outcome.rejection.reason;
  if (!outcome.accepted) return out;
  out.source = expand_callbacks(program, outcome.facts);
  out.graph = std::make_unique<Graph>(out.source.program);
  if (const auto lifted = lift(out.source.program, out.source.facts, options, *out.graph); !lifted)
    out.error = lifted.error().message();
  return out;
}

// The graph as text after lifting with the options, one pass if given, and the removal of dead values.
inline std::string after(std::string_view text, const LiftOptions& options = {}, Pass pass = nullptr) {
  const Lifted lifted = lift_program(text, options);
  if (lifted.graph == nullptr || !lifted.error.empty()) return lifted.error;
  if (pass != nullptr) pass(*lifted.graph);
  remove_dead_values(*lifted.graph);
  return to_text(*lifted.graph);
}

}  // namespace xnic::compile::opt::testing
