// SPDX-License-Identifier: Apache-2.0
// How few rows could one packet's path take on a VLIW core? Answered from the trace of eBPF instructions that the
// interpreter executed, apart from the compiler and the model, so that neither can flatter itself.
//
// Model: perfect renaming, memory dependences exact to the byte, every operation one row, loads and helpers too. A row
// holds `lanes` operations, at most one of them a call. Stores, calls with effects and branches come in no row before
// an earlier branch (the same row is allowed: lanes have priority); all else may be speculated. Two counts:
// - raw: every executed instruction is an operation.
// - reduced: free are constants, copies, adding constants to pointers, loads of the context, checks against data_end,
//   zeros stored to stack that is still zero, unconditional jumps, local calls; bytes that are put together, taken
//   apart or copied in memory order become loads and stores of up to 8 bytes; a value read back is not loaded; what
//   nothing needs is gone. A register is cut to 32 bits for free (the operation before it could have done so).
// A reference point and not a proof: sums may be reassociated, and one lane operation may do the work of two.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/result.hpp"
#include "exec/engine.hpp"

namespace xnic::bench {

struct TraceStep {
  arch::ebpf::Slot slot = 0;
  uint32_t depth = 0;                                       // frame
  std::array<uint64_t, arch::ebpf::kRegCount> registers{};  // before the instruction
};

// An operation of the graph. Indices are topological: what it waits for has a lower one.
struct PathNode {
  std::vector<uint32_t> after;       // in an earlier row
  std::vector<uint32_t> not_before;  // in an earlier row or the same
  bool branch = false;
  bool call = false;
  uint32_t slot = 0;  // instruction it stands for
};
using PathGraph = std::vector<PathNode>;

struct PathRows {
  uint32_t slots = 0;   // operations
  uint32_t height = 0;  // rows of the longest chain of dependences, control left out
  uint32_t rows = 0;    // list scheduled in the order of remaining height
};
struct PathBound {
  uint32_t insns = 0;  // executed
  PathRows raw;
  PathRows reduced;
};

// One packet's steps, from the first instruction to the exit. Errors: kUnsupported for callbacks and tail calls.
base::Result<PathBound> bound_path(const exec::LoadedProgram& program, std::span<const TraceStep> trace,
                                   uint32_t lanes);

// The parts, for tests.
base::Result<PathGraph> raw_graph(const exec::LoadedProgram& program, std::span<const TraceStep> trace);
base::Result<PathGraph> reduced_graph(const exec::LoadedProgram& program, std::span<const TraceStep> trace);
PathRows schedule(const PathGraph& graph, uint32_t lanes);

// Memory that a helper call reads or writes through its arguments.
struct CallRegion {
  uint64_t address;
  uint64_t bytes;
  bool written;
};
std::vector<CallRegion> call_regions(const exec::LoadedProgram& program, uint32_t helper, const TraceStep& step);
// True when the call may be made although an earlier branch has not been decided: it changes nothing.
bool may_speculate(uint32_t helper);

}  // namespace xnic::bench
