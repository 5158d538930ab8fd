// SPDX-License-Identifier: Apache-2.0
// The hXDP card on every program of programs/, path by path, beside the paper's figures and our aims; or on anybody's
// object and capture.
//   bench_hxdp [options] CASES_DIR PROGRAMS_DIR OUT.json
//   bench_hxdp [options] --object FILE.o --in TRACE.pcap [--program NAME] [--map NAME=FILE.json] [--out OUT.json]
//
// Frames come back to back at the rate of the port's bus; the maps are those of the case, filled; time stands still.
// Verdict and bytes are compared with the interpreter's before anything is counted. Columns: docs/benchmarks.md.
#include <CLI/CLI.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/file.hpp"
#include "device/map_json.hpp"
#include "hxdp_path.hpp"
#include "nic/port/pcap.hpp"
#include "program_case.hpp"
#include "report.hpp"
#include "xnic/card.hpp"

namespace xnic::bench {
namespace {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;
using nlohmann::ordered_json;

// 64 bytes on the wire hold 60 without the checksum, which never reaches the card's queue.
constexpr size_t kFrameBytes = 60;

// A path of a program. Paper: table 3 (instructions), figures 8/9 (rows) and 10, 12, 13, 15 (Mpps) of hXDP, OSDI'20;
// 0: not in the paper.
struct Path {
  const char* program;
  const char* path;
  const char* test;  // behaviour case; null: the program's main one
  uint32_t paper_insns;
  uint32_t paper_rows;
  double paper_mpps;
  double reach;  // Mpps, at least
  double aim;
};

constexpr Path kPaths[] = {
    {"drop", "drop", nullptr, 0, 0, 52.2, 52, 78},
    {"tx", "swap, tx", nullptr, 0, 0, 22.4, 52, 78},
    {"redirect", "redirect", nullptr, 0, 0, 15.0, 31, 39},
    {"xdp1", "IPv4 UDP", nullptr, 61, 36, 11.3, 16, 17.4},
    {"xdp2", "IPv4 UDP", nullptr, 78, 42, 6.9, 14, 17.4},
    {"adjust_tail", "601 B answered", "601 bytes are answered", 117, 42, 2.64, 8, 11.2},
    {"router_ipv4", "LPM, gateway", nullptr, 119, 49, 4.02, 8, 9.8},
    {"router_ipv4", "exact match", "exact match wins over the prefix", 119, 49, 0, 0, 0},
    {"rxq_info", "swap, tx", nullptr, 81, 45, 9.9, 11, 12},
    {"rxq_info", "drop", "does as configured: DROP", 81, 45, 11.2, 0, 0},
    {"tx_ip_tunnel", "IPv4 UDP", nullptr, 283, 100, 2.5, 5.5, 6.5},
    {"redirect_map", "swap, redirect", nullptr, 35, 0, 9.8, 20, 26},
    {"simple_firewall", "hit", nullptr, 72, 27, 6.53, 12, 14.2},
    {"simple_firewall", "miss, drop", "UDP from the WAN without a flow is dropped", 72, 27, 0, 0, 0},
    {"katran_min", "LRU hit", nullptr, 268, 102, 2.88, 3.0, 3.3},
    {"katran_lb", "TCP, LRU hit", nullptr, 0, 0, 0, 0, 0},
    {"nat44", "known flow", nullptr, 0, 0, 0, 0, 0},
    {"parser_v6_qinq", "QinQ", nullptr, 0, 0, 0, 0, 0},
    {"changepoint_fixed", "decision", nullptr, 0, 0, 0, 0, 0},
    {"changepoint_double", "decision", nullptr, 0, 0, 0, 0, 0},
    {"digits", "read", nullptr, 0, 0, 0, 0, 0},
    {"changepoint_stream", "split", "a step that splits begins the window", 0, 0, 0, 0, 0},
    {"changepoint_stream", "sample", "the next sample", 0, 0, 0, 0, 0},
    {"changepoint_sample", "sample", "the next sample", 0, 0, 0, 0, 0},
    {"pass", "pass", nullptr, 0, 0, 0, 0, 0},
    {"rate_limiter", "full bucket", nullptr, 0, 0, 0, 0, 0},
    {"syncookie", "SYN, MSS 1460", nullptr, 0, 0, 0, 0, 0},
};

const std::vector<Column> kColumns = {{"program", 15},
                                      {"path", 15},
                                      {"bytes", 5},
                                      {"insns", 5},
                                      {"rows", 4},
                                      {"slots_static", 4, 2},
                                      {"slots_dynamic", 4, 2},
                                      {"path_rows", 5, 1},
                                      {"cycles", 6, 2},
                                      {"mpps", 5, 2},
                                      {"height", 6, 1},
                                      {"bound_rows", 5, 1},
                                      {"bound_ratio", 5, 2},
                                      {"paper_rows", 5},
                                      {"paper_mpps", 5, 2},
                                      {"reach_mpps", 5, 1},
                                      {"reached", 7},
                                      {"proof", 6}};

struct Options {
  std::vector<std::string> positional;
  std::string cpu = "v2";
  std::vector<std::string> card;
  bool no_proof = false;
  uint32_t proof_seconds = 60;
  std::string only;
  std::string object, trace, function, out;
  std::vector<std::string> maps;
};

ordered_json figure(double value) { return value == 0 ? ordered_json() : ordered_json(value); }

ordered_json row_of(const PathFigures& f, const std::string& program, const std::string& path) {
  const auto packets = static_cast<double>(f.packets);
  const auto each = [&](uint64_t cycles) { return static_cast<double>(cycles) / packets; };
  return {{"program", program},
          {"path", path},
          {"insns", f.insns},
          {"rows", f.rows},
          {"slots_static", f.static_slots},
          {"slots_dynamic", f.dynamic_slots},
          {"path_rows", f.path_rows},
          {"cycles", f.cycles},
          {"mpps", f.mpps},
          {"executed", f.executed},
          {"raw_rows", f.raw_rows},
          {"height", f.bound_height},
          {"bound_rows", f.bound_rows},
          {"bound_ratio", f.path_rows / f.bound_rows},
          {"latency_ns", f.latency_ns},
          {"cycles_by_cause",
           {{"rows", each(f.causes.rows)},
            {"branch", each(f.causes.branch)},
            {"helper", each(f.causes.helper)},
            {"memory", each(f.causes.memory)},
            {"input", each(f.causes.input)},
            {"start", each(f.causes.start)},
            {"idle", each(f.causes.idle)},
            {"emission", each(f.causes.emission)}}}};
}

// The table shows the first word; the JSON has it all.
void add_proof(ordered_json& row, const std::string& proof) {
  const size_t colon = proof.find(':');
  row["proof"] = proof.substr(0, colon);
  if (colon != std::string::npos) row["proof_detail"] = proof.substr(colon + 2);
}

Result<PathSettings> settings_of(const Options& options) {
  XNIC_ASSIGN(auto card, tools::parse_card(options.card));
  if (card.compile.parameters.rows == 256) card.compile.parameters.rows = arch::hxdp::kMaxRows;
  return PathSettings{card.compile, card.card};
}

Result<ordered_json> path_row(device::Device& device, const Options& options, const PathSettings& settings,
                              const Path& path, std::map<std::string, std::string>& proofs) {
  const fs::path cases = options.positional[0];
  const fs::path object = fs::path(options.positional[1]) / options.cpu / (std::string(path.program) + ".bpf.o");
  ordered_json test;
  if (path.test == nullptr) {
    XNIC_ASSIGN(test, main_case(cases, path.program));
  } else {
    XNIC_ASSIGN(test, read_case(cases, path.program, path.test));
  }
  Workload workload;
  workload.load = [&] { return tests::load_case(device, object, test); };
  workload.packets.push_back(tests::packet_of(test, kFrameBytes));
  const size_t bytes = workload.packets[0].size();
  XNIC_ASSIGN(const PathFigures figures, measure_path(workload, settings));
  if (figures.verdicts[0] != tests::verdict_code(test["verdict"]))
    return make_error(ErrorKind::kBadInput, path.program, "verdict {} is not the case's", figures.verdicts[0]);
  ordered_json row = row_of(figures, path.program, path.path);
  row["bytes"] = bytes;
  row["case"] = test["name"];
  row["verdict"] = test["verdict"];
  row["cpu"] = options.cpu;
  row["paper_insns"] = path.paper_insns == 0 ? ordered_json() : ordered_json(path.paper_insns);
  row["paper_rows"] = path.paper_rows == 0 ? ordered_json() : ordered_json(path.paper_rows);
  row["paper_mpps"] = figure(path.paper_mpps);
  row["reach_mpps"] = figure(path.reach);
  row["aim_mpps"] = figure(path.aim);
  row["reached"] = path.reach == 0 ? ordered_json() : ordered_json(figures.mpps >= path.reach ? "yes" : "NO");
  std::string& proof = proofs[path.program];
  if (proof.empty() && options.no_proof) proof = "not run";
  if (proof.empty()) {
    XNIC_ASSIGN(proof, prove_program(workload, settings, options.proof_seconds));
  }
  add_proof(row, proof);
  return row;
}

Result<void> measure_all(device::Device& device, const Options& options, const PathSettings& settings, Report& report) {
  std::map<std::string, std::string> proofs;
  for (const Path& path : kPaths) {
    if (!options.only.empty() && options.only != path.program) continue;
    auto row = path_row(device, options, settings, path, proofs);
    if (!row) return make_error(row.error().kind, std::string(path.program), "{}", row.error().message());
    report.add(std::move(*row));
  }
  return {};
}

Result<void> fill_maps(const device::Object& object, const std::vector<std::string>& maps) {
  for (const std::string& assignment : maps) {
    const size_t equals = assignment.find('=');
    const device::ObjectMap* map = object.find_map(assignment.substr(0, equals));
    if (equals == std::string::npos || map == nullptr)
      return make_error(ErrorKind::kBadInput, "--map " + assignment, "needs NAME=FILE.json of a map of the object");
    const std::string file = assignment.substr(equals + 1);
    XNIC_ASSIGN(const auto text, base::read_file(file));
    const auto json = ordered_json::parse(text, nullptr, false);
    if (json.is_discarded()) return make_error(ErrorKind::kBadInput, file, "is not valid JSON");
    XNIC_TRY(device::fill_map(*map, json, file));
  }
  return {};
}

Result<void> measure_object(device::Device& device, const Options& options, const PathSettings& settings,
                            Report& report) {
  Workload workload;
  workload.function = options.function;
  workload.steady = false;
  workload.load = [&]() -> Result<device::Object> {
    device::LoadOptions load;
    load.program = options.function;
    XNIC_ASSIGN(auto object, device::Object::load(device, options.object, load));
    XNIC_TRY(fill_maps(object, options.maps));
    return object;
  };
  XNIC_ASSIGN(auto reader, nic::port::PcapReader::open(options.trace));
  uint64_t bytes = 0;
  for (;;) {
    XNIC_ASSIGN(const auto frame, reader.next());
    if (!frame) break;
    if (frame->bytes.size() < exec::packet::kMinFrameBytes) continue;
    workload.packets.emplace_back().assign(frame->bytes);
    bytes += frame->bytes.size();
  }
  if (workload.packets.empty()) return make_error(ErrorKind::kBadInput, options.trace, "has no packets");
  XNIC_ASSIGN(const PathFigures figures, measure_path(workload, settings));
  ordered_json row =
      row_of(figures, fs::path(options.object).filename().string(), fs::path(options.trace).filename().string());
  row["bytes"] = bytes / workload.packets.size();
  row["packets"] = workload.packets.size();
  std::string proof = "not run";
  if (!options.no_proof) {
    XNIC_ASSIGN(proof, prove_program(workload, settings, options.proof_seconds));
  }
  add_proof(row, proof);
  report.add(std::move(row));
  return {};
}

Result<void> run(const Options& options) {
  XNIC_ASSIGN(const PathSettings settings, settings_of(options));
  const auto& p = settings.compile.parameters;
  const bool own = options.object.empty();
  fmt::print("hxdp: {} lanes, {} core{}, {}-byte frames, {} MHz; ", p.lanes, p.cores, p.cores == 1 ? "" : "s",
             p.frame_bytes, static_cast<double>(p.clock_hz) / 1e6);
  fmt::print("{}\n", own ? fmt::format("programs for cpu {}, frames back to back", options.cpu)
                         : std::string("means over the capture, frames back to back"));
  Report report(kColumns);
  report.print_head();
  device::Device device(tools::device_options(p.cores));
  device::install_device(&device);
  auto done = own ? measure_all(device, options, settings, report) : measure_object(device, options, settings, report);
  device::install_device(nullptr);
  XNIC_TRY(done);
  const std::string out = own ? options.positional[2] : options.out;
  if (!out.empty()) XNIC_TRY(report.write(out));
  return {};
}

int parse_and_run(int argc, char** argv) {
  Options options;
  CLI::App app{"Programs on the hXDP card: rows, cycles, packets per second, bounds, proofs"};
  app.add_option("CASES_DIR PROGRAMS_DIR OUT.json", options.positional)->expected(3);
  app.add_option("--cpu", options.cpu, "eBPF version of the programs")
      ->capture_default_str()
      ->check(CLI::IsMember({"v1", "v2", "v3", "v4"}));
  app.add_option("--card", options.card, tools::card_help());
  app.add_flag("--no-proof", options.no_proof, "Leave the proofs out; they are then \"not run\"");
  app.add_option("--proof-seconds", options.proof_seconds, "Limit of each proof")->capture_default_str();
  app.add_option("--only", options.only, "One program");
  app.add_option("--object", options.object, "Somebody's object instead of ours");
  app.add_option("--in", options.trace, "Capture for --object");
  app.add_option("--program", options.function, "Program in the object");
  app.add_option("--map", options.maps, "NAME=FILE.json: fill a map first, in bpftool's JSON form");
  app.add_option("--out", options.out, "JSON file for --object");
  CLI11_PARSE(app, argc, argv);
  if (options.object.empty() != options.trace.empty() || options.object.empty() != (options.positional.size() == 3)) {
    fmt::print(stderr, "bench_hxdp: three paths, or --object and --in\n");
    return 2;
  }
  const auto done = run(options);
  if (done) return 0;
  fmt::print(stderr, "bench_hxdp: {}\n", done.error().message());
  return 1;
}

}  // namespace
}  // namespace xnic::bench

int main(int argc, char** argv) { return xnic::bench::parse_and_run(argc, argv); }
