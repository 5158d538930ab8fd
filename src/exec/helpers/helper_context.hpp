// SPDX-License-Identifier: Apache-2.0
// What a helper sees of the run it is called from. Engines make one per run and pass it to every helper they call, so
// all engines share one implementation of each helper.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "exec/engine.hpp"

namespace xnic::exec::helpers {

struct HelperState;

// Memory that a helper lent to the program: a ring buffer record or a dynptr slice. Engines in checked mode allow
// accesses inside it.
struct LentMemory {
  uint64_t address = 0;
  uint64_t bytes = 0;
};

struct HelperContext {
  packet::Packet* packet = nullptr;
  const LoadedProgram* program = nullptr;  // the one now running; a tail call changes it
  const RunContext* run = nullptr;
  HelperState* state = nullptr;  // what outlives a run: timers, trace output; owned by the engine
  Redirect redirect;             // of the last bpf_redirect or bpf_redirect_map

  // Set by bpf_tail_call when it succeeds: the engine leaves the current program and goes on in this one.
  std::shared_ptr<const LoadedProgram> tail_call;
  uint32_t tail_calls = 0;

  // Inner maps taken out of maps of maps; they must live until the run ends, as under the kernel's RCU lock.
  std::vector<std::shared_ptr<maps::Map>> held_maps;
  std::vector<LentMemory> lent;
  uint64_t stack = 0;  // the engine's memory for program stacks, for helpers that read any memory the card owns
  uint64_t stack_bytes = 0;

  // Runs the subprogram that LoadFunction named `function` with five arguments and returns its r0. Set by the engine.
  uint64_t (*invoke)(HelperContext&, uint64_t function, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) = nullptr;
  void* engine = nullptr;  // of the engine's own use, for invoke
  bool stopped = false;    // the run was ended (budget, violation): helpers that loop return at once

  void lend(uint64_t address, uint64_t bytes) { lent.push_back({address, bytes}); }
  // Ends every loan that begins in [address, address + bytes).
  void take_back(uint64_t address, uint64_t bytes) {
    std::erase_if(lent, [&](const LentMemory& memory) { return memory.address - address < bytes; });
  }

  // Back to the state before a run; keeps the capacity of the vectors.
  void reset() {
    redirect = {};
    tail_call.reset();
    tail_calls = 0;
    held_maps.clear();
    lent.clear();
    stopped = false;
  }
};

using HelperFn = uint64_t (*)(HelperContext&, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

// What LoadFunction puts into a register: the subprogram's first slot, tagged so that it is never null and never a
// host address.
inline constexpr uint64_t kFunctionTag = uint64_t{0xf} << 60;
constexpr uint64_t function_value(uint32_t slot) { return kFunctionTag | slot; }
constexpr uint32_t function_slot(uint64_t value) { return static_cast<uint32_t>(value & ~kFunctionTag); }

// The implementation of a helper, or null when the card has none. O(1).
HelperFn helper_function(uint32_t id);

}  // namespace xnic::exec::helpers
