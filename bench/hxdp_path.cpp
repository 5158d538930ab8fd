// SPDX-License-Identifier: Apache-2.0
#include "hxdp_path.hpp"

#include "device/hxdp_images.hpp"
#include "exec/interp/interp.hpp"
#include "exec/sim/hxdp/engine.hpp"

namespace xnic::bench {

using base::ErrorKind;
using base::make_error;
using base::Result;
using exec::packet::Packet;
using exec::sim::hxdp::CardCounters;
using exec::sim::hxdp::CycleCounters;
using exec::sim::hxdp::Hxdp;

namespace {

// Rounds over the packets before counting begins, and while it lasts: the pipeline is full by then.
constexpr size_t kWarmUpPackets = 100;
constexpr size_t kCountedPackets = 1000;

Result<std::shared_ptr<const exec::LoadedProgram>> program_of(const device::Object& object, const std::string& name) {
  std::string names;
  for (const device::ObjectProgram& program : object.programs()) {
    if (program.name == name || program.section == name) return program.loaded;
    names += (names.empty() ? "" : ", ") + program.name;
  }
  if (name.empty() && object.programs().size() == 1) return object.programs()[0].loaded;
  return make_error(ErrorKind::kBadInput, "--program", "choose one of {}", names);
}

void copy_packets(const std::vector<Packet>& from, std::vector<Packet>& to) {
  to.resize(from.size());
  for (size_t i = 0; i < from.size(); ++i) {
    to[i].assign(from[i].bytes());
    to[i].ingress_ifindex = from[i].ingress_ifindex;
    to[i].rx_queue = from[i].rx_queue;
    to[i].arrival_ns = from[i].arrival_ns;
  }
}

// Time stands still and random numbers come from a seed, so every figure is the same in every run.
struct World {
  base::ManualClock clock{1'000'000'000};
  uint64_t random_state = 1;
  exec::RunContext context{.clock = &clock, .random_state = &random_state};
};

struct Outcome {
  std::vector<Packet> packets;
  std::vector<exec::Verdict> verdicts;
};

// The first round on the interpreter, and the means of the bounds of its paths.
Result<Outcome> trace_packets(const Workload& workload, uint32_t lanes, PathFigures& figures) {
  XNIC_ASSIGN(const device::Object object, workload.load());
  XNIC_ASSIGN(const auto program, program_of(object, workload.function));
  std::vector<TraceStep> trace;
  exec::interp::InterpOptions options;
  options.observer = [&](const exec::interp::Step& step) {
    TraceStep& kept = trace.emplace_back();
    kept.slot = step.slot, kept.depth = step.depth;
    std::copy(step.registers.begin(), step.registers.end(), kept.registers.begin());
  };
  exec::interp::Interp interp(options);
  XNIC_TRY(interp.load(program));
  World world;
  Outcome outcome;
  copy_packets(workload.packets, outcome.packets);
  outcome.verdicts.resize(outcome.packets.size());
  const auto share = 1 / static_cast<double>(outcome.packets.size());
  for (size_t i = 0; i < outcome.packets.size(); ++i) {
    trace.clear();
    XNIC_TRY(
        interp.run(std::span(outcome.packets).subspan(i, 1), std::span(outcome.verdicts).subspan(i, 1), world.context));
    XNIC_ASSIGN(const PathBound bound, bound_path(*program, trace, lanes));
    figures.executed += bound.insns * share;
    figures.raw_rows += bound.raw.rows * share;
    figures.bound_height += bound.reduced.height * share;
    figures.bound_rows += bound.reduced.rows * share;
  }
  return outcome;
}

Result<void> compare(const Outcome& wanted, const Outcome& got) {
  for (size_t i = 0; i < wanted.packets.size(); ++i) {
    if (wanted.verdicts[i].code != got.verdicts[i].code)
      return make_error(ErrorKind::kBadInput, fmt::format("packet {}", i), "the card says {}, the interpreter {}",
                        got.verdicts[i].code, wanted.verdicts[i].code);
    if (wanted.packets[i].bytes() != got.packets[i].bytes())
      return make_error(ErrorKind::kBadInput, fmt::format("packet {}", i),
                        "card and interpreter leave different bytes");
  }
  return {};
}

struct Count {
  uint64_t packets = 0, elapsed = 0, lane_ops = 0;
  CycleCounters cycles;
};
Count count_of(const Hxdp& engine) {
  const CardCounters counters = engine.card()->counters();
  Count count{counters.packets, counters.elapsed, 0, counters.cycles};
  for (uint64_t ops : counters.lane_ops) count.lane_ops += ops;
  return count;
}
void subtract(CycleCounters& from, const CycleCounters& what) {
  from.rows -= what.rows, from.branch -= what.branch, from.helper -= what.helper, from.memory -= what.memory;
  from.input -= what.input, from.start -= what.start, from.idle -= what.idle, from.emission -= what.emission;
}

void fill_image_figures(const arch::hxdp::Image& image, PathFigures& figures) {
  uint64_t operations = 0;
  for (const auto& bundle : image.rows) {
    for (const auto& op : bundle.lanes) operations += arch::hxdp::is_nop(op) ? 0 : 1;
  }
  figures.insns = image.source_insns;
  figures.rows = static_cast<uint32_t>(image.rows.size());
  figures.static_slots = static_cast<double>(operations) / static_cast<double>(image.rows.size());
}

}  // namespace

Result<PathFigures> measure_path(const Workload& workload, const PathSettings& settings) {
  PathFigures figures;
  XNIC_ASSIGN(const Outcome wanted, trace_packets(workload, settings.compile.parameters.lanes, figures));
  device::install_hxdp(settings.compile, settings.card);
  XNIC_ASSIGN(const device::Object object, workload.load());
  XNIC_ASSIGN(const auto program, program_of(object, workload.function));
  Hxdp engine;
  XNIC_TRY(engine.load(program));
  fill_image_figures(engine.image(), figures);

  World world;
  Outcome got;
  got.verdicts.resize(workload.packets.size());
  Count before;
  const size_t warm_up = workload.steady ? std::max<size_t>(kWarmUpPackets / workload.packets.size(), 1) : 0;
  const size_t rounds = workload.steady ? warm_up + kCountedPackets / workload.packets.size() : 1;
  for (size_t round = 0; round < std::max(rounds, warm_up + 1); ++round) {
    if (round == warm_up) before = count_of(engine);
    copy_packets(workload.packets, got.packets);
    XNIC_TRY(engine.run(got.packets, got.verdicts, world.context));
    if (round == 0) XNIC_TRY(compare(wanted, got));
    for (size_t i = 0; i < got.verdicts.size(); ++i) {
      if (workload.steady && got.verdicts[i].code != wanted.verdicts[i].code)
        return make_error(ErrorKind::kBadInput, fmt::format("round {}", round), "verdict {} instead of {}",
                          got.verdicts[i].code, wanted.verdicts[i].code);
    }
  }
  const Count after = count_of(engine);
  figures.packets = after.packets - before.packets;
  figures.causes = after.cycles;
  subtract(figures.causes, before.cycles);
  const auto packets = static_cast<double>(figures.packets);
  figures.cycles = static_cast<double>(after.elapsed - before.elapsed) / packets;
  figures.mpps = static_cast<double>(engine.image().parameters.clock_hz) / 1e6 / figures.cycles;
  figures.path_rows = static_cast<double>(figures.causes.rows) / packets;
  figures.dynamic_slots =
      static_cast<double>(after.lane_ops - before.lane_ops) / static_cast<double>(figures.causes.rows);
  figures.latency_ns = static_cast<double>(engine.counters().modelled->latency_p50_cycles) * 1e9 /
                       static_cast<double>(engine.image().parameters.clock_hz);
  for (const exec::Verdict& verdict : wanted.verdicts) figures.verdicts.push_back(verdict.code);
  return figures;
}

Result<std::string> prove_program(const Workload& workload, const PathSettings& settings, uint32_t seconds) {
  using compile::prove::ProofStatus;
  XNIC_ASSIGN(const device::Object object, workload.load());
  XNIC_ASSIGN(const auto program, program_of(object, workload.function));
  XNIC_ASSIGN(const arch::hxdp::Image image,
              compile::compile_hxdp(*program->program, *program->facts, settings.compile));
  compile::prove::ProveOptions options;
  options.timeout_ms = seconds * 1000;
  const auto report = compile::prove::prove(*program->program, *program->facts, image, options);
  switch (report.status) {
    case ProofStatus::kProved:
      return std::string("proved");
    case ProofStatus::kRefuted:
      return "refuted: " + report.summary();
    case ProofStatus::kUndecided:
      break;
  }
  return "undecided: " + report.summary();
}

}  // namespace xnic::bench
