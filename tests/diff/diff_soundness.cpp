// SPDX-License-Identifier: Apache-2.0
// Our verifier beside the kernel's on random and damaged programs.
//
//   diff_soundness [--programs N] [--packets M] [--seed S] [--only I] [--save FOLDER]
//
// Every program goes through the card's bpf(2) door. What our verifier accepts is run by the interpreter in checked
// mode: an access outside memory that the program may touch, or a register outside its facts, is a hole in the verifier
// and fails the test. With root, acceptance is compared with the kernel's and tabulated by reason.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "arch/ebpf/print.hpp"
#include "case_file.hpp"
#include "compare.hpp"
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
  std::string save = ".";
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
  Reasons only_ours;    // by the kernel's reason
  Reasons only_kernel;  // by ours
  uint64_t accepted = 0;
  uint64_t packets = 0;
  uint64_t out_of_budget = 0;
  uint64_t violations = 0;
};

// Runs the accepted program; the text says what was violated, or is empty.
std::string run_checked(const DoorResult& accepted, const Case& value, Totals& totals) {
  exec::interp::InterpOptions options;
  options.checked = true;
  options.check_facts = true;
  options.budget = 1 << 22;
  exec::interp::Interp interp(options);
  if (const auto loaded = interp.load(accepted.loaded); !loaded) return loaded.error().message();
  const base::SystemClock clock;
  uint64_t random_state = 1;
  exec::RunContext context;
  context.clock = &clock;
  context.random_state = &random_state;
  for (const RandomPacket& random : value.packets) {
    exec::packet::Packet packet = random.packet();
    exec::Verdict verdict;
    const auto run = interp.run({&packet, 1}, {&verdict, 1}, context);
    ++totals.packets;
    if (!run) return run.error().message();
    if (const auto& violation = interp.violation()) return fmt::format("insn {}: {}", violation->slot, violation->what);
    if (interp.out_of_budget() != 0) {
      ++totals.out_of_budget;
      break;
    }
  }
  return {};
}

// The kernel's answer; nothing without root.
struct KernelAnswer {
  bool accepts;
  std::string reason;
};
std::optional<KernelAnswer> ask_kernel(const Case& value) {
  if (geteuid() != 0) return std::nullopt;
  exec::kernel::Kernel kernel;
  const auto loaded = kernel.load(load_with_maps(value.program, value.contents_seed));
  if (loaded) return KernelAnswer{true, ""};
  return KernelAnswer{false, loaded.error().message()};
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
  const auto kernel = ask_kernel(value);
  if (arguments.only) {
    if (!value.program->insns.empty()) fmt::print("{}\n", arch::ebpf::listing(*value.program));
    fmt::print("ours: {}\n{}\n", ours.loaded ? "accepted" : "refused", ours.log);
    if (kernel) fmt::print("kernel: {}\n{}\n", kernel->accepts ? "accepted" : "refused", kernel->reason);
  }
  if (kernel) {
    const bool accepted = ours.loaded != nullptr;
    if (accepted && kernel->accepts) ++totals.both_accept;
    if (!accepted && !kernel->accepts) ++totals.both_reject;
    if (accepted && !kernel->accepts) totals.only_ours.add(reason_of(kernel->reason), number);
    if (!accepted && kernel->accepts) totals.only_kernel.add(reason_of(ours.log), number);
  }
  if (!ours.loaded) return;
  ++totals.accepted;
  const std::string violation = run_checked(ours, value, totals);
  if (violation.empty()) return;
  ++totals.violations;
  fmt::print("VIOLATION: seed {} program {}: {}\n{}\n", arguments.seed, number, violation,
             arch::ebpf::listing(*value.program));
  if (kernel) fmt::print("the kernel {} it\n", kernel->accepts ? "accepts" : "refuses");
  const std::string path = fmt::format("{}/violation-{}-{}.case", arguments.save, arguments.seed, number);
  std::ofstream(path) << to_text(value);
  fmt::print("kept as {}\n", path);
}

int run(const Arguments& arguments) {
  Door door;
  Totals totals;
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
    fmt::print("we reject, the kernel accepts: {}\n", totals.only_kernel.total);
    totals.only_kernel.print();
  }
  return totals.violations == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  xnic::tests::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = argv[i + 1];
    if (name == "--programs")
      arguments.programs = std::stoull(value);
    else if (name == "--packets")
      arguments.packets = std::stoull(value);
    else if (name == "--seed")
      arguments.seed = std::stoull(value);
    else if (name == "--only")
      arguments.only = std::stoull(value);
    else if (name == "--save")
      arguments.save = value;
    else
      return fmt::print(stderr, "diff_soundness: unknown option {}\n", name), 2;
  }
  return xnic::tests::run(arguments);
}
