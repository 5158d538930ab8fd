// SPDX-License-Identifier: Apache-2.0
// A real program on several workers at once, as on a card with as many queues: each with native code and a CPU of its
// own, all on the same maps; compared with the interpreter.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exec/engine.hpp"

namespace xnic::tests {

struct WorkerRun {
  uint64_t packets = 0;                  // run by the workers
  std::string spread;                    // what kept a worker's packets apart from the others'
  std::string order_matters;             // why results may depend on who comes first; nothing was judged then
  uint64_t different = 0;                // packets, maps and failures of an engine
  std::vector<std::string> differences;  // in full: the first ones
};

struct WorkerOptions {
  uint32_t workers = 4;
  uint64_t packets = 4096;                    // of all workers together
  uint64_t seed = 1;                          // of packets and map contents
  std::vector<std::vector<uint8_t>> samples;  // frames that belong to the program
  bool any_order = false;                     // the program says so itself: what workers share is not looked at
};

// A new copy of the program with maps of its own, filled alike each time, with at least as many CPUs as workers.
using LoadCopy = std::function<base::Result<std::shared_ptr<const exec::LoadedProgram>>()>;

// Packets are spread over the workers by both addresses, and where workers then meet on the same words of a map, by the
// source address alone, or by the destination. Each worker's packets run in the interpreter with maps of the worker's
// own first; what native code does with all workers on shared maps must be the same, packet by packet, and leave the
// sum of what the workers changed. Programs for which order matters under every spread are not judged: those whose
// results in the interpreter change with the order, and those that change the same words otherwise than by atomic
// addition.
base::Result<WorkerRun> run_workers(const LoadCopy& load, const WorkerOptions& options);

}  // namespace xnic::tests
