// SPDX-License-Identifier: Apache-2.0
// Our verifier beside the kernel's on random and damaged programs.
//
//   diff_soundness [--programs N] [--packets M] [--seed S] [--only I] [--regressions FOLDER] [--save FOLDER]
//                  [--objects FILE|FOLDER]...
//
// Every program goes through the card's bpf(2) door. What our verifier accepts is run by the interpreter in checked
// mode: an access outside memory that the program may touch, or anything outside the facts, is a hole in the verifier
// and fails the test. A second run, with the register halves changed that the facts call dead, must end like the first.
// ELF objects are checked in the same way. With root, acceptance is compared with the kernel's and tabulated by reason.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "arch/ebpf/print.hpp"
#include "case_file.hpp"
#include "compare.hpp"
#include "device/object.hpp"
#include "door.hpp"
#include "exec/interp/interp.hpp"
#include "exec/kernel/kernel.hpp"
#include "random_program.hpp"
#include "reason.hpp"

namespace xnic::tests {
namespace {

struct Arguments {
  uint64_t programs = 2000;
  uint64_t packets = 4;
  uint64_t seed = 1;
  std::optional<uint64_t> only;
  std::string regressions;  // cases that both verifiers accept, and that once showed a hole or a difference
  std::string save = ".";
  std::vector<std::string> objects;
};

struct Reasons {
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_text;  // count, number of the first program
  uint64_t total = 0;

