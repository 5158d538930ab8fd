// SPDX-License-Identifier: Apache-2.0
// The hXDP compiler and card against the interpreter.
//
//   hxdp_diff [OBJECT or FOLDER]… [--programs CASES_DIR PROGRAMS_DIR] [--installed] [--only TEXT]
//             [--random N [--random-settings K]] [--packets N] [--seed S] [--machine card|rows]
//             [--all | --lanes L --off PASS… --growth P] [--listing]
//
// Real programs: objects and folders as given, all of programs/ at each CPU version with the map contents of their
// cases, and what Debian's packages installed. --packets is the number for each setting over all real programs
// together; a random program gets 16. --all: lanes 1, 2, 4, 8 and forwarding within lanes, each with every pass on,
// each pass off in turn, all off, and with searched schedules; random programs K of these settings each, another K for
// every program. Verdict, redirect, packet, metadata and maps must be equal. Prints a table of the settings, and what
// was refused and why. Exit code 1 for a difference, an image that breaks a rule, or when nothing was compared.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "arch/ebpf/print.hpp"
#include "arch/hxdp/text.hpp"
#include "base/check.hpp"
#include "compare.hpp"
#include "compile/pipeline.hpp"
#include "door.hpp"
#include "fill_maps.hpp"
#include "frame_mix.hpp"
#include "random_program.hpp"
#include "reference.hpp"
#include "subjects.hpp"

namespace xnic::tests {
namespace {

using arch::hxdp::Forwarding;

constexpr size_t kRandomPackets = 16;
constexpr size_t kVocabularyFrames = 64;  // frames that maps are keyed to
constexpr size_t kToldDifferences = 5;
constexpr uint64_t kExactNodes = 1000;  // enough to find shorter schedules, quick enough for every program

struct Arguments {
  std::vector<std::string> paths;
  std::string cases_dir, programs_dir, only;
  bool installed = false, all = false, listing = false;
  uint64_t random = 0, random_settings = ~0u, packets = 20'000, seed = 1;
  Machine machine = Machine::kCard;
  compile::HxdpOptions options;
};

// One line of the table.
struct Setting {
  std::string name;
  compile::HxdpOptions options;
  uint64_t programs = 0, refused = 0, packets = 0, different = 0, illegal = 0;
};

std::vector<Setting> settings_of(const Arguments& args) {
  compile::HxdpOptions base = args.options;
  base.parameters.rows = arch::hxdp::kMaxRows;
  if (!args.all) return {{fmt::format("{} lanes", base.parameters.lanes), base}};
  std::vector<Setting> all;
  const auto& passes = compile::hxdp_passes();
  for (uint32_t lanes : {1u, 2u, 4u, 8u, 0u}) {  // 0: four lanes, results in the next row in their own lane only
    base.parameters.lanes = lanes == 0 ? 4 : lanes;
    base.parameters.forwarding = lanes == 0 ? Forwarding::kLane : Forwarding::kFull;
    const std::string name = lanes == 0 ? "4 (lane)" : fmt::format("{}", lanes);
    base.off.clear();
    all.push_back({fmt::format("{:<9}{}", name, "none"), base});
    for (const auto& pass : passes) {
      base.off = {std::string(pass.name)};
      all.push_back({fmt::format("{:<9}{}", name, pass.name), base});
    }
    base.off.clear();
    for (const auto& pass : passes) base.off.push_back(std::string(pass.name));
    all.push_back({fmt::format("{:<9}{}", name, "all"), base});
    if (lanes == 0) continue;
    base.off.clear();
    base.exact_nodes = kExactNodes;
    all.push_back({fmt::format("{:<9}{}", name, "none, schedules searched"), base});
    base.exact_nodes = 0;
  }
  return all;
}

class Campaign {
 public:
  explicit Campaign(const Arguments& args) : args_(args), settings_(settings_of(args)) {
    device::install_device(&device_);
  }
  ~Campaign() { device::install_device(nullptr); }
  int run();

 private:
  std::vector<Subject> subjects();
  void real_program(const Subject& subject, uint64_t packets);
  void random_programs();
  void try_setting(const std::string& name, const Reference& reference, const exec::LoadedProgram& program,
                   Setting& setting);
  void print_table() const;

