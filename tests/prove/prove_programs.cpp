// SPDX-License-Identifier: Apache-2.0
// prove_programs [--timeout MS] [--mode regions|full] OBJECT...: for every program of the objects, its direct
// translation and what the prover says of it. Exits with 1 when one is not proved.
#include <fmt/core.h>

#include <cstring>
#include <filesystem>

#include "compile/prove/prove.hpp"
#include "device/device.hpp"
#include "device/object.hpp"
#include "unit/compile/prove/direct.hpp"

namespace xnic::compile::prove {
namespace {

constexpr const char* kStatus[] = {"proved", "REFUTED", "undecided"};

bool prove_one(const std::string& name, const device::ProgramReport& program, const ProveOptions& options) {
  if (!program.accepted) {
    fmt::print("{:22} not accepted\n", name);
    return false;
  }
  auto image = testing::direct(*program.program, *program.facts);
  if (!image) {
    fmt::print("{:22} {}\n", name, image.error().message());
    return false;
  }
  const ProofReport report = prove(*program.program, *program.facts, *image, options);
  fmt::print("{:22} {:5} {:5} {:9} {:8} {:7} {:9} {:7}\n", name, program.program->insns.size(), image->rows.size(),
             kStatus[int(report.status)], report.regions.size(), report.states, report.solver_checks, report.time_ms);
  if (report.status != ProofStatus::kProved) fmt::print("{}\n", report.summary());
  std::fflush(stdout);
  return report.status == ProofStatus::kProved;
}

int run(int argc, char** argv) {
  bool all = true;
  ProveOptions options;
  fmt::print("{:22} {:>5} {:>5} {:9} {:>8} {:>7} {:>9} {:>7}\n", "program", "slots", "rows", "status", "regions",
             "states", "questions", "ms");
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--timeout") == 0 && i + 1 < argc) {
      options.timeout_ms = uint32_t(std::stoul(argv[++i]));
      continue;
    }
    if (std::strcmp(argv[i], "--mode") == 0 && i + 1 < argc) {
      options.mode = std::strcmp(argv[++i], "regions") == 0 ? ProofMode::kRegions : ProofMode::kFull;
      continue;
    }
    device::Device device;
    const auto reports = device::Object::check(device, argv[i]);
    if (!reports) {
      fmt::print("{}: {}\n", argv[i], reports.error().message());
      all = false;
      continue;
    }
    for (const auto& program : *reports) {
      const std::string file = std::filesystem::path(argv[i]).stem().stem();
      all &= prove_one(reports->size() == 1 ? file : file + ":" + program.name, program, options);
    }
  }
  return all ? 0 : 1;
}

}  // namespace
}  // namespace xnic::compile::prove

int main(int argc, char** argv) { return xnic::compile::prove::run(argc, argv); }
