// SPDX-License-Identifier: Apache-2.0
// The engine "nfp": a thread of the NFP card behind the interface of all engines.
//
// One thread runs one packet after the other, which says what programs do; what it asked of the memories is then timed
// on the card's many cores (cores.hpp), back to back at the rate of its ports. Results are as if packets ran one behind
// the other. As `exec` cannot compile, images come from a provider that whoever sees both compiler and engines has
// installed.
#pragma once

#include <functional>

#include "exec/sim/nfp/cores.hpp"
#include "exec/sim/nfp/thread.hpp"

namespace xnic::exec::sim::nfp {

// Makes the image of a verified program. Errors are handed on by load().
using ImageProvider = std::function<base::Result<isa::Image>(const LoadedProgram&)>;
// Process-wide: what engines made from now on use. An empty provider uninstalls it.
void install(ImageProvider provider, const CardTiming& timing = {});

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
  // With the card's time, until the last packet is gone; run_ns is 0.
  EngineCounters counters() const override;
  // The same in full. Zero before load().
  CoreCounters core_counters() const;
  const CardTiming& timing() const { return timing_; }
  // Of the thread since load(). Zero before.
  ThreadCounters thread_counters() const { return thread_ == nullptr ? ThreadCounters{} : thread_->counters(); }

 private:
  CardTiming timing_;
  std::unique_ptr<Thread> thread_;
  std::unique_ptr<Cores> cores_;
  uint32_t words_ = 0;
  EngineCounters counters_;
};

}  // namespace xnic::exec::sim::nfp
