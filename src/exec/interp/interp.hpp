// SPDX-License-Identifier: Apache-2.0
// The interpreter: the oracle that every other engine is compared with, written from RFC 9669.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "exec/engine.hpp"

namespace xnic::exec::interp {

// What an observer sees before each instruction: the program now running, its slot, the frame and the registers.
struct Step {
  const LoadedProgram& program;
  arch::ebpf::Slot slot;
  uint32_t depth;
  std::span<const uint64_t, arch::ebpf::kRegCount> registers;
};

struct InterpOptions {
  // Every memory access must lie wholly in memory that the program may touch; a violation ends the run.
  bool checked = false;
  // With `checked`: everything that the program's Facts claim must hold: of registers and the packet before each
  // instruction; of stack, call depth and packet bounds where they are used. upper_live is for the next option, and
  // max_stack_bytes follows from stack_bytes.
  bool check_facts = false;
  // Before each instruction, the upper halves that Facts call dead are changed; the program must behave as before.
  // Not together with check_facts.
  bool scramble_dead_halves = false;
  // Instructions a packet may take, callbacks included; then it is aborted and counted. 0: no limit.
  uint64_t budget = uint64_t{1} << 30;
  // Called before each instruction. Not together with check_facts and scramble_dead_halves.
  std::function<void(const Step&)> observer{};
};

// What a checked run found: a hole in the verifier, or an unverified program.
struct Violation {
  enum class Kind : uint8_t { kMemory, kFacts, kHelperArgument, kFunction };
  Kind kind = Kind::kMemory;
  uint32_t program_id = 0;
  arch::ebpf::Slot slot = 0;
  uint64_t address = 0;  // kMemory, kHelperArgument
  uint64_t bytes = 0;
  std::string what;  // one line: "write of 8 bytes at fp-516 of frame 0", "r3 = 17 is outside its range [0, 16]"
};

class Interp final : public Engine {
 public:
  explicit Interp(const InterpOptions& options = {});
  ~Interp() override;

  std::string_view name() const override { return "interp"; }
  base::Result<void> load(std::shared_ptr<const LoadedProgram> program) override;
  // Timers that are due at the context's clock run first.
  base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                         const RunContext& context) override;
  EngineCounters counters() const override;

  uint64_t run_timers(const RunContext& context) override;
  // The first violation since load(), if any.
  const std::optional<Violation>& violation() const;
  // Packets that were aborted because their budget ran out.
  uint64_t out_of_budget() const;
  // Instructions executed since load().
  uint64_t executed() const;
  // Text of bpf_trace_printk since the last call, one line each.
  std::string take_trace();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xnic::exec::interp
