// SPDX-License-Identifier: Apache-2.0
// The engine "nfp": a thread of the NFP card behind the interface of all engines.
//
// One thread runs one packet after the other: this is what programs do, not how fast the card's many cores do it. As
// `exec` cannot compile, images come from a provider that whoever sees both compiler and engines has installed.
#pragma once

#include <functional>

#include "exec/sim/nfp/thread.hpp"

namespace xnic::exec::sim::nfp {

// Makes the image of a verified program. Errors are handed on by load().
using ImageProvider = std::function<base::Result<isa::Image>(const LoadedProgram&)>;
// Process-wide: what engines made from now on use. An empty provider uninstalls it.
void install(ImageProvider provider);

class Nfp final : public Engine {
 public:
  std::string_view name() const override { return "nfp"; }
  // Errors: kUnsupported without an image provider, and those of the provider and of load_image().
  base::Result<void> load(std::shared_ptr<const LoadedProgram> program) override;
  // Runs `image` as the program's. Errors: those of isa::place() and Thread::make().
  base::Result<void> load_image(const isa::Image& image, std::shared_ptr<const LoadedProgram> program);
  // Codes above XDP_TX come back as XDP_ABORTED: the card knows no others. Errors: those of Thread::run(), with the
  // packet's number.
  base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                         const RunContext& context) override;
  EngineCounters counters() const override { return counters_; }

  // Cycles of the thread since load(): issue slots, and stated latencies of memories. Zero before.
  ThreadCounters thread_counters() const { return thread_ == nullptr ? ThreadCounters{} : thread_->counters(); }

 private:
  std::unique_ptr<Thread> thread_;
  EngineCounters counters_;
};

}  // namespace xnic::exec::sim::nfp
