// SPDX-License-Identifier: Apache-2.0
// `xnic compile`: from an object to the image of a card.
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "arch/hxdp/codec.hpp"
#include "arch/hxdp/text.hpp"
#include "compile/prove/prove.hpp"
#include "device/object.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {
namespace {

using nlohmann::ordered_json;

base::Result<void> write_file(const std::string& path, const std::vector<uint8_t>& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (!written) return base::make_error(base::ErrorKind::kIo, path, "cannot write: {}", std::strerror(errno));
  return {};
}

void print_summary(const device::ProgramReport& report, const arch::hxdp::Image& image,
                   const compile::HxdpStatistics& statistics) {
  const arch::hxdp::Parameters& parameters = image.parameters;
  fmt::print(
      "{}: {} instructions, {} rows of {} lanes, {} operations ({:.2f} a row), {} call sites, {} bytes of stack\n",
      report.name, statistics.insns, statistics.rows, parameters.lanes, statistics.operations,
      static_cast<double>(statistics.operations) / statistics.rows, image.call_sites.size(), image.stack_bytes);
  if (statistics.fastest_rows > statistics.rows)
    fmt::print(
        "  likely paths share rows to fit the instruction memory of {}; --card rows={} would hold a copy for each\n",
        parameters.rows, statistics.fastest_rows);
  const auto& exact = statistics.exact;
  if (exact.regions != 0)
    fmt::print(
        "  {} of {} regions have the shortest schedule there is, {} by the search; {} could be shorter with more "
        "registers, {} are not decided: {} rows up to the regions' ends, at least {}\n",
        exact.shortest, exact.regions, exact.shortened, exact.cramped, exact.undecided, exact.rows, exact.bound);
}

namespace prove = compile::prove;

prove::ProofReport prove_image(const device::ProgramReport& report, const arch::hxdp::Image& image,
                               const std::string& mode) {
  const bool regions = mode == "regions";
  prove::ProveOptions options;
  options.mode = regions ? prove::ProofMode::kRegions : prove::ProofMode::kFull;
  if (regions) options.effort = 50'000'000, options.timeout_ms = 20'000;
  return prove::prove(*report.program, *report.facts, image, options);
}

// False when the proof's outcome is to fail: a refuted image always, an undecided one in mode full.
bool good_enough(const prove::ProofReport& proof, const std::string& mode) {
  return proof.status == prove::ProofStatus::kProved ||
         (mode == "regions" && proof.status == prove::ProofStatus::kUndecided);
}

std::string_view word(prove::ProofStatus status) {
  switch (status) {
    case prove::ProofStatus::kProved:
      return "proved";
    case prove::ProofStatus::kRefuted:
      return "refuted";
    case prove::ProofStatus::kUndecided:
      return "undecided";
  }
  return "";
}

// The schema stands in docs/run-json.md.
ordered_json proof_json(const prove::ProofReport& proof) {
  ordered_json regions = ordered_json::array();
  for (const prove::ProofRegion& region : proof.regions) {
    if (region.status == prove::ProofStatus::kProved) continue;
    regions.push_back({{"status", word(region.status)},
                       {"row", region.row},
                       {"what", region.what},
                       {"source", region.source},
                       {"detail", region.detail}});
  }
  return {{"status", word(proof.status)}, {"regions", proof.regions.size()}, {"not_proved", regions}};
}

ordered_json listing_json(const arch::hxdp::Image& image) {
  ordered_json rows = ordered_json::array();
  for (size_t row = 0; row < image.rows.size(); row++) {
    ordered_json lanes = ordered_json::array();
    for (uint32_t lane = 0; lane < image.parameters.lanes; lane++) {
      const arch::hxdp::Op& op = image.rows[row].lanes[lane];
      ordered_json cell = nullptr;
      if (!arch::hxdp::is_nop(op)) {
        cell = {{"operation", arch::hxdp::to_text(op, image.call_sites)}};
        if (const auto* line = image.line_at(image.slots[row][lane]))
          cell["file"] = line->file, cell["line"] = line->line, cell["source"] = line->text;
      }
      lanes.push_back(std::move(cell));
    }
    rows.push_back(std::move(lanes));
  }
  return rows;
}

ordered_json summary_json(const device::ProgramReport& report, const arch::hxdp::Image& image,
                          const compile::HxdpStatistics& statistics) {
  const auto& exact = statistics.exact;
  ordered_json search = nullptr;
  if (exact.regions != 0)
    search = {{"regions", exact.regions}, {"shortest", exact.shortest},   {"shortened", exact.shortened},
              {"cramped", exact.cramped}, {"undecided", exact.undecided}, {"rows", exact.rows},
              {"bound", exact.bound}};
  return {{"program", report.name},
          {"instructions", statistics.insns},
          {"rows", statistics.rows},
          {"lanes", image.parameters.lanes},
          {"operations", statistics.operations},
          {"call_sites", image.call_sites.size()},
          {"stack_bytes", image.stack_bytes},
          {"fastest_rows", statistics.fastest_rows},
          {"exact", search}};
}

base::Result<int> compile_object(const CompileOptions& options) {
  if (!options.nfp_off.empty())
    return base::make_error(base::ErrorKind::kBadInput, "--no-pass", "is for the nfp card; hxdp has --card off=PASS");
  XNIC_ASSIGN(CardSettings settings, parse_card(options.card));
  if (options.schedule == "exact") settings.compile.exact_nodes = options.schedule_nodes;
  device::Device device;
  device::LoadOptions load;
  load.program = options.program_name;
  XNIC_ASSIGN(const auto reports, device::Object::check(device, options.object, load));
  if (!options.output.empty() && reports.size() != 1)
    return base::make_error(base::ErrorKind::kBadInput, options.object,
                            "has {} programs: choose one with --program, an image holds one", reports.size());
  bool proved = true;
  ordered_json list = ordered_json::array();
  for (const device::ProgramReport& report : reports) {
    if (!report.accepted) return base::Unexpected(*report.error);
    compile::HxdpStatistics statistics;
    XNIC_ASSIGN(const arch::hxdp::Image image,
                compile::compile_hxdp(*report.program, *report.facts, settings.compile, &statistics));
    ordered_json json = summary_json(report, image, statistics);
    if (!options.json) print_summary(report, image, statistics);
    if (options.listing && options.json) json["listing"] = listing_json(image);
    if (options.listing && !options.json) fmt::print("{}", arch::hxdp::listing(image, true));
    bool good = true;
    if (options.prove != "off") {
      const prove::ProofReport proof = prove_image(report, image, options.prove);
      json["proof"] = proof_json(proof);
      if (!options.json) fmt::print("  {}\n", proof.summary());
      good = good_enough(proof, options.prove);
    }
    proved = proved && good;
    // No image file of what is not shown to be right.
    if (good && !options.output.empty()) XNIC_TRY(write_file(options.output, arch::hxdp::to_bytes(image)));
    list.push_back(std::move(json));
  }
  if (options.json) fmt::print("{}\n", (list.size() == 1 ? list[0] : list).dump(2));
  return proved ? kExitOk : kExitNo;
}

}  // namespace

int compile(const CompileOptions& options) {
  auto result = options.target == "nfp" ? compile_for_nfp(options) : compile_object(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
