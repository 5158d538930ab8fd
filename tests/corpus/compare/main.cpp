// SPDX-License-Identifier: Apache-2.0
// corpus_compare [FOLDER] [--packets N] [--only TEXT]: our card beside the live kernel on every program of
// FOLDER/index.json, whose verdicts stand in FOLDER/kernel.json (formats: tests/corpus/README.md).
//
// A program counts as distinct by its hash; one hash counts as accepted when every instance that the kernel accepts is.
// Each program that both accept runs on N packets. Exit code 0: all three goals are met.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "corpus/compare/card.hpp"
#include "diff/paired_run.hpp"

namespace xnic::corpus {
namespace {

using nlohmann::json;

constexpr double kAcceptAtLeast = 0.97;
constexpr size_t kProgressEvery = 200;

struct Row {
  std::string object, program, origin, variant, hash;
  std::vector<std::string> kfuncs;
  std::string kernel;         // status of kernel.json
  std::string kernel_reason;  // the last lines of its log
  CardAnswer card;
};

struct Arguments {
  std::string folder = "build/corpus";
  uint64_t packets = 512;
  std::string only;
};

bool read_json(const std::string& path, json& value) {
  std::ifstream file(path);
  value = json::parse(file, nullptr, false);
  if (value.is_array()) return true;
  fmt::print(stderr, "corpus_compare: {} is missing or not JSON\n", path);
  return false;
}

// The rows without the card's answers.
std::vector<Row> read_rows(const json& index, const json& kernel, const std::string& only) {
  std::map<std::pair<std::string, std::string>, const json*> verdicts;
  for (const json& entry : kernel) verdicts[{entry.at("object"), entry.at("program")}] = &entry;
  std::vector<Row> rows;
  for (const json& object : index) {
    for (const json& program : object.at("programs")) {
      Row row;
      row.object = object.at("object");
      row.program = program.at("name");
      row.origin = object.at("origin");
      row.variant = object.at("variant");
      row.hash = program.at("hash");
      row.kfuncs = program.at("kfuncs").get<std::vector<std::string>>();
      const auto verdict = verdicts.find({row.object, row.program});
      if (verdict == verdicts.end()) continue;
      row.kernel = verdict->second->at("status");
      for (const json& line : verdict->second->at("log_tail"))
        row.kernel_reason += "\n      " + line.get<std::string>();
      if ((row.object + " " + row.program).find(only) != std::string::npos) rows.push_back(std::move(row));
    }
  }
  return rows;
}

void print_table(const std::vector<Row>& rows) {
  struct Count {
    size_t both = 0, kernel_only = 0, card_only = 0, neither = 0;
  };
  std::map<std::pair<std::string, std::string>, Count> counts;
  for (const Row& row : rows) {
    if (row.kernel != "accepted" && row.kernel != "rejected") continue;
    Count& count = counts[{row.origin, row.variant}];
    const bool kernel = row.kernel == "accepted", card = row.card.status == "accepted";
    ++(kernel ? card ? count.both : count.kernel_only : card ? count.card_only : count.neither);
  }
  fmt::print("{:28} {:10} {:>12} {:>12} {:>12} {:>12}\n", "origin", "variant", "both accept", "kernel only",
             "card only", "neither");
  for (const auto& [place, count] : counts)
    fmt::print("{:28} {:10} {:12} {:12} {:12} {:12}\n", place.first, place.second, count.both, count.kernel_only,
               count.card_only, count.neither);
}

// Share of the kernel's accepted distinct programs that the card accepts, too.
double print_acceptance(const std::vector<Row>& rows) {
  std::map<std::string, bool> distinct;
  size_t instances = 0, accepted = 0;
  for (const Row& row : rows) {
    if (row.kernel != "accepted") continue;
    const bool card = row.card.status == "accepted";
    distinct.try_emplace(row.hash, true).first->second &= card;
    ++instances;
    accepted += card;
  }
  const auto taken =
      size_t(std::count_if(distinct.begin(), distinct.end(), [](const auto& entry) { return entry.second; }));
  const double share = distinct.empty() ? 0 : double(taken) / double(distinct.size());
  fmt::print(
      "accepted of the kernel's accepted: {} of {} distinct programs ({:.1f} %), {} of {} instances ({:.1f} %)\n",
      taken, distinct.size(), 100 * share, accepted, instances,
      instances == 0 ? 0.0 : 100.0 * double(accepted) / double(instances));
  return share;
}

void print_rejections(const std::vector<Row>& rows) {
  struct Group {
    std::set<std::string> hashes;
    size_t instances = 0;
    std::string example;
  };
  std::map<std::string, Group> groups;
  for (const Row& row : rows) {
    if (row.kernel != "accepted" || row.card.status == "accepted") continue;
    std::string reason = row.card.kind + ": " + row.card.reason;
    if (!row.kfuncs.empty()) {
      reason += " [kernel functions:";
      for (const std::string& name : row.kfuncs) reason += " " + name;
      reason += "]";
    }
    Group& group = groups[reason];
    group.hashes.insert(row.hash);
    ++group.instances;
    group.example = row.object + " " + row.program;
  }
  if (!groups.empty()) fmt::print("\nrefused by the card, accepted by the kernel:\n");
  for (const auto& [reason, group] : groups)
    fmt::print("  {} distinct, {} instances: {}\n      e.g. {}\n", group.hashes.size(), group.instances, reason,
               group.example);
}

// Whatever the kernel rejects is unsafe to us, except what it refuses for want of a device.
size_t print_unsafe(const std::vector<Row>& rows) {
  size_t unsafe = 0;
  for (const Row& row : rows) {
    if (row.kernel != "rejected" || row.card.status != "accepted") continue;
    const bool needs_device = row.kernel_reason.find("require device-bound program") != std::string::npos;
    unsafe += !needs_device;
    fmt::print("{}: accepted by the card, rejected by the kernel: {} {}{}\n", needs_device ? "note" : "UNSAFE",
               row.object, row.program, row.kernel_reason);
  }
  return unsafe;
}

size_t print_runs(const std::vector<Row>& rows) {
  size_t programs = 0, packets = 0, different = 0;
  std::map<std::string, size_t> skipped;
  for (const Row& row : rows) {
    if (row.card.status == "crashed") {
      ++different;
      fmt::print("CRASHED: {} {}: {}\n", row.object, row.program, row.card.reason);
    }
    if (!row.card.skipped.empty()) ++skipped[row.card.skipped];
    programs += row.card.packets > 0;
    packets += row.card.packets;
    different += row.card.different;
    for (const std::string& text : row.card.differences)
      fmt::print("DIFFERENT: {} {}: {}\n", row.object, row.program, text);
  }
  for (const auto& [reason, count] : skipped) fmt::print("not run, {} programs: {}\n", count, reason);
  fmt::print("{} programs run on the interpreter and the kernel\n", programs);
  fmt::print("{} packets compared, {} different\n", packets, different);
  return different;
}

int run(const Arguments& arguments) {
  json index, kernel;
  if (!read_json(arguments.folder + "/index.json", index) || !read_json(arguments.folder + "/kernel.json", kernel))
    return 1;
  std::vector<Row> rows = read_rows(index, kernel, arguments.only);
  const auto start = std::chrono::steady_clock::now();
  uint64_t slowest_ms = 0, number = 0;
  std::string slowest;
  for (Row& row : rows) {
    row.card = ask_card(arguments.folder + "/" + row.object, row.program,
                        row.kernel == "accepted" ? arguments.packets : 0, ++number);
    if (row.card.load_ms > slowest_ms) {
      slowest_ms = row.card.load_ms;
      slowest = row.object + " " + row.program;
    }
    if (number % kProgressEvery == 0) fmt::print(stderr, "corpus_compare: {} of {} programs\n", number, rows.size());
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  print_table(rows);
  print_rejections(rows);
  fmt::print("\n");
  const size_t different = print_runs(rows);
  const size_t unsafe = print_unsafe(rows);
  const double share = print_acceptance(rows);
  fmt::print("unsafe programs accepted: {}\n", unsafe);
  fmt::print("{} programs in {:.0f} s; the longest load took {} ms: {}\n", rows.size(), seconds, slowest_ms, slowest);
  return share >= kAcceptAtLeast && unsafe == 0 && different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::corpus

int main(int argc, char** argv) {
  xnic::corpus::Arguments arguments;
  CLI::App app{"The corpus on our card and in the live kernel: taken or refused alike, equal on packets."};
  app.add_option("folder", arguments.folder, "The corpus that tests/corpus/build.sh made")->capture_default_str();
  app.add_option("--packets", arguments.packets, "Packets for each program")->capture_default_str();
  app.add_option("--only", arguments.only, "Run only objects whose path contains this");
  CLI11_PARSE(app, argc, argv);
  if (!xnic::tests::enter_test_namespace(0)) {
    fmt::print(stderr, "corpus_compare: needs root: programs run in the live kernel\n");
    return 1;
  }
  return xnic::corpus::run(arguments);
}
