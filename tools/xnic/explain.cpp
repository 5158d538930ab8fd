// SPDX-License-Identifier: Apache-2.0
// `xnic explain`: where a program's cycles go on the card, with their source lines, and what would help. What helps is
// not guessed: each change is made, and the packets are run again.
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "arch/hxdp/text.hpp"
#include "device/hxdp_images.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"
#include "xnic/job.hpp"

namespace xnic::tools {
namespace {

using exec::sim::hxdp::CardCounters;
using exec::sim::hxdp::Hxdp;

constexpr size_t kHotRows = 8;

struct Measured {
  CardCounters counters;
  arch::hxdp::Image image;
  double cycles_per_packet() const {
    return static_cast<double>(counters.elapsed) / static_cast<double>(counters.packets);
  }
};

base::Result<Measured> measure(device::Device& device, const ExplainOptions& options,
                               const std::vector<std::string>& changes) {
  std::vector<std::string> card = options.card;
  card.insert(card.end(), changes.begin(), changes.end());
  XNIC_ASSIGN(const CardSettings settings, parse_card(card));
  device::install_hxdp(settings.compile, settings.card);
  RunOptions run;
  run.program_name = options.program_name;
  run.engines = {"hxdp"};
  run.maps = options.maps;
  run.json = true;
  std::optional<nic::port::PcapngWriter> no_output;
  Measured measured;
  const auto inspect = [&](Session& session) {
    const auto& engine = static_cast<const Hxdp&>(session.engine());
    measured = {engine.card()->counters(), engine.image()};
  };
  XNIC_TRY(run_job(device, options.object, options.input, run, no_output, nullptr, inspect));
  if (measured.counters.packets == 0)
    return base::make_error(base::ErrorKind::kBadInput, options.input, "has no packets");
  return measured;
}

void print_causes(const Measured& m) {
  const auto& cycles = m.counters.cycles;
  const auto packets = static_cast<double>(m.counters.packets);
  const std::pair<const char*, uint64_t> causes[] = {
      {"rows (one cycle each)", cycles.rows},
      {"bubbles behind taken branches", cycles.branch},
      {"calls that hold their row", cycles.helper},
      {"external map memory", cycles.memory},
      {"waiting for bytes of the packet", cycles.input},
      {"reset between packets", cycles.start},
      {"no packet there (port or read-in)", cycles.idle},
      {"no buffer free (emission)", cycles.emission},
  };
  fmt::print("Cycles of a core, by cause, per packet:\n");
  for (const auto& [what, count] : causes) {
    if (count == 0) continue;
    fmt::print("  {:<36}{:>9.2f}  {:>5.1f} %\n", what, static_cast<double>(count) / packets,
               100 * static_cast<double>(count) / static_cast<double>(cycles.total()));
  }
}

void print_lanes(const Measured& m) {
  const auto rows = static_cast<double>(m.counters.cycles.rows);
  double all = 0;
  std::string lanes;
  for (uint64_t count : m.counters.lane_ops) {
    all += static_cast<double>(count) / rows;
    lanes += fmt::format(" {:.0f} %", 100 * static_cast<double>(count) / rows);
  }
  fmt::print("Lanes in use, by row run:{}; {:.2f} operations a row\n", lanes, all);
}

// C lines of a row's operations, each once.
std::string source_of_row(const arch::hxdp::Image& image, uint32_t row) {
  std::string source;
  for (uint32_t slot : image.slots[row]) {
    const auto* line = image.line_at(slot);
    if (line == nullptr) continue;
    const std::string text = fmt::format("{}: {}", line->line, line->text);
    if (source.find(text) == std::string::npos) source += (source.empty() ? "" : "  /  ") + text;
  }
  return source;
}

// Why the work of a row could not be done in the row before it, as the rules of the machine see it.
enum Reason : size_t { kResult, kHelper, kLanes, kOrder, kEntered, kReasons };

Reason reason_of(const arch::hxdp::Image& image, uint32_t row) {
  using namespace arch::hxdp;
  if (row == 0) return kEntered;
  const Bundle &before = image.rows[row - 1], &bundle = image.rows[row];
  uint32_t written = 0, read = 0, used = 0;
  bool called = false, calls = false, leaves = false;
  for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
    if (const int dst = written_register(before.lanes[lane]); dst >= 0) written |= 1u << dst;
    read |= read_registers(bundle.lanes[lane], image.call_sites);
    used += !is_nop(before.lanes[lane]);
    called |= is_call(before.lanes[lane]);
    calls |= is_call(bundle.lanes[lane]);
    leaves |= ends_row(before.lanes[lane]);
  }
  if (leaves) return kEntered;
  if (written & read) return kResult;
  if (called && calls) return kHelper;
  return used == image.parameters.lanes ? kLanes : kOrder;
}

void print_reasons(const Measured& m) {
  constexpr const char* kWords[kReasons] = {
      "a result of the row before is needed", "one helper call a row", "all lanes of the row before are in use",
      "order of effects and branches, registers", "entered by a branch or at the start"};
  const auto packets = static_cast<double>(m.counters.packets);
  std::array<uint64_t, kReasons> visits{};
  std::vector<std::pair<uint64_t, uint32_t>> chain;
  for (uint32_t row = 0; row < m.image.rows.size(); row++) {
    const uint64_t count = m.counters.rows[row].visits;
    const Reason reason = reason_of(m.image, row);
    visits[reason] += count;
    if (reason == kResult && count != 0) chain.push_back({count, row});
  }
  fmt::print("Why rows follow each other: (rows per packet)\n");
  for (size_t i = 0; i < kReasons; i++) {
    if (visits[i] != 0) fmt::print("  {:<42}{:>9.2f}\n", kWords[i], static_cast<double>(visits[i]) / packets);
  }
  std::stable_sort(chain.begin(), chain.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  if (chain.size() > kHotRows) chain.resize(kHotRows);
  std::sort(chain.begin(), chain.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (!chain.empty()) fmt::print("Rows that wait for a result (row, source):\n");
  for (const auto& [count, row] : chain) fmt::print("  {:>4}  {}\n", row, source_of_row(m.image, row));
}

void print_hot_rows(const Measured& m) {
  std::vector<uint32_t> order(m.counters.rows.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto cost = [&](uint32_t row) { return m.counters.rows[row].visits + m.counters.rows[row].cycles; };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return cost(a) > cost(b); });
  fmt::print("Rows that cost most (cycles per packet, row, source):\n");
  for (size_t i = 0; i < std::min(order.size(), kHotRows) && cost(order[i]) != 0; ++i) {
    const uint32_t row = order[i];
    fmt::print("  {:>6.2f}  {:>4}  {}\n", static_cast<double>(cost(row)) / static_cast<double>(m.counters.packets), row,
               source_of_row(m.image, row));
  }
}

struct Change {
  const char* what;
  std::vector<std::string> settings;
};

// A change counts from half a percent on.
base::Result<void> print_changes(device::Device& device, const ExplainOptions& options, const Measured& now) {
  const arch::hxdp::Parameters& p = now.image.parameters;
  std::vector<Change> changes = {
      {"branches without a bubble", {"branch_cycles=0"}},
      {"no reset cycle between packets", {"start_cycles=0"}},
      {"map memory on the chip", {"map_memory_cycles=0"}},
  };
  const std::string lanes = fmt::format("lanes={}", std::min(p.lanes * 2, arch::hxdp::kMaxLanes));
  const std::string frames = fmt::format("frame_bytes={}", std::min(p.frame_bytes * 2, 256u));
  const std::string cores = fmt::format("cores={}", std::min(p.cores * 2, 64u));
  changes.push_back({"twice the lanes", {lanes}});
  changes.push_back({"twice the bus (frame bytes)", {frames}});
  changes.push_back({"twice the cores (packets spread by flow)", {cores}});
  fmt::print("What would help (measured with the change made):\n");
  for (const Change& change : changes) {
    XNIC_ASSIGN(const Measured changed, measure(device, options, change.settings));
    const double saved = 100 * (1 - changed.cycles_per_packet() / now.cycles_per_packet());
    fmt::print("  {:<42}{:>9.2f} cycles, {}\n", change.what, changed.cycles_per_packet(),
               saved < 0.5 ? std::string("no gain") : fmt::format("{:.1f} % less", saved));
  }
  return {};
}

base::Result<int> explain_program(const ExplainOptions& options) {
  // print_changes() tries twice the cores.
  XNIC_ASSIGN(const CardSettings settings, parse_card(options.card));
  device::Device device(device_options(2 * settings.compile.parameters.cores));
  device::install_device(&device);
  XNIC_ASSIGN(const Measured now, measure(device, options, {}));
  const arch::hxdp::Parameters& p = now.image.parameters;
  const double mhz = static_cast<double>(p.clock_hz) / 1e6;
  const double cycles = now.cycles_per_packet();
  fmt::print("{}: {} instructions, {} rows of {} lanes, {} core{}, {}-byte frames, {} MHz\n", now.image.program,
             now.image.source_insns, now.image.rows.size(), p.lanes, p.cores, p.cores == 1 ? "" : "s", p.frame_bytes,
             mhz);
  fmt::print("{} packets: {:.2f} cycles each, {:.2f} Mpps; latency {:.0f} ns (99 %: {:.0f} ns)\n", now.counters.packets,
             cycles, mhz / cycles, static_cast<double>(now.counters.latency.percentile(50)) * 1e3 / mhz,
             static_cast<double>(now.counters.latency.percentile(99)) * 1e3 / mhz);
  const auto& by_cause = now.counters.cycles;
  const uint64_t outside = by_cause.idle + by_cause.emission;
  if (outside * 2 > by_cause.total()) {
    fmt::print("Bound by the buses: the cores wait for packets to come in or to leave.\n");
  } else {
    fmt::print("Bound by the program: {:.2f} rows a packet.\n",
               static_cast<double>(by_cause.rows) / static_cast<double>(now.counters.packets));
  }
  print_causes(now);
  print_lanes(now);
  print_reasons(now);
  print_hot_rows(now);
  XNIC_TRY(print_changes(device, options, now));
  return kExitOk;
}

}  // namespace

int explain(const ExplainOptions& options) {
  auto result = explain_program(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
