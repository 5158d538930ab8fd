// SPDX-License-Identifier: Apache-2.0
// Real programs on the interpreter and on another engine, the live kernel if not said: every program of programs/ at
// every CPU version, and every XDP program that Debian's xdp-tools, libxdp1 and xdp-tests install.
//
//   diff_programs CASES_DIR PROGRAMS_DIR [--packets N] [--seed S] [--only TEXT] [--engine E]
//
// Maps hold what the cases of tests/programs write, and generated contents keyed to the packets. N is the least number
// of packets in total; every program gets an equal part.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "device/native_images.hpp"
#include "paired_run.hpp"
#include "subjects.hpp"

namespace xnic::tests {
namespace {

struct Arguments {
  std::string cases_dir;
  std::string programs_dir;
  uint64_t packets = 1'000'000;
  uint64_t seed = 1;
  std::string only;
  std::string engine = "kernel";
};

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
  const auto subjects = programs_of(device_, path);
  if (!subjects) {
    fmt::print("{}: {}\n", path, subjects.error().message());
    ++different_;
    return;
  }
  for (const Subject& subject : *subjects) add(subject);
}

void Comparison::run_one(const Subject& subject, uint64_t packets, uint64_t seed) {
  auto ours = load(device_, subject);
  auto theirs = load(device_, subject);
  if (!ours || !theirs) {
    fmt::print("{}: {}\n", subject.label, (ours ? theirs : ours).error().message());
    ++different_;
    return;
  }
  fill_from_cases(*ours->programs().at(0).loaded, subject);
  fill_from_cases(*theirs->programs().at(0).loaded, subject);
  PairedOptions options;
  options.packets = packets;
  options.seed = seed;
  options.samples = subject.packets;
  options.engine = arguments_.engine;
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
  const auto installed = installed_objects();
  for (const std::string& path : installed) comparison.add_installed(path);
  if (installed.empty()) fmt::print("libxdp1 and xdp-tests are not installed: Debian's objects are not compared\n");
  for (Subject& subject : our_programs(arguments.cases_dir, arguments.programs_dir)) comparison.add(std::move(subject));
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
  app.add_option("--engine", arguments.engine, "The other engine")
      ->check(CLI::IsMember({"kernel", "native"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  xnic::device::install_native();
  if (arguments.engine == "kernel" && !xnic::tests::enter_test_namespace(0)) {
    std::printf("skipped: the live kernel takes programs from root only\n");
    return 77;
  }
  return xnic::tests::run(arguments);
}
