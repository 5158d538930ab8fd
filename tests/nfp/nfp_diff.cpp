// SPDX-License-Identifier: Apache-2.0
// The NFP card and the interpreter on random programs and packets: verdicts, bytes and maps are equal.
//
//   nfp_diff [--programs N] [--packets M] [--seed S] [--only I] [--statements K] [--generator card|diff]
//            [--off PASS]... [--each] [--real CASES_DIR PROGRAMS_DIR]
//
// Programs of `card` are written within the card's rules; those of `diff` are tests/diff's, of which the few are run
// that the offload verifier takes. Program I of a seed depends on both alone. With --each the packets are shared out to
// compilations with all passes, with each left out in turn, with the driver's alone and with none. With --real the
// programs are those of programs/ that the card takes, at every cpu version; the change-point programs must be among
// them, and fit.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <string>

#include "arch/ebpf/assemble.hpp"
#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/print.hpp"
#include "arch/nfp/image.hpp"
#include "card_program.hpp"
#include "compare.hpp"
#include "compile/target/nfp/compile.hpp"
#include "compile/target/nfp/offload.hpp"
#include "compile/verify/verify.hpp"
#include "device/nfp_images.hpp"
#include "frame_mix.hpp"
#include "random_program.hpp"
#include "subjects.hpp"