  void add(const std::string& text, uint64_t number) {
    ++total;
    auto& [count, first] = by_text.try_emplace(text, 0, number).first->second;
    ++count;
  }
  void print() const {
    std::vector<std::pair<uint64_t, std::string>> sorted;
    for (const auto& [text, entry] : by_text)
      sorted.emplace_back(entry.first, fmt::format("{} (first: program {})", text, entry.second));
    std::sort(sorted.rbegin(), sorted.rend());
    for (const auto& [count, text] : sorted) fmt::print("  {:6} {}\n", count, text);
  }
};

struct Totals {
  uint64_t both_accept = 0;
  uint64_t both_reject = 0;
  Reasons only_ours;         // by the kernel's reason
  Reasons only_ours_dead;    // at an instruction that our facts say is never reached
  Reasons only_kernel;       // by ours
  Reasons only_kernel_dead;  // at an instruction that the kernel finds never reached
  uint64_t accepted = 0;
  uint64_t packets = 0;
  uint64_t out_of_budget = 0;
  uint64_t violations = 0;
};

struct CheckedRun {
  std::string violation;  // empty: none
  std::vector<uint32_t> verdicts;
  std::vector<std::vector<uint8_t>> frames;
};

CheckedRun run_checked(const std::shared_ptr<const exec::LoadedProgram>& program, std::span<const RandomPacket> packets,
                       bool scramble, Totals& totals) {
  exec::interp::InterpOptions options;
  options.checked = true;
  options.check_facts = !scramble;
  options.scramble_dead_halves = scramble;
  options.budget = 1 << 22;
  exec::interp::Interp interp(options);
  CheckedRun result;
  if (const auto loaded = interp.load(program); !loaded) return {loaded.error().message(), {}, {}};
  const base::ManualClock clock(1'000'000);
  uint64_t random_state = 1;
  exec::RunContext context;
  context.clock = &clock;
  context.random_state = &random_state;
  for (const RandomPacket& random : packets) {
    exec::packet::Packet packet = random.packet();
    packet.ingress_ifindex = 1;
    exec::Verdict verdict;
    const auto run = interp.run({&packet, 1}, {&verdict, 1}, context);
    ++totals.packets;
    if (!run) result.violation = run.error().message();
    if (const auto& violation = interp.violation())
      result.violation = fmt::format("insn {}: {}", violation->slot, violation->what);
    if (interp.out_of_budget() != 0) ++totals.out_of_budget;
    if (!result.violation.empty() || interp.out_of_budget() != 0) break;
    result.verdicts.push_back(verdict.code);
    result.frames.push_back(packet.bytes());
  }
  return result;
}

using Loader = std::function<std::shared_ptr<const exec::LoadedProgram>()>;  // from equal maps each time; null: refused

// Runs the accepted program twice; the text says what was violated, or is empty.
std::string run_twice(const Loader& load, std::span<const RandomPacket> packets, Totals& totals) {
  const auto first = load(), second = load();
  if (!first || !second) return "accepted, but refused when it was loaded again";
  const CheckedRun plain = run_checked(first, packets, false, totals);
  if (!plain.violation.empty()) return plain.violation;
  const CheckedRun scrambled = run_checked(second, packets, true, totals);
  if (!scrambled.violation.empty()) return "with dead halves changed: " + scrambled.violation;
  const auto equal = [&](const CheckedRun& other) {
    return plain.verdicts == other.verdicts && plain.frames == other.frames;
  };
  if (equal(scrambled)) return {};
  // Damaged programs may show addresses, which differ from load to load: then another plain run differs as well. The
  // others stay loaded meanwhile, so that it does not get their memory.
  const auto third = load();
  if (third && !equal(run_checked(third, packets, false, totals))) return {};
  return "another result when the register halves that the facts call dead are changed";
}

// The kernel's answer; nothing without root.
struct KernelAnswer {
  bool accepts;
  std::string reason;
};
std::optional<KernelAnswer> ask_kernel(const std::shared_ptr<const arch::ebpf::Program>& program, uint64_t seed) {
  if (geteuid() != 0) return std::nullopt;
  exec::kernel::Kernel kernel;
  const auto loaded = kernel.load(load_with_maps(program, seed));
  if (loaded) return KernelAnswer{true, ""};
  return KernelAnswer{false, loaded.error().message()};
}

// The instruction at which a verifier's log ends: the number in the last line that begins with `before` and a number
// and goes on with `after`.
std::optional<size_t> last_slot(const std::string& log, const std::string& before, const std::string& after) {
  std::optional<size_t> found;
  for (size_t at = 0; at < log.size(); at = std::min(log.find('\n', at), log.size() - 1) + 1) {
    if (log.compare(at, before.size(), before) != 0) continue;
    size_t end = at + before.size();
    while (end < log.size() && log[end] >= '0' && log[end] <= '9') ++end;
    if (end == at + before.size() || log.compare(end, after.size(), after) != 0) continue;
    found = std::stoul(log.substr(at + before.size(), end - at - before.size()));
  }
  return found;
}

bool dead_for_us(const exec::LoadedProgram& accepted, const std::string& kernel_log) {
  const auto slot = last_slot(kernel_log, "", ": (");
  const auto& insns = accepted.facts->insns;
  return slot && *slot < insns.size() && !insns[*slot].reached;
}

// Whether the kernel accepts the program as well when the instruction that we refuse writes to r10, which no verifier
// lets pass on a path that it walks.
bool dead_for_kernel(const Case& value, const std::string& our_log) {
  const auto by_walk = last_slot(our_log, "insn ", ":");
  const auto slot = by_walk ? by_walk : last_slot(our_log, "insn ", " (opcode");
  std::vector<arch::ebpf::RawInsn> raw = value.program->raw;
  if (!slot || *slot >= raw.size()) return false;
  const bool wide = raw[*slot].opcode == 0x18 && *slot + 1 < raw.size();
  raw[*slot] = {0xb7, 10, 0, 0, 0};               // r10 = 0
  if (wide) raw[*slot + 1] = {0x05, 0, 0, 0, 0};  // goto +0
  const auto answer = ask_kernel(from_raw(*value.program, std::move(raw)), value.contents_seed);
  return answer && answer->accepts;
}

void count_answers(const Case& value, const DoorResult& ours, const KernelAnswer& kernel, uint64_t number,
                   Totals& totals) {
  const bool accepted = ours.loaded != nullptr;
  if (accepted && kernel.accepts) ++totals.both_accept;
  if (!accepted && !kernel.accepts) ++totals.both_reject;
  if (accepted && !kernel.accepts)
    (dead_for_us(*ours.loaded, kernel.reason) ? totals.only_ours_dead : totals.only_ours)
        .add(reason_of(kernel.reason), number);
  if (!accepted && kernel.accepts)
    (dead_for_kernel(value, ours.log) ? totals.only_kernel_dead : totals.only_kernel).add(reason_of(ours.log), number);
}

Case make_case(const Arguments& arguments, uint64_t number) {
  const uint64_t seed = arguments.seed * 0x9e3779b97f4a7c15u + number;
  base::Rng rng(seed);
  Case value;
  value.contents_seed = rng.next();
  for (uint64_t i = 0; i < arguments.packets; ++i) value.packets.push_back(random_packet(rng));
  GeneratorOptions options;
  options.max_statements = uint32_t(rng.range(3, 40));
  value.program = random_program(seed, options);
  if (rng.chance(3, 4)) value.program = mutate(rng, *value.program);
  return value;
}

void one(Door& door, const Arguments& arguments, uint64_t number, Totals& totals) {
  const Case value = make_case(arguments, number);
  const DoorResult ours = door.load(*value.program, value.contents_seed);
  const auto kernel = ask_kernel(value.program, value.contents_seed);
  if (arguments.only) {
    if (!value.program->insns.empty()) fmt::print("{}\n", arch::ebpf::listing(*value.program));
    fmt::print("ours: {}\n{}\n", ours.loaded ? "accepted" : "refused", ours.log);
    if (kernel) fmt::print("kernel: {}\n{}\n", kernel->accepts ? "accepted" : "refused", kernel->reason);
  }
  if (kernel) count_answers(value, ours, *kernel, number, totals);
  if (!ours.loaded) return;
  ++totals.accepted;
  const std::string violation =
      run_twice([&] { return door.load(*value.program, value.contents_seed).loaded; }, value.packets, totals);
  if (violation.empty()) return;
  ++totals.violations;
  fmt::print("VIOLATION: seed {} program {}: {}\n{}\n", arguments.seed, number, violation,
             arch::ebpf::listing(*value.program));
  if (kernel) fmt::print("the kernel {} it\n", kernel->accepts ? "accepts" : "refuses");
  const std::string path = fmt::format("{}/violation-{}-{}.case", arguments.save, arguments.seed, number);
  std::ofstream(path) << to_text(value);
  fmt::print("kept as {}\n", path);
}

// What is wrong with a regression case, or nothing.
std::string regression(Door& door, const std::string& path, Totals& totals) {
  const auto value = read_case(path);
  if (!value) return value.error().message();
  const DoorResult ours = door.load(*value->program, value->contents_seed);
  if (!ours.loaded) return "we refuse it: " + ours.log;
  const auto kernel = ask_kernel(value->program, value->contents_seed);
  if (kernel && !kernel->accepts) return kernel->reason;
  return run_twice([&] { return door.load(*value->program, value->contents_seed).loaded; }, value->packets, totals);
}

// Returns how many failed.
uint64_t run_regressions(Door& door, const std::string& folder, Totals& totals) {
  uint64_t cases = 0, failed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".case") continue;
    ++cases;
    const std::string wrong = regression(door, entry.path(), totals);
    if (wrong.empty()) continue;
    ++failed;
    fmt::print("REGRESSION: {}: {}\n", entry.path().filename().string(), wrong);
  }
  fmt::print("{} regressions, {} failed\n", cases, failed);
  return failed + (cases == 0 ? 1 : 0);
}

