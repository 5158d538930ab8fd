// SPDX-License-Identifier: Apache-2.0
// Real programs on the interpreter and on the live kernel: every program of programs/ at every CPU version, and every
// XDP program that Debian's xdp-tools, libxdp1 and xdp-tests install.
//
//   diff_programs CASES_DIR PROGRAMS_DIR [--packets N] [--seed S] [--only TEXT]
//
// Maps hold what the cases of tests/programs write, and generated contents keyed to the packets. N is the least number
// of packets in total; every program gets an equal part.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "device/object.hpp"
#include "paired_run.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace xnic::tests {
namespace {

struct Subject {
  std::string path;
  std::string program;
  std::string label;
  ordered_json cases = ordered_json::array();
};

struct Arguments {
  fs::path cases_dir;
  fs::path programs_dir;
  uint64_t packets = 1'000'000;
  uint64_t seed = 1;
  std::string only;
};

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

// Frames of the cases, jumbo ones excluded: they are a constant of every run.
std::vector<std::vector<uint8_t>> samples_of(const ordered_json& cases) {
  std::vector<std::vector<uint8_t>> samples;
  for (const auto& test : cases) samples.push_back(from_hex(test["packet"]));
  return samples;
}

base::Result<device::Object> load(device::Device& device, const Subject& subject) {
  device::LoadOptions options;
  options.program = subject.program;
  options.complete_maps = true;
  options.set_global_data = [&](const device::GlobalData& data) -> base::Result<void> {
    for (const auto& test : subject.cases) {
      if (!test.contains("maps") || !test["maps"].contains(data.name)) continue;
      const auto value = from_hex(test["maps"][data.name][0]["value"]);
      if (value.size() == data.value.size()) std::copy(value.begin(), value.end(), data.value.begin());
      return {};
    }
    return {};
  };
  return device::Object::load(device, subject.path, options);
}

// What the cases write, one after the other; later ones overwrite.
void fill_from_cases(const device::Object& object, const ordered_json& cases) {
  for (const auto& test : cases) {
    const ordered_json maps = test.value("maps", ordered_json::object());
    for (const auto& [name, entries] : maps.items()) {
      const device::ObjectMap* map = object.find_map(name);
      if (map == nullptr || name.starts_with('.')) continue;
      for (const auto& entry : entries) {
        const auto key = from_hex(entry["key"]);
        const auto one = from_hex(entry["value"]);
        std::vector<uint8_t> value(map->map->host_value_bytes());
        for (size_t at = 0; at < value.size(); at += std::max<size_t>(8, (one.size() + 7) / 8 * 8))
          std::copy(one.begin(), one.end(), value.begin() + std::ptrdiff_t(at));
        if (key.empty())
          map->map->push(value.data(), 0);
        else
          map->map->host_update(key.data(), value.data(), 0);
      }
    }
  }
}

std::vector<Subject> our_programs(const Arguments& arguments) {
  std::vector<Subject> subjects;
  for (const char* cpu : {"v1", "v2", "v3", "v4"}) {
    for (const auto& entry : fs::directory_iterator(arguments.programs_dir / cpu)) {
      if (entry.path().extension() != ".o") continue;
      const std::string name = entry.path().stem().stem().string();
      Subject subject{entry.path().string(), "", fmt::format("{} {}", name, cpu), ordered_json::array()};
      std::ifstream in(arguments.cases_dir / (name + ".json"));
      if (in) subject.cases = ordered_json::parse(in)["cases"];
      subjects.push_back(std::move(subject));
    }
  }
  return subjects;
}

// Paths of the objects that a Debian package installed.
std::vector<std::string> installed_objects(const std::string& package) {
  std::vector<std::string> paths;
  FILE* list = popen(("dpkg -L " + package + " 2>/dev/null").c_str(), "r");
  if (list == nullptr) return paths;
  for (char line[4096]; std::fgets(line, sizeof line, list) != nullptr;) {
    std::string path(line, std::strcspn(line, "\n"));
    if (path.ends_with(".o") && fs::is_regular_file(path)) paths.push_back(path);
  }
  pclose(list);
  return paths;
}

class Comparison {
 public:
  explicit Comparison(const Arguments& arguments) : arguments_(arguments) { device::install_device(&device_); }
  ~Comparison() { device::install_device(nullptr); }

  // Every XDP program of the object becomes a subject; an object without one is none of this test's business.
  void add_installed(const std::string& path);
  void add(Subject subject) {
    if (subject.label.find(arguments_.only) != std::string::npos) subjects_.push_back(std::move(subject));
  }
  int run();

