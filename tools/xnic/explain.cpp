// SPDX-License-Identifier: Apache-2.0
// `xnic explain`: where a program's cycles go on the card, with their source lines, and what would help. What helps is
// not guessed: each change is made, and the packets are run again.
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "arch/hxdp/text.hpp"
#include "device/hxdp_images.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "xnic/card.hpp"
#include "xnic/chain.hpp"
#include "xnic/command.hpp"
#include "xnic/job.hpp"

namespace xnic::tools {
namespace {

using exec::sim::hxdp::CardCounters;
using exec::sim::hxdp::Hxdp;
using nlohmann::ordered_json;

constexpr size_t kHotRows = 8;
constexpr size_t kChainEnds = 20;         // links shown of each end of a long chain
constexpr uint32_t kTracedPackets = 256;  // whose paths are looked at

struct Measured {
  CardCounters counters;
  arch::hxdp::Image image;
  std::vector<exec::sim::hxdp::PacketTrace> traces;
  double cycles_per_packet() const {
    return static_cast<double>(counters.elapsed) / static_cast<double>(counters.packets);
  }
};

base::Result<Measured> measure(device::Device& device, const ExplainOptions& options,
                               const std::vector<std::string>& changes) {
  std::vector<std::string> card = options.card;
  card.insert(card.end(), changes.begin(), changes.end());
  XNIC_ASSIGN(CardSettings settings, parse_card(card));
  if (changes.empty() && settings.compile.parameters.cores == 1) settings.card.trace_packets = kTracedPackets;
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
    measured = {engine.card()->counters(), engine.image(), engine.card()->traces()};
  };
  XNIC_TRY(run_job(device, options.object, options.input, run, no_output, nullptr, inspect));
  if (measured.counters.packets == 0)
    return base::make_error(base::ErrorKind::kBadInput, options.input, "has no packets");
  return measured;
}

ordered_json causes(const Measured& m) {
  const auto& cycles = m.counters.cycles;
  const auto packets = static_cast<double>(m.counters.packets);
  const std::pair<const char*, uint64_t> list[] = {
      {"rows (one cycle each)", cycles.rows},
      {"bubbles behind taken branches", cycles.branch},
      {"calls that hold their row", cycles.helper},
      {"external map memory", cycles.memory},
      {"waiting for bytes of the packet", cycles.input},
      {"reset between packets", cycles.start},
      {"no packet there (port or read-in)", cycles.idle},
      {"no buffer free (emission)", cycles.emission},
  };
  ordered_json json = ordered_json::array();
  for (const auto& [what, count] : list) {
    if (count == 0) continue;
    json.push_back({{"cause", what},
                    {"cycles", static_cast<double>(count) / packets},
                    {"share", static_cast<double>(count) / static_cast<double>(cycles.total())}});
  }
  return json;
}

ordered_json lanes(const Measured& m) {
  const auto rows = static_cast<double>(m.counters.cycles.rows);
  ordered_json json = ordered_json::array();
  for (uint64_t count : m.counters.lane_ops) json.push_back(static_cast<double>(count) / rows);
  return json;
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

ordered_json reasons(const Measured& m) {
  constexpr const char* kWords[kReasons] = {
      "a result of the row before is needed", "one helper call a row", "all lanes of the row before are in use",
      "order of effects and branches, registers", "entered by a branch or at the start"};
  std::array<uint64_t, kReasons> visits{};
  for (uint32_t row = 0; row < m.image.rows.size(); row++)
    visits[reason_of(m.image, row)] += m.counters.rows[row].visits;
  ordered_json json = ordered_json::array();
  for (size_t i = 0; i < kReasons; i++) {
    if (visits[i] != 0)
      json.push_back(
          {{"reason", kWords[i]}, {"rows", static_cast<double>(visits[i]) / static_cast<double>(m.counters.packets)}});
  }
  return json;
}

// The path that most of the traced packets took; none with several cores.
std::vector<uint32_t> common_path(const Measured& m) {
  std::map<std::vector<uint32_t>, uint32_t> paths;
  for (const auto& trace : m.traces) {
    std::vector<uint32_t> rows;
    for (const auto& row : trace.rows) rows.push_back(row.row);
    paths[std::move(rows)]++;
  }
  const auto best = std::ranges::max_element(paths, [](const auto& a, const auto& b) { return a.second < b.second; });
  return best == paths.end() ? std::vector<uint32_t>{} : best->first;
}

ordered_json path(const Measured& m) {
  const std::vector<uint32_t> rows = common_path(m);
  if (rows.empty()) return nullptr;
  const PathChain chain = chain_of(m.image, rows);
  ordered_json links = ordered_json::array();
  for (const ChainLink& link : chain.links) {
    const auto* line = m.image.line_at(m.image.slots[link.row][link.lane]);
    links.push_back({{"row", link.row},
                     {"earliest", link.earliest},
                     {"operation", arch::hxdp::to_text(m.image.rows[link.row].lanes[link.lane], m.image.call_sites)},
                     {"waits_for", to_words(link.wait)},
                     {"source", line == nullptr ? "" : fmt::format("{}: {}", line->line, line->text)}});
  }
  return {{"rows", chain.rows},           {"chain_rows", chain.chain_rows}, {"operations", chain.operations},
          {"lane_rows", chain.lane_rows}, {"calls", chain.calls},           {"chain", links}};
}

ordered_json hot_rows(const Measured& m) {
  std::vector<uint32_t> order(m.counters.rows.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto cost = [&](uint32_t row) { return m.counters.rows[row].visits + m.counters.rows[row].cycles; };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return cost(a) > cost(b); });
  ordered_json json = ordered_json::array();
  for (size_t i = 0; i < std::min(order.size(), kHotRows) && cost(order[i]) != 0; ++i) {
    json.push_back({{"row", order[i]},
                    {"cycles", static_cast<double>(cost(order[i])) / static_cast<double>(m.counters.packets)},
                    {"source", source_of_row(m.image, order[i])}});
  }
  return json;
}

struct Change {
  const char* what;
  std::vector<std::string> settings;
};

base::Result<ordered_json> changes(device::Device& device, const ExplainOptions& options, const Measured& now) {
  const arch::hxdp::Parameters& p = now.image.parameters;
  std::vector<Change> list = {
      {"branches without a bubble", {"branch_cycles=0"}},
      {"no reset cycle between packets", {"start_cycles=0"}},
      {"map memory on the chip", {"map_memory_cycles=0"}},
  };
  const std::string lanes = fmt::format("lanes={}", std::min(p.lanes * 2, arch::hxdp::kMaxLanes));
  const std::string frames = fmt::format("frame_bytes={}", std::min(p.frame_bytes * 2, 256u));
  const std::string cores = fmt::format("cores={}", std::min(p.cores * 2, 64u));
  list.push_back({"twice the lanes", {lanes}});
  list.push_back({"twice the bus (frame bytes)", {frames}});
  list.push_back({"twice the cores (packets spread by flow)", {cores}});
  ordered_json json = ordered_json::array();
  for (const Change& change : list) {
    XNIC_ASSIGN(const Measured changed, measure(device, options, change.settings));
    json.push_back({{"change", change.what},
                    {"setting", change.settings[0]},
                    {"cycles", changed.cycles_per_packet()},
                    {"saved", 1 - changed.cycles_per_packet() / now.cycles_per_packet()}});
  }
  return json;
}

// All that explain has to say; the text for people is made from it.
base::Result<ordered_json> explanation(device::Device& device, const ExplainOptions& options) {
  XNIC_ASSIGN(const Measured now, measure(device, options, {}));
  const arch::hxdp::Parameters& p = now.image.parameters;
  const double mhz = static_cast<double>(p.clock_hz) / 1e6;
  const double cycles = now.cycles_per_packet();
  const auto& by_cause = now.counters.cycles;
  ordered_json json = {
      {"program", now.image.program},
      {"instructions", now.image.source_insns},
      {"rows", now.image.rows.size()},
      {"lanes", p.lanes},
      {"cores", p.cores},
      {"frame_bytes", p.frame_bytes},
      {"clock_mhz", mhz},
      {"packets", now.counters.packets},
      {"cycles_per_packet", cycles},
      {"mpps", mhz / cycles},
      {"latency_p50_ns", static_cast<double>(now.counters.latency.percentile(50)) * 1e3 / mhz},
      {"latency_p99_ns", static_cast<double>(now.counters.latency.percentile(99)) * 1e3 / mhz},
      {"rows_per_packet", static_cast<double>(by_cause.rows) / static_cast<double>(now.counters.packets)},
      {"bound_by", (by_cause.idle + by_cause.emission) * 2 > by_cause.total() ? "buses" : "program"},
      {"causes", causes(now)},
      {"lane_use", lanes(now)},
      {"reasons", reasons(now)},
      {"path", path(now)},
      {"hot_rows", hot_rows(now)}};
  XNIC_ASSIGN(json["changes"], changes(device, options, now));
  return json;
}

void print_path(const ordered_json& path) {
  if (path.is_null()) return;
  const auto rows = path["rows"].get<uint32_t>(), chain = path["chain_rows"].get<uint32_t>();
  const auto lanes = path["lane_rows"].get<uint32_t>(), calls = path["calls"].get<uint32_t>();
  const uint32_t bound = std::max({chain, lanes, calls});
  const char* what = bound == chain ? "what waits for each other" : bound == lanes ? "the lanes" : "one call a row";
  fmt::print(
      "The path of most packets takes {} rows. What waits for each other takes {}, the lanes {} ({} operations), one "
      "call a row {}:\n  bound by {}, with {} rows above that.\n",
      rows, chain, lanes, path["operations"].get<uint32_t>(), calls, what, rows - bound);
  fmt::print("The longest chain (row of the chain, row of the image, operation, waits for, source):\n");
  const size_t links = path["chain"].size();
  for (size_t i = 0; i < links; i++) {
    if (links > 2 * kChainEnds && i == kChainEnds) {
      fmt::print("  ... {} more\n", links - 2 * kChainEnds);
      i = links - kChainEnds;
    }
    const ordered_json& link = path["chain"][i];
    fmt::print("  {:>4}  {:>4}  {:<44} {:<34} {}\n", link["earliest"].get<uint32_t>(), link["row"].get<uint32_t>(),
               link["operation"].get<std::string>(), link["waits_for"].get<std::string>(),
               link["source"].get<std::string>());
  }
}

void print_text(const ordered_json& json) {
  const auto number = [](const ordered_json& value) { return value.get<double>(); };
  const auto word = [](const ordered_json& value) { return value.get<std::string>(); };
  fmt::print("{}: {} instructions, {} rows of {} lanes, {} core{}, {}-byte frames, {} MHz\n", word(json["program"]),
             number(json["instructions"]), number(json["rows"]), number(json["lanes"]), number(json["cores"]),
             json["cores"] == 1 ? "" : "s", number(json["frame_bytes"]), number(json["clock_mhz"]));
  fmt::print("{} packets: {:.2f} cycles each, {:.2f} Mpps; latency {:.0f} ns (99 %: {:.0f} ns)\n",
             number(json["packets"]), number(json["cycles_per_packet"]), number(json["mpps"]),
             number(json["latency_p50_ns"]), number(json["latency_p99_ns"]));
  if (json["bound_by"] == "buses") {
    fmt::print("Bound by the buses: the cores wait for packets to come in or to leave.\n");
  } else {
    fmt::print("Bound by the program: {:.2f} rows a packet.\n", number(json["rows_per_packet"]));
  }
  fmt::print("Cycles of a core, by cause, per packet:\n");
  for (const auto& cause : json["causes"])
    fmt::print("  {:<36}{:>9.2f}  {:>5.1f} %\n", word(cause["cause"]), number(cause["cycles"]),
               100 * number(cause["share"]));
  double all = 0;
  std::string lanes;
  for (const auto& use : json["lane_use"]) {
    all += number(use);
    lanes += fmt::format(" {:.0f} %", 100 * number(use));
  }
  fmt::print("Lanes in use, by row run:{}; {:.2f} operations a row\n", lanes, all);
  print_path(json["path"]);
  fmt::print("Why rows follow each other: (rows per packet)\n");
  for (const auto& reason : json["reasons"])
    fmt::print("  {:<42}{:>9.2f}\n", word(reason["reason"]), number(reason["rows"]));
  fmt::print("Rows that cost most (cycles per packet, row, source):\n");
  for (const auto& row : json["hot_rows"])
    fmt::print("  {:>6.2f}  {:>4}  {}\n", number(row["cycles"]), number(row["row"]), word(row["source"]));
  fmt::print("What would help (measured with the change made):\n");
  for (const auto& change : json["changes"]) {
    const double saved = 100 * number(change["saved"]);  // it counts from half a percent on
    fmt::print("  {:<42}{:>9.2f} cycles, {}\n", word(change["change"]), number(change["cycles"]),
               saved < 0.5 ? std::string("no gain") : fmt::format("{:.1f} % less", saved));
  }
}

base::Result<int> explain_program(const ExplainOptions& options) {
  // changes() tries twice the cores.
  XNIC_ASSIGN(const CardSettings settings, parse_card(options.card));
  device::Device device(device_options(2 * settings.compile.parameters.cores));
  device::install_device(&device);
  XNIC_ASSIGN(const ordered_json json, explanation(device, options));
  if (options.json) {
    fmt::print("{}\n", json.dump(2));
  } else {
    print_text(json);
  }
  return kExitOk;
}

}  // namespace

int explain(const ExplainOptions& options) {
  auto result = explain_program(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
