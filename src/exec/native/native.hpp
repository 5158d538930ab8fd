// SPDX-License-Identifier: Apache-2.0
// The engine "native": programs as optimised machine code of this host.
//
// `exec` cannot compile: images come from whoever sees both compiler and engines, by way of a provider.
#pragma once

#include <functional>
#include <memory>

#include "arch/native/request.hpp"
#include "exec/engine.hpp"

namespace xnic::exec::native {

// Makes the image of a program, or finds it ready. Errors are handed on by load(). Called from any thread.
using ImageProvider = std::function<base::Result<arch::native::Image>(const arch::native::Request&)>;
// Process-wide: what engines made from now on use. An empty provider uninstalls it.
void install(ImageProvider provider);

// The image of what is asked for, by the installed provider. Errors: the provider's; kUnsupported without one.
base::Result<arch::native::Image> provide(const arch::native::Request& request);

// What the compiler is told of a loaded program: the request refers to it, so it must outlive the request.
arch::native::Request make_request(const LoadedProgram& program);

class Native final : public Engine {
 public:
  Native();  // with the installed provider
  ~Native() override;

  std::string_view name() const override { return "native"; }
  // Programs in the maps of programs are compiled too, so that tail calls find them ready; those that are put there
  // later are compiled when they are first called. Errors: kUnsupported without a provider, and the provider's.
  base::Result<void> load(std::shared_ptr<const LoadedProgram> program) override;
  // Timers that are due at the context's clock run first.
  base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                         const RunContext& context) override;
  EngineCounters counters() const override;

  uint64_t run_timers(const RunContext& context) override;
  // Text of bpf_trace_printk since the last call, one line each.
  std::string take_trace();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace xnic::exec::native
