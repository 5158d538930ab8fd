// SPDX-License-Identifier: Apache-2.0
// `xnic compile`: from an object to the image of a card.
#include <cstdio>
#include <cstring>

#include "arch/hxdp/codec.hpp"
#include "arch/hxdp/text.hpp"
#include "compile/prove/prove.hpp"
#include "device/object.hpp"
#include "xnic/card.hpp"
#include "xnic/command.hpp"

namespace xnic::tools {
namespace {

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
}

// Says what the prover found, each region that is not proved with its source line. False when that is to fail: a
// refuted image always, an undecided one in mode full.
bool prove_image(const device::ProgramReport& report, const arch::hxdp::Image& image, const std::string& mode) {
  namespace prove = compile::prove;
  if (mode == "off") return true;
  const bool regions = mode == "regions";
  prove::ProveOptions options;
  options.mode = regions ? prove::ProofMode::kRegions : prove::ProofMode::kFull;
  if (regions) options.effort = 5'000'000, options.timeout_ms = 5'000, options.max_states = 2'000;
  const prove::ProofReport proof = prove::prove(*report.program, *report.facts, image, options);
  fmt::print("  {}\n", proof.summary());
  return proof.status == prove::ProofStatus::kProved || (regions && proof.status == prove::ProofStatus::kUndecided);
}

base::Result<int> compile_object(const CompileOptions& options) {
  XNIC_ASSIGN(const CardSettings settings, parse_card(options.card));
  device::Device device;
  device::LoadOptions load;
  load.program = options.program_name;
  XNIC_ASSIGN(const auto reports, device::Object::check(device, options.object, load));
  if (!options.output.empty() && reports.size() != 1)
    return base::make_error(base::ErrorKind::kBadInput, options.object,
                            "has {} programs: choose one with --program, an image holds one", reports.size());
  bool proved = true;
  for (const device::ProgramReport& report : reports) {
    if (!report.accepted) return base::Unexpected(*report.error);
    compile::HxdpStatistics statistics;
    XNIC_ASSIGN(const arch::hxdp::Image image,
                compile::compile_hxdp(*report.program, *report.facts, settings.compile, &statistics));
    print_summary(report, image, statistics);
    if (options.listing) fmt::print("{}", arch::hxdp::listing(image, true));
    if (!prove_image(report, image, options.prove)) {
      proved = false;
      continue;  // no image file of what is not shown to be right
    }
    if (!options.output.empty()) XNIC_TRY(write_file(options.output, arch::hxdp::to_bytes(image)));
  }
  return proved ? kExitOk : kExitNo;
}

}  // namespace

int compile(const CompileOptions& options) {
  auto result = compile_object(options);
  return result ? *result : report(result.error());
}

}  // namespace xnic::tools