  const Arguments& args_;
  device::Device device_;
  std::vector<Setting> settings_;
  std::map<std::string, std::set<std::string>> refusals_;  // reason: programs
  std::vector<std::string> broken_;                        // objects that could not be loaded or run
  uint64_t real_ = 0, random_ = 0, told_ = 0;
};

std::vector<Subject> Campaign::subjects() {
  std::vector<std::string> files;
  for (const std::string& path : args_.paths) {
    if (!std::filesystem::is_directory(path)) files.push_back(path);
    if (!std::filesystem::is_directory(path)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      if (entry.path().extension() == ".o") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  if (args_.installed) {
    const auto more = installed_objects();
    if (more.empty()) fmt::print("Debian's XDP packages are not installed: their objects are not compared\n");
    files.insert(files.end(), more.begin(), more.end());
  }
  std::vector<Subject> all;
  for (const std::string& file : files) {
    auto found = programs_of(device_, file);
    if (!found) broken_.push_back(file + ": " + found.error().message());
    if (found) all.insert(all.end(), found->begin(), found->end());
  }
  if (!args_.programs_dir.empty()) {
    const auto more = our_programs(args_.cases_dir, args_.programs_dir);
    all.insert(all.end(), more.begin(), more.end());
  }
  std::erase_if(all, [&](const Subject& s) { return s.label.find(args_.only) == std::string::npos; });
  return all;
}

// Fresh maps like the program's: global data as loaded, entries of the cases, entries keyed to the frames.
std::shared_ptr<const exec::LoadedProgram> with_fresh_maps(const exec::LoadedProgram& from, const Subject& subject,
                                                           const std::vector<std::vector<uint8_t>>& frames,
                                                           uint64_t seed) {
  auto copy = std::make_shared<exec::LoadedProgram>(from);
  for (auto& map : copy->maps) {
    int error = 0;
    auto fresh = exec::maps::Map::create(creation_spec(map->spec()), {.cpus = map->cpus()}, error);
    CHECK(fresh != nullptr);
    if (map->spec().name.find('.') != std::string::npos && map->values_base() != nullptr)
      std::memcpy(fresh->values_base(), map->values_base(), map->spec().value_size);
    map = std::move(fresh);
  }
  fill_from_cases(*copy, subject);
  fill_maps(copy, frames, seed);
  return copy;
}

void Campaign::real_program(const Subject& subject, uint64_t packets) {
  const auto object = load(device_, subject);
  if (!object) {
    broken_.push_back(subject.label + ": " + object.error().message());
    return;
  }
  const uint64_t seed = args_.seed + real_++;
  const exec::LoadedProgram& loaded = *object->programs().at(0).loaded;
  FrameMix mix(seed);
  mix.add_samples(subject.packets);
  std::vector<RandomPacket> input(packets);
  for (RandomPacket& packet : input) mix.next(packet);
  std::vector<std::vector<uint8_t>> frames = subject.packets;
  for (size_t i = 0; i < std::min(kVocabularyFrames, input.size()); ++i) frames.push_back(input[i].frame);
  const auto reference =
      Reference::make([&] { return with_fresh_maps(loaded, subject, frames, seed); }, std::move(input));
  if (!reference) {
    broken_.push_back(subject.label + ": " + reference.error().message());
    return;
  }
  for (Setting& setting : settings_) try_setting(subject.label, *reference, loaded, setting);
}

void Campaign::random_programs() {
  for (uint64_t i = 0; random_ < args_.random; ++i) {
    const uint64_t seed = args_.seed * 1'000'003 + i;
    Door door;
    const DoorResult door_result = door.load(*random_program(seed), 1);
    if (door_result.loaded == nullptr) continue;  // the generator aims at accepted programs, and mostly hits
    ++random_;
    const exec::LoadedProgram& loaded = *door_result.loaded;
    base::Rng rng(seed);
    std::vector<RandomPacket> packets;
    while (packets.size() < kRandomPackets) packets.push_back(random_packet(rng));
    const auto reference =
        Reference::make([&] { return load_with_maps(loaded.program, seed, loaded.facts); }, std::move(packets));
    if (!reference) {
      broken_.push_back(fmt::format("random {}: {}", seed, reference.error().message()));
      continue;
    }
    const size_t count = std::min<size_t>(args_.random_settings, settings_.size());
    for (size_t k = 0; k < count; ++k)
      try_setting(fmt::format("random {}", seed), *reference, loaded,
                  settings_[(random_ * count + k) % settings_.size()]);
  }
}

void Campaign::try_setting(const std::string& name, const Reference& reference, const exec::LoadedProgram& program,
                           Setting& setting) {
  ++setting.programs;
  const auto image = compile::compile_hxdp(*program.program, *program.facts, setting.options);
  if (!image) {
    ++setting.refused;
    refusals_[image.error().detail].insert(name + "  " + image.error().where);
    return;
  }
  if (args_.listing) fmt::print("{}\n", arch::hxdp::listing(*image, true));
  ImageRun run = reference.compare(*image, args_.machine, reference.packets());
  arch::hxdp::Image again = *image;
  const auto read = arch::hxdp::assemble(arch::hxdp::listing(*image, true), again);
  if (!read || again.rows != image->rows)
    run.difference += "listing: " + (read ? std::string("other rows") : read.error().message()) + "\n";
  setting.packets += run.packets;
  setting.illegal += run.illegal;
  if (run.difference.empty()) return;
  ++setting.different;
  if (++told_ > kToldDifferences) return;
  fmt::print("{}, lanes and pass off: {}\n", name, setting.name);
  if (program.program->insns.size() < 200)
    fmt::print("{}{}\n", arch::ebpf::listing(*program.program), arch::hxdp::listing(*image, false));
  fmt::print("{}\n", run.difference);
  std::fflush(stdout);
}

void Campaign::print_table() const {
  fmt::print("{:<9}{:<20}{:>9}{:>9}{:>12}{:>11}{:>9}\n", "lanes", "pass off", "programs", "refused", "packets",
             "different", "illegal");
  Setting sum;
  for (const Setting& s : settings_) {
    fmt::print("{:<29}{:>9}{:>9}{:>12}{:>11}{:>9}\n", s.name, s.programs, s.refused, s.packets, s.different, s.illegal);
    sum.programs += s.programs, sum.refused += s.refused, sum.packets += s.packets;
    sum.different += s.different, sum.illegal += s.illegal;
  }
  fmt::print("{:<29}{:>9}{:>9}{:>12}{:>11}{:>9}\n", "all", sum.programs, sum.refused, sum.packets, sum.different,
             sum.illegal);
  if (!refusals_.empty()) fmt::print("\nRefused:\n");
  for (const auto& [reason, programs] : refusals_) {
    fmt::print("  {} ({} programs)\n", reason, programs.size());
    for (const std::string& program : programs) fmt::print("    {}\n", program);
  }
  for (const std::string& text : broken_) fmt::print("not compared: {}\n", text);
}

int Campaign::run() {
  const auto start = std::chrono::steady_clock::now();
  const auto all = subjects();
  for (const Subject& subject : all) real_program(subject, (args_.packets + all.size() - 1) / all.size());
  random_programs();
  print_table();
  uint64_t packets = 0, wrong = broken_.size();
  for (const Setting& setting : settings_) packets += setting.packets, wrong += setting.different;
  fmt::print("{} real and {} random programs, {} settings; {} packets compared, {} different; {:.0f} s\n", real_,
             random_, settings_.size(), packets, wrong,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  return wrong == 0 && packets > 0 ? 0 : 1;
}

int usage() {
  fmt::print(stderr, "usage: see the head of tests/hxdp/hxdp_diff.cpp\n");
  return 2;
}

int main_of(int argc, char** argv) {
  Arguments args;
  const std::map<std::string, uint64_t*> numbers = {{"--random", &args.random},
                                                    {"--random-settings", &args.random_settings},
                                                    {"--packets", &args.packets},
                                                    {"--seed", &args.seed}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (const auto number = numbers.find(word); number != numbers.end() && more) {
      *number->second = std::strtoull(argv[++i], nullptr, 0);
    } else if (word == "--programs" && i + 2 < argc) {
      args.cases_dir = argv[++i], args.programs_dir = argv[++i];
    } else if (word == "--only" && more) {
      args.only = argv[++i];
    } else if (word == "--lanes" && more) {
      args.options.parameters.lanes = uint32_t(std::strtoul(argv[++i], nullptr, 0));
    } else if (word == "--growth" && more) {
      args.options.growth = uint32_t(std::strtoul(argv[++i], nullptr, 0));
    } else if (word == "--off" && more) {
      args.options.off.push_back(argv[++i]);
    } else if (word == "--machine" && more) {
      args.machine = std::string(argv[++i]) == "rows" ? Machine::kRows : Machine::kCard;
    } else if (word == "--installed") {
      args.installed = true;
    } else if (word == "--listing") {
      args.listing = true;
    } else if (word == "--all") {
      args.all = true;
    } else if (word.starts_with("--")) {
      return usage();
    } else {
      args.paths.push_back(word);
    }
  }
  return Campaign(args).run();
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) { return xnic::tests::main_of(argc, argv); }
