// SPDX-License-Identifier: Apache-2.0
// The verifier's entry: shape of the program, walk over all paths, global functions on their own, stack limits; then
// the facts, or the rejection, and the log.
#include "compile/verify/verify.hpp"

#include <fmt/core.h>

#include <cerrno>

#include "compile/verify/btf_signature.hpp"
#include "compile/verify/cfg.hpp"
#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {
namespace {

// The last lines of the log: why it was rejected, and the statistics that tools look for.
void finish_log(Outcome& outcome, const Walk* walk, const Options& options) {
  if (!outcome.accepted) {
    const Rejection& why = outcome.rejection;
    if (options.log_level < 2 && !why.source.empty()) outcome.log += fmt::format("; {}\n", why.source);
    if (options.log_level < 2 && !why.state.empty()) outcome.log += fmt::format("{}: {}\n", why.slot, why.state);
    outcome.log += fmt::format("{}\n", why.reason);
    if (!why.advice.empty()) outcome.log += fmt::format("insn {}: {}\n", why.slot, why.advice);
  }
  if (outcome.accepted && options.log_level == 0) return;
  outcome.log +=
      fmt::format("processed {} insns (limit {}) max_states_per_insn {} total_states {} peak_states {} mark_read 0\n",
                  walk ? walk->visited : 0, options.max_visits, walk ? walk->states_per_insn_max : 0,
                  walk ? walk->states_total : 0, walk ? walk->states_peak : 0);
}

Outcome rejected(const Program& program, const Fault& fault, const Options& options, Walk* walk) {
  Outcome outcome;
  outcome.rejection = make_rejection(program, fault);
  if (walk) outcome.log = std::move(walk->log);
  finish_log(outcome, walk, options);
  return outcome;
}

// The main program, then every global function that it, or another one, was found to call.
bool walk_all(const Program& program, const Signatures& signatures, Walk& walk) {
  if (!walk.run_main()) return false;
  std::vector<bool> done(program.subprograms.size(), false);
  for (bool again = true; again;) {
    again = false;
    for (uint32_t i = 0; i < program.subprograms.size(); ++i) {
      if (!walk.global_used[i] || done[i]) continue;
      done[i] = again = true;
      if (!walk.run_global(i, signatures[i]->arguments)) return false;
    }
  }
  return true;
}

}  // namespace

Outcome verify(const Program& program, const Environment& environment, const Options& options) {
  if (program.insns.size() > kMaxInsns)
    return rejected(program,
                    {Rejection::Kind::kLimit, 0, E2BIG,
                     fmt::format("program has {} instructions, limit {}", program.insns.size(), kMaxInsns),
                     "split the program with tail calls"},
                    options, nullptr);
  Flow flow;
  if (auto fault = analyse_flow(program, flow)) return rejected(program, *fault, options, nullptr);
  const Signatures signatures = global_signatures(program);
  Walk walk(program, environment, options, flow, signatures);
  if (!walk_all(program, signatures, walk)) {
    Outcome outcome;
    outcome.rejection = std::move(walk.rejection);
    outcome.log = std::move(walk.log);
    finish_log(outcome, &walk, options);
    return outcome;
  }
  const DepthResult depth = check_stack_depth(program, flow, walk.stack_bytes, walk.asynchronous);
  if (depth.fault) return rejected(program, *depth.fault, options, &walk);
  Outcome outcome;
  outcome.accepted = true;
  outcome.facts.insns = walk.facts.finish();
  outcome.facts.stack_bytes = std::move(walk.stack_bytes);
  outcome.facts.max_stack_bytes = depth.max_bytes;
  outcome.facts.max_call_depth = depth.max_frames;
  outcome.facts.visited_insns = walk.visited;
  outcome.facts.may_change_packet = walk.facts.may_change_packet;
  outcome.log = std::move(walk.log);
  finish_log(outcome, &walk, options);
  return outcome;
}

}  // namespace xnic::compile::verify