namespace xnic::tests {
namespace {

using arch::ebpf::Program;

struct Arguments {
  uint64_t programs = 1000;
  uint64_t packets = 8;
  uint64_t seed = 1;
  std::optional<uint64_t> only;
  unsigned statements = 24;
  std::string generator = "card";
  std::vector<std::string> off;
  bool each = false;
  std::vector<std::string> real;
};

using compile::target::nfp::PassSet;

struct Setting {
  std::string name;
  PassSet passes;
};

std::vector<Setting> settings_of(const Arguments& arguments) {
  using compile::target::nfp::kPasses;
  PassSet passes = PassSet::all();
  for (const std::string& name : arguments.off) passes.put(*compile::target::nfp::find_pass(name), false);
  std::vector<Setting> settings = {{"", passes}};
  if (!arguments.each) return settings;
  for (const auto& pass : kPasses) {
    settings.push_back({fmt::format(" without {}", pass.name), PassSet::all()});
    settings.back().passes.put(*compile::target::nfp::find_pass(pass.name), false);
  }
  settings.push_back({" with the driver's passes", PassSet::driver()});
  settings.push_back({" without passes", PassSet::none()});
  return settings;
}

struct Totals {
  uint64_t programs = 0, rejected = 0, refused = 0, packets = 0, different = 0;
  std::map<std::string, uint64_t> reasons;
};

class NothingFrozen final : public compile::verify::Environment {
 public:
  const uint8_t* frozen_value(arch::ebpf::MapIndex) const override { return nullptr; }
};

std::shared_ptr<const Program> from_text(const std::string& text) {
  const auto insns = arch::ebpf::assemble(text);
  if (!insns) {
    fmt::print("{}\n{}\n", text, insns.error().message());
    return nullptr;
  }
  auto program = std::make_shared<Program>();
  program->insns = *insns;
  program->raw = arch::ebpf::encode(*insns);
  program->maps = card_maps();
  program->gpl_compatible = true;
  std::vector<arch::ebpf::Slot> starts = {0};
  for (const arch::ebpf::Instruction& insn : *insns)
    if (const auto* call = std::get_if<arch::ebpf::CallLocal>(&insn)) starts.push_back(call->target);
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  for (size_t i = 0; i < starts.size(); ++i) {
    const auto end = i + 1 < starts.size() ? starts[i + 1] : static_cast<arch::ebpf::Slot>(insns->size());
    program->subprograms.push_back({starts[i], end, fmt::format("f{}", starts[i]), false});
  }
  return program;
}

std::shared_ptr<const Program> make_program(const Arguments& arguments, uint64_t seed) {
  if (arguments.generator == "card") return from_text(card_program(seed, 1 + seed % arguments.statements));
  GeneratorOptions options;
  options.max_statements = arguments.statements;
  auto program = std::make_shared<Program>(*random_program(seed, options));
  const bool uses_maps = std::any_of(program->insns.begin(), program->insns.end(), [](const auto& insn) {
    return std::holds_alternative<arch::ebpf::LoadMap>(insn) || std::holds_alternative<arch::ebpf::LoadMapValue>(insn);
  });
  if (!uses_maps) program->maps.clear();  // the card would refuse them
  return program;
}

// The card only shortens packets, and has less room before them: programs of tests/diff ask for more.
bool adjusts_freely(const Arguments& arguments, const Program& program) {
  return arguments.generator == "diff" && std::any_of(program.insns.begin(), program.insns.end(), [](const auto& insn) {
           const auto* call = std::get_if<arch::ebpf::CallHelper>(&insn);
           return call != nullptr && (call->id == 44 || call->id == 65);  // adjust_head, adjust_tail
         });
}

// False when the program is no use: our own verifier or the card's rules refuse it.
bool usable(const Program& program, Totals& totals) {
  const auto outcome = compile::verify::verify(program, NothingFrozen());
  if (!outcome.accepted) {
    ++totals.rejected;
    ++totals.reasons["verifier: " + outcome.rejection.reason];
    return false;
  }
  const auto refusals =
      compile::target::nfp::check_offload(program, outcome.facts, {arch::nfp::find_firmware("ebpf"), 1500});
  if (refusals.empty()) return true;
  ++totals.refused;
  ++totals.reasons["card: " + refusals.front().message];
  return false;
}

// Shares the packets out to the settings, and compares each with the interpreter.
void compare_settings(const Arguments& arguments, const std::string& name,
                      const std::shared_ptr<const Program>& program, const std::vector<RandomPacket>& packets,
                      uint64_t contents_seed, Totals& totals) {
  const std::vector<Setting> settings = settings_of(arguments);
  for (size_t i = 0; i < settings.size(); ++i) {
    std::vector<RandomPacket> share;
    for (size_t j = i; j < packets.size(); j += settings.size()) share.push_back(packets[j]);
    compile::target::nfp::CompileOptions options;
    options.passes = settings[i].passes;
    device::install_nfp(options);
    const Comparison result = compare(program, share, contents_seed, "nfp");
    totals.packets += result.packets;
    if (result.difference.empty()) continue;
    ++totals.different;
    fmt::print("{}{}: {}\n", name, settings[i].name, result.difference);
    return;
  }
}

void one(const Arguments& arguments, uint64_t number, Totals& totals) {
  const uint64_t seed = arguments.seed * 0x9e3779b97f4a7c15u + number;
  const auto program = make_program(arguments, seed);
  ++totals.programs;
  if (program == nullptr) {
    ++totals.different;
    return;
  }
  if (arguments.only) fmt::print("{}\n", arch::ebpf::listing(*program));
  if (!usable(*program, totals)) return;
  if (adjusts_freely(arguments, *program)) {
    ++totals.refused;
    ++totals.reasons["adjusts the packet without regard to the card's limits"];
    return;
  }
  if (arguments.only) {
    const auto outcome = compile::verify::verify(*program, NothingFrozen());
    compile::target::nfp::CompileOptions options;
    options.passes = settings_of(arguments).front().passes;
    const auto image = compile::target::nfp::compile(*program, outcome.facts, options);
    fmt::print("{}\n", image ? arch::nfp::listing(*image) : image.error().message());
  }
  base::Rng rng(seed);
  const uint64_t contents_seed = rng.next();
  std::vector<RandomPacket> packets;
  while (packets.size() < arguments.packets) {
    RandomPacket packet = random_packet(rng);
    if (packet.frame.size() > 1500) continue;
    packet.metadata.clear();  // the card has none
    while (packet.frame.size() < 64 && packets.size() % 4 != 0)
      packet.frame.push_back(static_cast<uint8_t>(rng.next()));
    packets.push_back(std::move(packet));
  }
  compare_settings(arguments, fmt::format("program {} of seed {}", number, arguments.seed), program, packets,
                   contents_seed, totals);
}

// Words that the change-point programs may have: estimates from the driver's rules.
uint64_t most_words(const std::string& label) {
  if (label.starts_with("changepoint_fixed")) return 352;
  return label.starts_with("changepoint_double") ? 1166 : 2560;
}

// The words of the program; 0, and a difference told, when they are too many.
void check_size(const std::string& label, const Program& program, const arch::ebpf::Facts& facts, Totals& totals) {
  size_t words[2] = {};
  for (const bool driver : {true, false}) {
    compile::target::nfp::CompileOptions options;
    if (driver) options.passes = PassSet::driver();
    const auto image = compile::target::nfp::compile(program, facts, options);
    words[driver ? 0 : 1] = image ? image->words.size() : 0;
  }
  fmt::print("{:<24} {:5} words by the driver's passes, {:5} by all\n", label, words[0], words[1]);
  for (const size_t count : words) {
    if (count != 0 && count <= most_words(label)) continue;
    ++totals.different;
    fmt::print("{}: more than {} words\n", label, most_words(label));
  }
}

void real_programs(const Arguments& arguments, Totals& totals) {
  device::Device device;
  device::install_device(&device);
  const size_t settings = settings_of(arguments).size();
  for (const Subject& subject : our_programs(arguments.real.at(0), arguments.real.at(1))) {
    const auto object = load(device, subject);
    ++totals.programs;
    if (!object || object->programs().size() != 1) {
      ++totals.different;
      fmt::print("{} cannot be loaded\n", subject.label);
      continue;
    }
    const auto& loaded = *object->programs().front().loaded;
    if (!usable(*loaded.program, totals)) {
      if (subject.label.starts_with("changepoint_fixed") || subject.label.starts_with("changepoint_double")) {
        ++totals.different;
        fmt::print("{} is refused\n", subject.label);
      }
      continue;
    }
    check_size(subject.label, *loaded.program, *loaded.facts, totals);
    FrameMix mix(arguments.seed);
    mix.add_samples(subject.packets);
    std::vector<RandomPacket> packets;
    while (packets.size() < arguments.packets * settings) {
      RandomPacket packet;
      mix.next(packet);
      packet.metadata.clear();  // the card has none
      if (packet.frame.size() <= 1500) packets.push_back(std::move(packet));
    }
    compare_settings(arguments, subject.label, loaded.program, packets, arguments.seed, totals);
  }
  device::install_device(nullptr);
}

int run(const Arguments& arguments) {
  Totals totals;
  if (!arguments.real.empty()) real_programs(arguments, totals);
  const uint64_t first = arguments.only.value_or(0);
  const uint64_t end = arguments.only ? first + 1 : arguments.real.empty() ? arguments.programs : 0;
  for (uint64_t number = first; number < end && totals.different < 5; ++number) one(arguments, number, totals);
  fmt::print("{} programs, {} packets compared, {} different; the verifier rejects {}, the card {}\n", totals.programs,
             totals.packets, totals.different, totals.rejected, totals.refused);
  for (const auto& [reason, count] : totals.reasons) fmt::print("  {:6} {}\n", count, reason);
  if (totals.packets == 0) return fmt::print("no program was run\n"), 1;
  if (arguments.real.empty() && arguments.generator == "card" &&
      (totals.rejected + totals.refused) * 2 > totals.programs)
    return fmt::print("more than a half refused: the generator is broken\n"), 1;
  return totals.different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  xnic::tests::Arguments arguments;
  CLI::App app{"Random programs and packets on the interpreter and on the NFP card."};
  app.add_option("--programs", arguments.programs, "Programs to make")->capture_default_str();
  app.add_option("--packets", arguments.packets, "Packets for each")->capture_default_str();
  app.add_option("--seed", arguments.seed, "Seed of programs and packets")->capture_default_str();
  app.add_option("--only", arguments.only, "Number of the one program to make; it is shown");
  app.add_option("--statements", arguments.statements, "Statements of a program, at most")->capture_default_str();
  app.add_option("--generator", arguments.generator, "Who writes the programs")
      ->check(CLI::IsMember({"card", "diff"}))
      ->capture_default_str();
  std::vector<std::string> names;
  for (const auto& pass : xnic::compile::target::nfp::kPasses) names.emplace_back(pass.name);
  app.add_option("--off", arguments.off, "A pass of the compiler to leave out")->check(CLI::IsMember(names));
  app.add_option("--real", arguments.real, "Cases and objects of programs/ instead of random programs")->expected(2);
  app.add_flag("--each", arguments.each, "Also with each pass left out in turn, the driver's alone, none");
  CLI11_PARSE(app, argc, argv);
  return xnic::tests::run(arguments);
}