// Every program of an object over random packets. Returns whether something was violated.
bool check_object(const std::string& path, uint64_t seed, Totals& totals) {
  device::Device device;
  device::install_device(&device);
  base::Rng rng(seed);
  std::vector<RandomPacket> packets;
  for (int i = 0; i < 200; ++i) packets.push_back(random_packet(rng));
  std::vector<device::Object> loaded;  // as long as the runs last
  size_t programs = 1;
  bool failed = false;
  for (size_t i = 0; i < programs && !failed; ++i) {
    std::string refusal;
    const auto load = [&]() -> std::shared_ptr<const exec::LoadedProgram> {
      auto object = device::Object::load(device, path);
      if (!object) refusal = object.error().message();
      if (!object) return nullptr;
      loaded.push_back(std::move(*object));
      programs = loaded.back().programs().size();
      return loaded.back().programs()[i].loaded;
    };
    const std::string violation = run_twice(load, packets, totals);
    const bool of_other_types = refusal.find("no XDP program") != std::string::npos;
    failed = !violation.empty() && !of_other_types;
    if (!violation.empty()) fmt::print("{}: {} {}\n", path, violation, refusal);
    if (of_other_types) break;
  }
  device::install_device(nullptr);
  return failed;
}

int check_objects(const Arguments& arguments) {
  std::vector<std::string> paths;
  for (const std::string& object : arguments.objects) {
    if (!std::filesystem::is_directory(object)) {
      paths.push_back(object);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(object))
      if (entry.is_regular_file() && entry.path().extension() == ".o") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Totals totals;
  uint64_t failed = 0;
  for (const std::string& path : paths) failed += check_object(path, arguments.seed, totals);
  fmt::print("{} objects, {} packets checked, {} objects with violations\n", paths.size(), totals.packets, failed);
  return failed == 0 && !paths.empty() ? 0 : 1;
}

int run(const Arguments& arguments) {
  if (!arguments.objects.empty()) return check_objects(arguments);
  Door door;
  Totals totals;
  const uint64_t failed = arguments.regressions.empty() ? 0 : run_regressions(door, arguments.regressions, totals);
  const uint64_t first = arguments.only.value_or(0);
  const uint64_t end = arguments.only ? first + 1 : arguments.programs;
  constexpr uint64_t kEnough = 10;
  uint64_t number = first;
  for (; number < end && totals.violations < kEnough; ++number) one(door, arguments, number, totals);
  fmt::print("{} programs, {} accepted by our verifier, {} packets run and checked, {} violations\n", number - first,
             totals.accepted, totals.packets, totals.violations);
  if (totals.out_of_budget != 0) fmt::print("{} programs stopped after 4 million instructions\n", totals.out_of_budget);
  if (geteuid() != 0) {
    fmt::print("not compared with the live kernel's verifier: that needs root\n");
  } else {
    fmt::print("both accept {}, both reject {}\n", totals.both_accept, totals.both_reject);
    fmt::print("we accept, the kernel rejects: {}\n", totals.only_ours.total);
    totals.only_ours.print();
    fmt::print("we accept, the kernel rejects at an instruction that we prove dead: {}\n", totals.only_ours_dead.total);
    totals.only_ours_dead.print();
    fmt::print("we reject, the kernel accepts: {}\n", totals.only_kernel.total);
    totals.only_kernel.print();
    fmt::print("we reject, the kernel accepts, at an instruction that it proves dead: {}\n",
               totals.only_kernel_dead.total);
    totals.only_kernel_dead.print();
  }
  return totals.violations + failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  xnic::tests::Arguments arguments;
  CLI::App app{"Random and mutated programs, or objects: no accepted program may break what its facts claim."};
  app.add_option("--programs", arguments.programs, "Programs to make")->capture_default_str();
  app.add_option("--packets", arguments.packets, "Packets for each")->capture_default_str();
  app.add_option("--seed", arguments.seed, "Seed of programs and packets")->capture_default_str();
  app.add_option("--only", arguments.only, "Number of the one program to make");
  app.add_option("--regressions", arguments.regressions, "Folder of cases to run first");
  app.add_option("--objects", arguments.objects,
                 "Object files, or folders of them, to check instead of random programs");
  app.add_option("--save", arguments.save, "Folder for the cases that break them")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return xnic::tests::run(arguments);
}
