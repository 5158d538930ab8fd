// SPDX-License-Identifier: Apache-2.0
// Engine: what runs programs. The same five calls for all, so that any two can be compared on any program and trace.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "exec/maps/map.hpp"
#include "exec/packet/packet.hpp"
#include "exec/verdict.hpp"

namespace xnic::exec {

// A verified program with the maps it was loaded with. Immutable (the maps' contents are not).
struct LoadedProgram {
  uint32_t id = 0;
  std::shared_ptr<const arch::ebpf::Program> program;
  std::shared_ptr<const arch::ebpf::Facts> facts;
  std::vector<std::shared_ptr<maps::Map>> maps;  // by MapIndex
  std::vector<uint32_t> map_ids;                 // device ids, same order
};

// Interfaces, routes and neighbours as helpers see them (fib_lookup, check_mtu); implemented in exec/helpers.
class HostNetwork;

// All that is outside the program and the packet. Everything is a parameter, so that runs can be repeated.
struct RunContext {
  const base::Clock* clock = nullptr;    // ktime_get_*; not owned
  uint64_t* random_state = nullptr;      // state of get_prandom_u32 (splitmix64); not owned
  const HostNetwork* network = nullptr;  // null: one loopback interface with ifindex 1
  uint32_t cpu = 0;                      // bpf_get_smp_processor_id, per-CPU copies
  bool count_time = true;                // EngineCounters::run_ns; small batches are faster without
};

// What a model of a card says about time; the time of the host has no meaning there.
struct ModelledTime {
  uint64_t clock_hz = 0;
  uint32_t rows = 0;    // of the program's image
  uint64_t cycles = 0;  // from the first packet's arrival until the last one was gone
  uint64_t latency_p50_cycles = 0;
  uint64_t latency_p99_cycles = 0;
  uint64_t faults = 0;  // packets aborted by the card itself: bad address, endless program
};

// Counters of an engine since load().
struct EngineCounters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t actions[5] = {};  // by XdpAction
  uint64_t run_ns = 0;       // time inside run() with count_time; 0 when the engine's time is modelled
  std::optional<ModelledTime> modelled;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;
  // Takes a program; replaces an earlier one. Errors: kUnsupported with the instruction and the reason, kIo for the
  // kernel.
  virtual base::Result<void> load(std::shared_ptr<const LoadedProgram> program) = 0;
  // Runs the program on each packet in order; verdicts.size() == packets.size(). A packet's bytes and bounds are the
  // program's after the call. Errors are the engine's (kIo), never the packet's.
  virtual base::Result<void> run(std::span<packet::Packet> packets, std::span<Verdict> verdicts,
                                 const RunContext& context) = 0;
  // Engines with map storage of their own (kernel): copy the loaded program's maps to it, and back. Others: nothing to
  // do.
  virtual base::Result<void> push_maps() { return {}; }
  virtual base::Result<void> pull_maps() { return {}; }
  virtual EngineCounters counters() const = 0;
  // Runs the callbacks of timers whose time has come; returns how many ran. Engines that have timers also look at them
  // in run(). Pre: load() succeeded.
  virtual uint64_t run_timers(const RunContext&) { return 0; }
};

// The engines in this build by name, for --engine: "interp", "kernel", and "native", "hxdp" and "nfp", which need
// image providers (native/native.hpp, sim/hxdp/engine.hpp, sim/nfp/engine.hpp). Null when there is none of that name.
std::unique_ptr<Engine> make_engine(std::string_view name);
std::vector<std::string_view> engine_names();

}  // namespace xnic::exec
