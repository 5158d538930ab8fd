// SPDX-License-Identifier: Apache-2.0
// Translation validation: does this image do what this program does, on every packet and every content of its maps?
//
// How. The program and the image are executed together on symbols: the program to its next branch, the image as far as
// what is known on that path decides its branches. Where several paths meet at one place of both, they become one: at
// first with variables for what differs, which takes in more than can happen, at last with conditional values. Wherever
// the outside can see something (a helper call, the end of the program, an access that could fault) a condition has to
// hold; it is shown by its normal form, or by Z3. A region is such a place.
//
// What is shown, for packets of any length below 2^16 and any content of maps: the same helper calls in the same order
// on the same arguments and memory; at every exit the same verdict (low 32 bits), packet bytes and bounds, and map
// values; no access of the image faults. Not compared: dead registers, stack.
//
// Model and trusted base. Trusted: Z3, the normal form of terms and the pairing of two terms (both tested by
// evaluation) and what generalize.cpp keeps of two paths, the two machines' semantics as written in bytecode.cpp and
// rows.cpp, the helpers' signatures. Assumed: the program passed the verifier, so the bytecode itself does not fault,
// instructions that the verifier did not reach are not reached, and what it says of loads from frozen maps holds; the
// stack of both is zero at start (the verifier lets no program depend on it); a core has the maps to itself while it
// handles a packet; memory objects do not overlap, nor do values of different maps (with maps inside maps, any two
// values may); after a helper moves the packet's bounds, packet and bounds are unknown, but equal on both sides; within
// a row, what arch/hxdp/lane_rules.hpp says. Loops are unrolled. Not modelled, reported as not decided: callbacks, tail
// calls, dynptrs, timers, kernel functions, arguments of variable size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/hxdp/image.hpp"

namespace xnic::compile::prove {

enum class ProofMode : uint8_t {
  kOff,
  kRegions,  // goes on after a region that failed, and no region takes more than its part of the budget
  kFull,     // ends at the first failure
};

struct ProveOptions {
  ProofMode mode = ProofMode::kFull;
  // The budget of the whole proof: steps of the solver, so that what is proved here is proved on a slower machine as
  // well, and as a second fence processor time.
  uint64_t effort = 200'000'000;
  uint64_t timeout_ms = 300'000;
  uint64_t region_effort = 5'000'000;  // of it, for one region; kRegions only
  uint64_t max_states = 200'000;       // points of both machines visited
};

enum class ProofStatus : uint8_t { kProved, kRefuted, kUndecided };

// An input on which the two differ.
struct Counterexample {
  std::vector<uint8_t> packet;                           // first bytes (at most 256)
  uint64_t length = 0;                                   // of the packet
  std::vector<std::pair<std::string, uint64_t>> values;  // names of unknowns (helper results, context) and values
};

struct ProofRegion {
  arch::ebpf::Slot slot = 0;  // where the bytecode stands
  arch::hxdp::Row row = 0;    // where the image stands
  std::string source{};       // "file.c:12: text", empty without line info
  std::string what{};         // "exit", "call map_update_elem", "load"
  ProofStatus status = ProofStatus::kProved;
  std::string detail{};             // what differs, or why it is not decided
  Counterexample counterexample{};  // when refuted
};

struct ProofReport {
  ProofStatus status = ProofStatus::kProved;  // the worst of the regions
  bool ran = false;                           // false when the mode is kOff
  std::vector<ProofRegion> regions;
  uint64_t states = 0;
  uint64_t solver_checks = 0;
  uint64_t effort = 0;
  uint64_t time_ms = 0;
  // "proved (12 regions, 85 states, 3 questions, 210 ms)" or the failed regions, one line each.
  std::string summary() const;
};

// Pre: `facts` are the verifier's of `program`, which it accepted; the image breaks no rule of arch/hxdp/bundle.hpp.
// Cost: time up to the options' limit, memory with the number of states.
ProofReport prove(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const arch::hxdp::Image& image,
                  const ProveOptions& options = {});

}  // namespace xnic::compile::prove