 private:
  void run_one(const Subject& subject, uint64_t packets, uint64_t seed);

  const Arguments& arguments_;
  device::Device device_;
  std::vector<Subject> subjects_;
  uint64_t packets_ = 0;
  uint64_t verdicts_[5] = {};
  uint64_t skipped_ = 0;
  uint64_t different_ = 0;  // packets, and programs that do not load or leave different maps
};

void Comparison::add_installed(const std::string& path) {
  device::LoadOptions options;
  options.complete_maps = true;
  const auto reports = device::Object::check(device_, path, options);
  if (!reports) {
    if (reports.error().detail.find("no XDP program") != std::string::npos) return;
    fmt::print("{}: {}\n", path, reports.error().message());
    ++different_;
    return;
  }
  for (const auto& report : *reports)
    add({path, report.name, fmt::format("{} {}", fs::path(path).filename().string(), report.name),
         ordered_json::array()});
}

void Comparison::run_one(const Subject& subject, uint64_t packets, uint64_t seed) {
  auto ours = load(device_, subject);
  auto theirs = load(device_, subject);
  if (!ours || !theirs) {
    fmt::print("{}: {}\n", subject.label, (ours ? theirs : ours).error().message());
    ++different_;
    return;
  }
  fill_from_cases(*ours, subject.cases);
  fill_from_cases(*theirs, subject.cases);
  PairedOptions options;
  options.packets = packets;
  options.seed = seed;
  options.samples = samples_of(subject.cases);
  const PairedRun result = run_paired(ours->programs().at(0).loaded, theirs->programs().at(0).loaded, options);
  packets_ += result.packets;
  if (!result.skipped.empty()) {
    ++skipped_;
    fmt::print("{}: not run: {}\n", subject.label, result.skipped);
  }
  for (size_t i = 0; i < 5; ++i) verdicts_[i] += result.verdicts[i];
  for (const std::string& text : result.differences) fmt::print("{}: {}", subject.label, text);
  different_ += result.different;
}

int Comparison::run() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  if (subjects_.empty()) {
    fmt::print("no program to run\n");
    return 1;
  }
  for (size_t i = 0; i < subjects_.size(); ++i) {
    const uint64_t done = packets_;
    const auto before = Clock::now();
    // What skipped programs leave undone falls to those after them.
    const uint64_t left = arguments_.packets > done ? arguments_.packets - done : 1;
    const uint64_t part = (left + subjects_.size() - i - 1) / (subjects_.size() - i);
    run_one(subjects_[i], part, arguments_.seed + i);
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    if (seconds > 3) fmt::print("{}: {:.1f} s for {} packets\n", subjects_[i].label, seconds, packets_ - done);
  }
  fmt::print("{} programs, {} not run; aborted {}, drop {}, pass {}, tx {}, redirect {}; {:.1f} s\n", subjects_.size(),
             skipped_, verdicts_[0], verdicts_[1], verdicts_[2], verdicts_[3], verdicts_[4],
             std::chrono::duration<double>(Clock::now() - start).count());
  fmt::print("{} packets compared, {} different\n", packets_, different_);
  return different_ == 0 && packets_ >= arguments_.packets ? 0 : 1;
}

int run(const Arguments& arguments) {
  Comparison comparison(arguments);
  // Installed ones first, so that what is skipped among them is made up for.
  size_t installed = 0;
  for (const char* package : {"xdp-tools", "libxdp1", "xdp-tests"}) {
    for (const std::string& path : installed_objects(package)) {
      comparison.add_installed(path);
      ++installed;
    }
  }
  if (installed == 0) fmt::print("libxdp1 and xdp-tests are not installed: Debian's objects are not compared\n");
  for (Subject& subject : our_programs(arguments)) comparison.add(std::move(subject));
  return comparison.run();
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  xnic::tests::Arguments arguments;
  CLI::App app{"Real programs on the interpreter and on the live kernel: verdicts, bytes and maps."};
  app.add_option("cases", arguments.cases_dir, "Folder of behaviour cases: what the maps hold")->required();
  app.add_option("programs", arguments.programs_dir, "Folder of our objects, one for each CPU version")->required();
  app.add_option("--packets", arguments.packets, "Packets in total")->capture_default_str();
  app.add_option("--seed", arguments.seed, "Seed of the packets")->capture_default_str();
  app.add_option("--only", arguments.only, "Run only programs whose label contains this");
  CLI11_PARSE(app, argc, argv);
  if (!xnic::tests::enter_test_namespace(0)) {
    std::printf("skipped: the live kernel takes programs from root only\n");
    return 77;
  }
  return xnic::tests::run(arguments);
}
