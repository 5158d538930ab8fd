// SPDX-License-Identifier: Apache-2.0
// The engine "kernel": the live kernel's BPF_PROG_TEST_RUN, one packet a call.
#pragma once

#include <memory>

#include "exec/engine.hpp"

namespace xnic::exec::kernel {

// Needs root: without it load() fails with kIo. What the kernel does not tell or take:
// - the target of a redirect: Verdict::redirect stays kNone;
// - frames outside 14..73152 bytes, metadata over 216 bytes, interfaces that do not exist in this network namespace and
//   queues that they do not have, egress_ifindex, programs attached to a devmap or cpumap: run() gives kIo;
// - the time and the random numbers of RunContext: programs see the kernel's own;
// - contents of ring buffers, bloom filters, stack traces and AF_XDP maps: they start empty and are not copied back.
// A frame above the linear limit goes on in fragments whether or not the program declares that it knows them.
class Kernel final : public Engine {
 public:
  Kernel();
  ~Kernel() override;

  std::string_view name() const override { return "kernel"; }
  // Creates the kernel's maps with their present contents, too.
  base::Result<void> load(std::shared_ptr<const LoadedProgram> program) override;
  // Runs on CPU context.cpu, which must be one that the thread may use.
  base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                         const RunContext& context) override;
  base::Result<void> push_maps() override;
  base::Result<void> pull_maps() override;
  // run_ns is the kernel's own measure of the program's time, without the system call.
  EngineCounters counters() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xnic::exec::kernel
