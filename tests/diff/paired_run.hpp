// SPDX-License-Identifier: Apache-2.0
// A real program, loaded twice, on the interpreter and on another engine, packet by packet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "exec/engine.hpp"

namespace xnic::tests {

struct PairedRun {
  uint64_t packets = 0;                  // run by both
  std::string skipped;                   // why the program was not run; empty when it was
  uint64_t different = 0;                // packets, maps and failures of an engine
  std::vector<std::string> differences;  // in full: the first packets, and all maps
  uint64_t verdicts[5] = {};             // by XdpAction
};

struct PairedOptions {
  uint64_t packets = 512;
  uint64_t seed = 1;                          // of packets and map contents
  std::vector<std::vector<uint8_t>> samples;  // frames that belong to the program
  std::string engine = "kernel";              // the other engine
  bool fill_maps = true;  // with contents keyed to the packets; false: they are as the caller left them
};

// Runs the packets through both and compares verdict, metadata, bytes, and after the last packet all maps, inner maps
// included. The clock stands still and random numbers are one number, in both engines: the calls are replaced by
// constants. Beside the live kernel the interpreter checks every
// access, and every register against the verifier's facts.
// Pre: `ours` and `theirs` are the same program with maps of their own, equally filled; the process is on CPU 0 and has
// interface 1 (loopback) up. Programs whose result depends on the kernel's own tables and keys are skipped.
PairedRun run_paired(const std::shared_ptr<const exec::LoadedProgram>& ours,
                     const std::shared_ptr<const exec::LoadedProgram>& theirs, const PairedOptions& options);

// A network namespace of this process alone with loopback up, and this process on CPU `cpu` alone. False without root.
bool enter_test_namespace(uint32_t cpu);

}  // namespace xnic::tests
