// SPDX-License-Identifier: Apache-2.0
// prove_programs [--direct] [--off PASS]... [--lanes N] [--timeout MS] [--mode regions|full] [--listing]
// [--undecided NAME]... OBJECT...: for every program of the objects, its image for the hXDP core (--direct: operation
// by operation, without the compiler) and what the prover says of it. Exits with 1 when one is refuted, or not decided
// and not among those named. A program's name has the object's folder before it when that is a cpu version: v2/xdp1.
#include <fmt/core.h>

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "arch/hxdp/text.hpp"
#include "compile/pipeline.hpp"
#include "compile/prove/prove.hpp"
#include "device/device.hpp"
#include "device/object.hpp"
#include "unit/compile/prove/direct.hpp"

namespace xnic::compile::prove {
namespace {

constexpr const char* kStatus[] = {"proved", "REFUTED", "undecided"};

struct Job {
  ProveOptions prove{};
  HxdpOptions compile{};
  bool direct = false;
  bool listing = false;
  std::set<std::string> undecided{};  // names of those that may be
};

base::Result<arch::hxdp::Image> image_of(const device::ProgramReport& program, const Job& job) {
  if (job.direct) return testing::direct(*program.program, *program.facts);
  return compile_hxdp(*program.program, *program.facts, job.compile);
}

bool prove_one(const std::string& name, const device::ProgramReport& program, const Job& job) {
  if (!program.accepted) {
    fmt::print("{:24} not accepted\n", name);
    return false;
  }
  auto image = image_of(program, job);
  if (!image) {
    fmt::print("{:24} {}\n", name, image.error().message());
    return false;
  }
  if (job.listing) fmt::print("{}", arch::hxdp::listing(*image, true));
  const ProofReport report = prove(*program.program, *program.facts, *image, job.prove);
  fmt::print("{:24} {:5} {:5} {:9} {:8} {:7} {:9} {:7}\n", name, program.program->insns.size(), image->rows.size(),
             kStatus[int(report.status)], report.regions.size(), report.states, report.solver_checks, report.time_ms);
  if (report.status != ProofStatus::kProved) fmt::print("{}\n", report.summary());
  if (report.status == ProofStatus::kProved && job.undecided.contains(name))
    fmt::print("{} is proved now: it need no longer be named as undecided\n", name);
  std::fflush(stdout);
  return report.status == ProofStatus::kProved ||
         (report.status == ProofStatus::kUndecided && job.undecided.contains(name));
}

// Takes the option at argv[i] into `job`; false if it is none.
bool option(Job& job, int argc, char** argv, int& i) {
  const std::string_view word = argv[i];
  if (word == "--direct") return job.direct = true;
  if (word == "--listing") return job.listing = true;
  if (i + 1 >= argc) return false;
  if (word == "--timeout") return job.prove.timeout_ms = uint32_t(std::stoul(argv[++i])), true;
  if (word == "--lanes") return job.compile.parameters.lanes = uint32_t(std::stoul(argv[++i])), true;
  if (word == "--undecided") return job.undecided.insert(argv[++i]), true;
  if (word == "--off") return job.compile.off.emplace_back(argv[++i]), true;
  if (word != "--mode") return false;
  job.prove.mode = std::string_view(argv[++i]) == "regions" ? ProofMode::kRegions : ProofMode::kFull;
  return true;
}

int run(int argc, char** argv) {
  bool all = true;
  Job job;
  job.compile.parameters.rows = arch::hxdp::kMaxRows;
  fmt::print("{:24} {:>5} {:>5} {:9} {:>8} {:>7} {:>9} {:>7}\n", "program", "slots", "rows", "status", "regions",
             "states", "questions", "ms");
  for (int i = 1; i < argc; i++) {
    if (option(job, argc, argv, i)) continue;
    device::Device device;
    const auto reports = device::Object::check(device, argv[i]);
    if (!reports) {
      fmt::print("{}: {}\n", argv[i], reports.error().message());
      all = false;
      continue;
    }
    for (const auto& program : *reports) {
      const std::filesystem::path path = argv[i];
      const std::string folder = path.parent_path().filename(), name = path.stem().stem();
      const bool version = folder.size() == 2 && folder[0] == 'v';
      const std::string file = version ? folder + "/" + name : name;
      all &= prove_one(reports->size() == 1 ? file : file + ":" + program.name, program, job);
    }
  }
  return all ? 0 : 1;
}

}  // namespace
}  // namespace xnic::compile::prove

int main(int argc, char** argv) { return xnic::compile::prove::run(argc, argv); }
