// SPDX-License-Identifier: Apache-2.0
// The stages of each target, in order. A pass is left out when its name stands in `off`.
#include "compile/pipeline.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "arch/hxdp/text.hpp"
#include "base/check.hpp"
#include "compile/opt/callbacks.hpp"
#include "compile/opt/lift.hpp"
#include "compile/opt/passes.hpp"
#include "compile/target/hxdp/schedule.hpp"
#include "compile/target/hxdp/share_rows.hpp"

namespace xnic::compile {

namespace {

class Switches {
 public:
  explicit Switches(const std::vector<std::string>& off) : off_(off) {}
  bool on(std::string_view name) const { return std::find(off_.begin(), off_.end(), name) == off_.end(); }

 private:
  const std::vector<std::string>& off_;
};

arch::hxdp::Image empty_image(const arch::ebpf::Program& program, const arch::hxdp::Parameters& parameters) {
  arch::hxdp::Image image;
  image.program = program.name;
  image.parameters = parameters;
  for (const arch::ebpf::MapSpec& map : program.maps)
    image.maps.push_back({map.name, map.type, map.key_size, map.value_size, map.max_entries});
  image.lines = program.lines;
  image.source_insns = uint32_t(program.insns.size());
  return image;
}

// How much a compile may spend on speed.
struct Effort {
  uint32_t growth;  // instructions that copies may add, in percent
  bool traces;      // operations move above branches, which keeps more values alive
  bool trees;       // sums become trees, which keeps more values alive as well
  uint64_t exact_nodes;
};

// One compile; the image may have more rows than the machine holds.
base::Result<arch::hxdp::Image> compile_once(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts,
                                             const HxdpOptions& options, const Effort& effort,
                                             HxdpStatistics* statistics) {
  const Switches pass(options.off);
  opt::Graph graph(program);
  const opt::LiftOptions lift{.fold = pass.on("fold"),
                              .merge_loads = pass.on("merge-loads"),
                              .forward = pass.on("forward"),
                              .thread = pass.on("thread"),
                              .duplicate = pass.on("duplicate"),
                              .bytes_arguments = pass.on("bytes-arguments"),
                              .array_lookups = pass.on("array-lookups"),
                              .growth = effort.growth,
                              .profile = options.profile};
  XNIC_TRY(opt::lift(program, facts, lift, graph));
  if (pass.on("memory-additions")) opt::form_memory_additions(graph);
  if (effort.trees && pass.on("reassociate")) opt::reassociate(graph);
  if (pass.on("checksums")) opt::form_checksums(graph);
  if (pass.on("merge-stores")) opt::merge_stores(graph);
  if (pass.on("dead-stores")) opt::remove_dead_stores(graph);
  opt::remove_dead_values(graph);

  arch::hxdp::Image image = empty_image(program, options.parameters);
  const uint32_t stack = graph.stack_used;
  image.stack_bytes = stack;
  const target::hxdp::ScheduleOptions schedule{.traces = effort.traces && pass.on("traces"),
                                               .parallel_branches = pass.on("parallel-branches"),
                                               .priorities = pass.on("priorities"),
                                               .exact_nodes = effort.exact_nodes,
                                               .call_exit = pass.on("call-exit")};
  target::hxdp::ExactStatistics exact;
  XNIC_TRY(target::hxdp::schedule(graph, schedule, arch::hxdp::kStackBytes - (stack + 7) / 8 * 8, image, &exact));
  if (pass.on("share-rows")) target::hxdp::share_rows(image);
  if (statistics != nullptr) {
    *statistics = {.insns = image.source_insns,
                   .rows = uint32_t(image.rows.size()),
                   .blocks = uint32_t(graph.blocks.size()),
                   .exact = exact};
    for (const auto& row : image.rows) {
      for (const auto& op : row.lanes) statistics->operations += !arch::hxdp::is_nop(op);
    }
  }
  return image;
}

}  // namespace

const std::vector<PassInfo>& hxdp_passes() {
  static const std::vector<PassInfo> passes = {
      {"fold", "constants, copies, identities, pointers plus constants"},
      {"merge-loads", "bytes put together become one load; byte order goes into the load"},
      {"forward", "a load that an earlier store covers is the stored value"},
      {"thread", "branches that the path has decided disappear"},
      {"duplicate", "joins are split so that each path is optimised for itself"},
      {"bytes-arguments", "short keys and values go to helpers without the stack"},
      {"array-lookups", "a look-up in an array with a constant index is an address; with one in range, never null"},
      {"memory-additions", "load, add, store becomes one operation"},
      {"reassociate", "chains of sums and of bitwise operations become trees"},
      {"checksums", "the folding steps of an Internet checksum become one operation"},
      {"merge-stores", "neighbouring copies and constants become one store, of 6 bytes too"},
      {"dead-stores", "stores to stack that nothing reads"},
      {"traces", "schedule along the likely path, not block by block"},
      {"parallel-branches", "several branches a row"},
      {"priorities", "each region is scheduled in several orders, and the one with the fewest cycles stays"},
      {"call-exit", "a call whose result is the verdict ends the program"},
      {"share-rows", "equal ends of paths stand once, gotos to gotos disappear"},
  };
  return passes;
}

base::Result<arch::hxdp::Image> compile_hxdp(const arch::ebpf::Program& source, const arch::ebpf::Facts& source_facts,
                                             const HxdpOptions& options, HxdpStatistics* statistics) {
  XNIC_TRY(arch::hxdp::validate(options.parameters));
  for (const std::string& name : options.off) {
    const auto& all = hxdp_passes();
    if (std::none_of(all.begin(), all.end(), [&](const PassInfo& p) { return p.name == name; }))
      return base::make_error(base::ErrorKind::kBadInput, "hxdp passes", "there is no pass \"{}\"", name);
  }
  if (options.exact_nodes > 0 && options.parameters.forwarding != arch::hxdp::Forwarding::kFull)
    return base::make_error(base::ErrorKind::kUnsupported, "exact schedules",
                            "the search takes results to reach all lanes in the next row (forwarding=full)");
  if (source.maps.size() > arch::hxdp::kMaxMaps)
    return base::make_error(base::ErrorKind::kLimit, source.name, "{} maps; the image holds {}", source.maps.size(),
                            arch::hxdp::kMaxMaps);

  const opt::Expanded expanded = opt::expand_callbacks(source, source_facts);
  const arch::ebpf::Program& program = expanded.program;
  const arch::ebpf::Facts& facts = expanded.facts;
  // Paths get their own copies as long as the instruction memory holds them, and operations move above branches as long
  // as registers and stack hold the values.
  const auto once = [&](const Effort& effort) { return compile_once(program, facts, options, effort, statistics); };
  auto image = once({options.growth, true, true, options.exact_nodes});
  // Trees that do not fit the registers cost more than they save.
  HxdpStatistics of_chains;
  auto chains = compile_once(program, facts, options, {options.growth, true, false, options.exact_nodes}, &of_chains);
  const bool trees = !chains || (image && image->rows.size() <= chains->rows.size());
  if (!trees) {
    image = std::move(chains);
    if (statistics != nullptr) *statistics = of_chains;
  }
  const auto fastest_rows = image ? uint32_t(image->rows.size()) : 0;
  for (uint32_t growth : {options.growth / 4, options.growth / 16, 0u}) {
    if (image ? image->rows.size() <= options.parameters.rows : image.error().kind != base::ErrorKind::kLimit) break;
    auto smaller = once({growth, true, trees, options.exact_nodes});
    if (smaller || !image) image = std::move(smaller);
  }
  if (!image && image.error().kind == base::ErrorKind::kLimit) image = once({0, false, false, options.exact_nodes});
  XNIC_TRY(image);
  image->source_insns = uint32_t(source.insns.size());
  image->source_hash = arch::hxdp::source_hash(source);
  if (statistics != nullptr) {
    statistics->insns = image->source_insns;
    statistics->fastest_rows = std::max(fastest_rows, statistics->rows);
  }
  if (image->rows.size() > options.parameters.rows)
    return base::make_error(base::ErrorKind::kLimit, program.name,
                            "{} rows; the instruction memory has {} (parameter rows={} would hold the program)",
                            image->rows.size(), options.parameters.rows, image->rows.size());
  for (const auto& broken : arch::hxdp::check(*image)) {
    fmt::print(stderr, "row {} lane {}: {}: {}\n{}", broken.row, broken.lane, arch::hxdp::rule_name(broken.rule),
               broken.text, arch::hxdp::listing(*image, false));
    CHECK(false);
  }
  return image;
}

}  // namespace xnic::compile
