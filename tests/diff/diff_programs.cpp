// SPDX-License-Identifier: Apache-2.0
// Real programs on the interpreter and on another engine, the live kernel if not said: every program of programs/ at
// every CPU version, and every XDP program that Debian's xdp-tools, libxdp1 and xdp-tests install.
//
//   diff_programs CASES_DIR PROGRAMS_DIR [--packets N] [--seed S] [--only TEXT] [--engine E]
//   diff_programs CASES_DIR PROGRAMS_DIR --workers W [--any-order OBJECT] [--packets N] [--seed S] [--only TEXT]
//
// Maps hold what the cases of tests/programs write, and generated contents keyed to the packets. N is the least number
// of packets in total; every program gets an equal part. With --workers native code runs on that many threads at once,
// on the same maps (worker_run.hpp); programs for which order matters are named and left out.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>

#include "device/native_images.hpp"
#include "paired_run.hpp"
#include "subjects.hpp"
#include "worker_run.hpp"

namespace xnic::tests {
namespace {

struct Arguments {
  std::string cases_dir;
  std::string programs_dir;
  uint64_t packets = 1'000'000;
  uint64_t seed = 1;
  std::string only;
  std::string engine = "kernel";
  uint32_t workers = 0;
  std::string any_order;
};

class Comparison {
 public:
  explicit Comparison(const Arguments& arguments) : arguments_(arguments), device_({.cpus = arguments.workers}) {
    device::install_device(&device_);
  }
  ~Comparison() { device::install_device(nullptr); }

  // Every XDP program of the object becomes a subject; an object without one is none of this test's business.
  void add_installed(const std::string& path);
  void add_always(const std::string& path) { subjects_.push_back({path, "", path, {}, {}}); }
  void add(Subject subject) {
    if (subject.label.find(arguments_.only) != std::string::npos) subjects_.push_back(std::move(subject));
  }
  int run();

 private:
  void run_one(const Subject& subject, uint64_t packets, uint64_t seed);
  void run_on_workers(const Subject& subject, uint64_t packets, uint64_t seed);
  void count_skipped(const Subject& subject, const std::string& why) {
    ++skipped_;
    fmt::print("{}: not run: {}\n", subject.label, why);
  }

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
  if (!result.skipped.empty()) count_skipped(subject, result.skipped);
  for (size_t i = 0; i < 5; ++i) verdicts_[i] += result.verdicts[i];
  for (const std::string& text : result.differences) fmt::print("{}: {}", subject.label, text);
  different_ += result.different;
}

void Comparison::run_on_workers(const Subject& subject, uint64_t packets, uint64_t seed) {
  WorkerOptions options;
  options.workers = arguments_.workers;
  options.packets = packets;
  options.seed = seed;
  options.samples = subject.packets;
  options.any_order = subject.path == arguments_.any_order;
  const auto copy = [&]() -> base::Result<std::shared_ptr<const exec::LoadedProgram>> {
    XNIC_ASSIGN(const auto object, load(device_, subject));
    fill_from_cases(*object.programs().at(0).loaded, subject);
    return object.programs().at(0).loaded;
  };
  const auto result = run_workers(copy, options);
  if (!result) {
    fmt::print("{}: {}\n", subject.label, result.error().message());
    ++different_;
    return;
  }
  packets_ += result->packets;
  if (result->packets == 0) count_skipped(subject, "order matters: " + result->order_matters);
  for (const std::string& text : result->differences) fmt::print("{}, by {}: {}", subject.label, result->spread, text);
  different_ += result->different;
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
    arguments_.workers > 0 ? run_on_workers(subjects_[i], part, arguments_.seed + i)
                           : run_one(subjects_[i], part, arguments_.seed + i);
    const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
    if (seconds > 3) fmt::print("{}: {:.1f} s for {} packets\n", subjects_[i].label, seconds, packets_ - done);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  fmt::print("{} programs, {} not run; ", subjects_.size(), skipped_);
  if (arguments_.workers > 0) {
    fmt::print("{} workers; {:.1f} s\n", arguments_.workers, seconds);
  } else {
    fmt::print("aborted {}, drop {}, pass {}, tx {}, redirect {}; {:.1f} s\n", verdicts_[0], verdicts_[1], verdicts_[2],
               verdicts_[3], verdicts_[4], seconds);
  }
  fmt::print("{} packets compared, {} different\n", packets_, different_);
  return different_ == 0 && packets_ >= arguments_.packets ? 0 : 1;
}

int run(const Arguments& arguments) {
  Comparison comparison(arguments);
  // Installed ones first, so that what is skipped among them is made up for.
  const auto installed = installed_objects();
  for (const std::string& path : installed) comparison.add_installed(path);
  if (installed.empty()) fmt::print("libxdp1 and xdp-tests are not installed: Debian's objects are not compared\n");
  if (!arguments.any_order.empty()) comparison.add_always(arguments.any_order);
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
  auto* workers = app.add_option("--workers", arguments.workers, "Threads of native code that share the maps")
                      ->check(CLI::Range(1, 64));
  app.add_option("--any-order", arguments.any_order, "One more object, whose workers share state in any order")
      ->check(CLI::ExistingFile)
      ->needs(workers);
  CLI11_PARSE(app, argc, argv);
  if (arguments.workers > 0) arguments.engine = "native";
  xnic::device::install_native();
  if (arguments.engine == "kernel" && !xnic::tests::enter_test_namespace(0)) {
    std::printf("skipped: the live kernel takes programs from root only\n");
    return 77;
  }
  return xnic::tests::run(arguments);
}
