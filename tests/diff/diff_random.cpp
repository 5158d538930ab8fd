// SPDX-License-Identifier: Apache-2.0
// Random programs and packets on the interpreter and on another engine, the live kernel if not said: equal verdicts,
// bytes and maps, or a report.
//
//   diff_random [--engine E] [--programs N] [--packets M] [--seed S] [--only I] [--regressions FOLDER] [--save FOLDER]
//   diff_random --kernel-errs FOLDER
//
// Program number I of seed S depends on S and I alone, so --only I repeats it. A difference is reduced and written to
// the --save folder as a case file, which belongs into regressions/ once it is understood. --kernel-errs runs cases on
// which the kernel is known to be wrong: each must differ still, so that the generator's way around it stays needed.
#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "arch/ebpf/print.hpp"
#include "case_file.hpp"
#include "compare.hpp"
#include "device/native_images.hpp"
#include "random_program.hpp"
#include "reason.hpp"

namespace xnic::tests {
namespace {

struct Arguments {
  uint64_t programs = 2000;
  uint64_t packets = 8;
  uint64_t seed = 1;
  std::optional<uint64_t> only;
  std::string regressions;
  std::string kernel_errs;
  std::string save = ".";
  std::string engine = "kernel";
};

struct Totals {
  uint64_t programs = 0;
  uint64_t refused = 0;
  uint64_t packets = 0;
  uint64_t different = 0;
  std::map<std::string, uint64_t> reasons;  // of refusals
};

// Everything about program number `number` of a seed.
struct RandomCase {
  uint64_t seed;
  GeneratorOptions options;
  std::vector<uint64_t> statements;
  Case value;
  std::string engine;

  RandomCase(const Arguments& arguments, uint64_t number)
      : seed(arguments.seed * 0x9e3779b97f4a7c15u + number), engine(arguments.engine) {
    base::Rng rng(seed);
    value.contents_seed = rng.next();
    for (uint64_t i = 0; i < arguments.packets; ++i) value.packets.push_back(random_packet(rng));
    generate();
  }
  void generate() {
    const auto program = random_program(seed, options, &statements);
    value.program = from_raw(*program, program->raw);  // through the wire form, as programs come in
  }
  bool differs() const {
    const Comparison result = compare(value.program, value.packets, value.contents_seed, engine);
    return result.accepted && !result.difference.empty();
  }
};

// The same difference with fewer packets and statements.
RandomCase reduce(RandomCase value) {
  for (size_t i = value.value.packets.size(); i-- > 0 && value.value.packets.size() > 1;) {
    RandomCase smaller = value;
    smaller.value.packets.erase(smaller.value.packets.begin() + std::ptrdiff_t(i));
    if (smaller.differs()) value = std::move(smaller);
  }
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<uint64_t> statements = value.statements;
    for (uint64_t statement : statements) {
      RandomCase smaller = value;
      smaller.options.left_out.insert(statement);
      smaller.generate();
      if (!smaller.differs()) continue;
      value = std::move(smaller);
      changed = true;
    }
  }
  return value;
}

void report(const Case& value, const std::string& origin, const std::string& difference) {
  fmt::print("DIFFERENT: {}\n{}{}", origin, difference, arch::ebpf::listing(*value.program));
  for (const RandomPacket& packet : value.packets)
    fmt::print("packet of {} bytes, metadata [{}]: {}\n", packet.frame.size(), hex(packet.metadata),
               hex(base::Bytes(packet.frame).first(std::min<size_t>(packet.frame.size(), 128))));
}

// Runs and counts the case; returns true when it differs.
bool one(const Case& value, const std::string& engine, const std::string& origin, bool verbose, Totals& totals) {
  const Comparison result = compare(value.program, value.packets, value.contents_seed, engine);
  ++totals.programs;
  totals.packets += result.packets;
  if (!result.accepted) {
    ++totals.refused;
    ++totals.reasons[reason_of(result.refusal)];
    if (verbose) fmt::print("{}\n", result.refusal);
  }
  if (verbose) fmt::print("{}\n", arch::ebpf::listing(*value.program));
  if (result.difference.empty()) return false;
  ++totals.different;
  report(value, origin, result.difference);
  return true;
}

void one_random(const Arguments& arguments, uint64_t number, Totals& totals) {
  const RandomCase random(arguments, number);
  const std::string origin = fmt::format("seed {} program {}", arguments.seed, number);
  if (!one(random.value, random.engine, origin, arguments.only.has_value(), totals)) return;
  const RandomCase reduced = reduce(random);
  const Comparison again =
      compare(reduced.value.program, reduced.value.packets, reduced.value.contents_seed, reduced.engine);
  report(reduced.value, origin + ", reduced", again.difference);
  const std::string path = fmt::format("{}/different-{}-{}.case", arguments.save, arguments.seed, number);
  std::ofstream(path) << to_text(reduced.value);
  fmt::print("kept as {}\n", path);
}

constexpr int kSkipped = 77;  // CTest's SKIP_RETURN_CODE

int run_kernel_errs(const std::string& folder) {
  utsname system{};
  uname(&system);
  if (!std::string(system.release).starts_with("6.18.")) {
    fmt::print("skipped: the errors are those of Linux 6.18, this is {}\n", system.release);
    return kSkipped;
  }
  uint64_t cases = 0, agreed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".case") continue;
    const std::string name = entry.path().stem().string();
    const auto value = read_case(entry.path());
    if (!value) return fmt::print("{}\n", value.error().message()), 1;
    const Comparison result = compare(value->program, value->packets, value->contents_seed);
    ++cases;
    if (result.accepted && !result.difference.empty()) {
      fmt::print("{}: differs, as expected: {}", name, result.difference);
      continue;
    }
    ++agreed;
    fmt::print("{}: the kernel {}: the case belongs into regressions/ and the generator need not avoid it\n", name,
               result.accepted ? "agrees now" : "refuses the program now: " + result.refusal);
  }
  fmt::print("{} known errors of the kernel, {} gone\n", cases, agreed);
  return agreed == 0 && cases != 0 ? 0 : 1;
}

