// SPDX-License-Identifier: Apache-2.0
// Verifier and interpreter on any program. Both targets look at the verifier's limits: visits are bounded here, so that
// an input takes milliseconds; a verifier that does not keep to its bound shows as libFuzzer's timeout.
#include <cstdio>
#include <cstdlib>

#include "arch/ebpf/print.hpp"
#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/rng.hpp"
#include "compare.hpp"
#include "compile/verify/verify.hpp"
#include "exec/interp/interp.hpp"
#include "program_input.hpp"
#include "targets.hpp"

namespace xnic::tests::fuzz {
namespace {

namespace verify = compile::verify;

struct NothingFrozen : verify::Environment {
  const uint8_t* frozen_value(arch::ebpf::MapIndex) const override { return nullptr; }
};

constexpr uint64_t kMaxVisits = 20'000;
constexpr uint64_t kBudget = 100'000;

verify::Outcome check(const arch::ebpf::Program& program) {
  verify::Options options;
  options.max_visits = kMaxVisits;
  verify::Outcome outcome = verify::verify(program, NothingFrozen(), options);
  if (outcome.accepted) {
    CHECK(outcome.facts.visited_insns <= kMaxVisits);
    CHECK(outcome.facts.insns.size() == program.insns.size());
  } else {
    CHECK(!outcome.rejection.reason.empty());
    CHECK(outcome.rejection.slot <= program.insns.size());
  }
  return outcome;
}

[[noreturn]] void hole(const arch::ebpf::Program& program, const std::string& what) {
  std::fprintf(stderr, "hole in the verifier: %s\n%s\n", what.c_str(), arch::ebpf::listing(program).c_str());
  std::abort();
}

}  // namespace

void fuzz_verifier(base::Bytes input) {
  const ProgramInput read = read_program(input);
  if (read.program == nullptr || read.program->insns.empty()) return;
  check(*read.program);
}

void fuzz_interp(base::Bytes input) {
  const ProgramInput read = read_program(input);
  if (read.program == nullptr || read.program->insns.empty()) return;
  verify::Outcome outcome = check(*read.program);
  if (!outcome.accepted) return;
  const auto loaded =
      load_with_maps(read.program, read.seed, std::make_shared<const arch::ebpf::Facts>(std::move(outcome.facts)));
  exec::interp::Interp interp({.checked = true, .check_facts = true, .budget = kBudget});
  if (const auto result = interp.load(loaded); !result) hole(*read.program, result.error().message());
  const base::ManualClock clock(1'000'000'000);
  uint64_t random_state = read.seed;
  const exec::RunContext context{.clock = &clock, .random_state = &random_state};
  base::Rng rng(read.seed);
  for (uint32_t i = 0; i < read.packets && interp.out_of_budget() == 0; ++i) {
    exec::packet::Packet packet = random_packet(rng).packet();
    exec::Verdict verdict;
    const auto run = interp.run({&packet, 1}, {&verdict, 1}, context);
    if (!run) hole(*read.program, run.error().message());
    if (const auto& violation = interp.violation())
      hole(*read.program, "instruction " + std::to_string(violation->slot) + ": " + violation->what);
  }
}

}  // namespace xnic::tests::fuzz