int run(const Arguments& arguments) {
  if (arguments.engine == "kernel" && geteuid() != 0) {
    fmt::print("skipped: comparing with the live kernel needs root\n");
    return kSkipped;
  }
  if (!arguments.kernel_errs.empty()) return run_kernel_errs(arguments.kernel_errs);
  Totals totals;
  if (!arguments.regressions.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator(arguments.regressions)) {
      if (entry.path().extension() != ".case") continue;
      const auto value = read_case(entry.path());
      if (!value) {
        fmt::print("{}\n", value.error().message());
        return 1;
      }
      one(*value, arguments.engine, "regression " + entry.path().stem().string(), false, totals);
      if (totals.refused != 0) {
        fmt::print("{} is refused\n", entry.path().string());
        return 1;
      }
    }
    fmt::print("{} regressions, {} different\n", totals.programs, totals.different);
  }
  const uint64_t first = arguments.only.value_or(0);
  const uint64_t end = arguments.only ? first + 1 : arguments.programs;
  constexpr uint64_t kEnough = 5;  // differences; each is reduced, which takes time
  for (uint64_t number = first; number < end && totals.different < kEnough; ++number)
    one_random(arguments, number, totals);

  fmt::print("{} programs, {} packets compared, {} different\n", totals.programs, totals.packets, totals.different);
  fmt::print("{} programs refused\n", totals.refused);
  for (const auto& [reason, count] : totals.reasons) fmt::print("  {:6} {}\n", count, reason);
  if (totals.refused * 10 > totals.programs && !arguments.only) {
    fmt::print("more than a tenth refused: the generator is broken\n");
    return 1;
  }
  return totals.different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  xnic::tests::Arguments arguments;
  CLI::App app{"Random programs and packets on the interpreter and on another engine."};
  app.add_option("--engine", arguments.engine, "The other engine")
      ->check(CLI::IsMember({"kernel", "native"}))
      ->capture_default_str();
  app.add_option("--programs", arguments.programs, "Programs to make")->capture_default_str();
  app.add_option("--packets", arguments.packets, "Packets for each")->capture_default_str();
  app.add_option("--seed", arguments.seed, "Seed of programs and packets")->capture_default_str();
  app.add_option("--only", arguments.only, "Number of the one program to make");
  app.add_option("--regressions", arguments.regressions, "Folder of cases to run first");
  app.add_option("--kernel-errs", arguments.kernel_errs,
                 "Folder of cases on which the kernel is known to be wrong: run these alone");
  app.add_option("--save", arguments.save, "Folder for the cases that differ")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  xnic::device::install_native();
  return xnic::tests::run(arguments);
}
