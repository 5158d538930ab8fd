// SPDX-License-Identifier: Apache-2.0
// soak_datapath: a card at full rate for a while, and the account of every packet. Exit code 1 when one is missing,
// changed, repeated or out of order without a fault that did it, when memory grows, or when a frame does not come home.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "device/native_images.hpp"
#include "peers.hpp"

namespace xnic::tests::soak {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

struct Options {
  RigOptions rig;
  uint32_t seconds = 600;
  uint64_t max_growth_kib = 4096;
};

uint64_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

// Highest figures, since compiling a program takes and gives back some; the first fifth of the time is not looked at.
struct Memory {
  uint64_t early_kib = 0;  // until three fifths
  uint64_t late_kib = 0;   // after that
};

// Programs are replaced, map entries change, senders rest, until the time is over.
base::Result<Memory> run(Rig& rig, Peers& peers, const Options& options) {
  Memory memory;
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::seconds(options.seconds);
  const auto report_each = std::max<Clock::duration>(5s, (end - begin) / 10);
  auto next_report = begin + report_each;
  for (uint64_t turn = 1; Clock::now() < end; ++turn) {
    std::this_thread::sleep_for(10ms);
    rig.turn_redirect();
    if (turn % 10 == 0) XNIC_TRY(rig.replace_programs());
    if (turn % 100 == 0) {
      peers.pause(true);
      std::this_thread::sleep_for(10ms);
      peers.pause(false);
    }
    const auto now = Clock::now();
    const auto fifth = (now - begin) / ((end - begin) / 5);
    uint64_t& highest_kib = fifth < 3 ? memory.early_kib : memory.late_kib;
    if (fifth > 0) highest_kib = std::max(highest_kib, resident_kib());
    if (now < next_report) continue;
    next_report += report_each;
    std::fprintf(stderr, "%4lld s: %llu packets received, %llu KiB\n",
                 static_cast<long long>(std::chrono::duration_cast<std::chrono::seconds>(now - begin).count()),
                 static_cast<unsigned long long>(rig.card().totals().received),
                 static_cast<unsigned long long>(resident_kib()));
  }
  return memory;
}

// What is under way, in rings and held back by faults, arrives when nobody sends any more.
void settle(Rig& rig) {
  const auto all_there = [&] {
    for (const Rig::Path& path : rig.paths())
      if (!rig.account(path).balanced()) return false;
    return true;
  };
  for (const auto end = Clock::now() + 10s; !all_there() && Clock::now() < end;) std::this_thread::sleep_for(10ms);
}

void print(const Account& account, const Lane::Seen& seen, uint64_t missing) {
  const auto number = [](const char* what, uint64_t count) {
    std::printf("  %-24s %15llu\n", what, static_cast<unsigned long long>(count));
  };
  std::printf("%s\n", account.lane.c_str());
  number("sent", account.sent);
  for (const auto& [name, count] : account.added) number(("+ " + name).c_str(), count);
  for (const auto& [name, count] : account.lost) number(("- " + name).c_str(), count);
  number("received", account.received);
  number("  in order", seen.in_order);
  number("  late", seen.late);
  number("  twice", seen.duplicates);
  number("  changed", seen.changed);
  number("never came", missing);
}

// Prints the table; true when everything is right.
bool report(Rig& rig, const Options& options, const Memory& memory, uint64_t attacks) {
  std::vector<std::string> complaints;
  uint64_t redirected = 0;
  for (const Rig::Path& path : rig.paths()) {
    print(rig.account(path), path.lane->seen(), path.lane->missing());
    if (const std::string complaint = rig.complaint(path); !complaint.empty())
      complaints.push_back(path.name + ": " + complaint);
    if (path.far[0] != path.entry) redirected = rig.card().port_totals(path.entry)->received;
  }
  if (rig.counted_by_program() != redirected)
    complaints.push_back("the redirecting program counted " + std::to_string(rig.counted_by_program()) + " of " +
                         std::to_string(redirected) + " packets");
  if (attacks == 0) complaints.push_back("the hostile peer never attached");
  if (memory.late_kib > memory.early_kib + options.max_growth_kib) complaints.push_back("memory grew");
  const nic::datapath::Totals totals = rig.card().totals();
  if (!totals.balanced() || totals.held != 0) complaints.push_back("the card's own counters do not add up");
  const uint64_t away = rig.close();
  if (away != 0) complaints.push_back(std::to_string(away) + " frames did not come home");
  std::printf(
      "%llu packets in %u s (%.2f Mpps); %llu programs replaced, %llu map updates, %llu hostile peers; memory %llu "
      "KiB, "
      "later %llu KiB; %llu frames missing\n",
      static_cast<unsigned long long>(totals.received), options.seconds,
      static_cast<double>(totals.received) / 1e6 / options.seconds, static_cast<unsigned long long>(rig.replacements()),
      static_cast<unsigned long long>(rig.map_updates()), static_cast<unsigned long long>(attacks),
      static_cast<unsigned long long>(memory.early_kib), static_cast<unsigned long long>(memory.late_kib),
      static_cast<unsigned long long>(away));
  for (const std::string& complaint : complaints) std::printf("FAILED: %s\n", complaint.c_str());
  if (complaints.empty()) std::printf("every packet is accounted for\n");
  return complaints.empty();
}

base::Result<bool> soak(const Options& options) {
  XNIC_ASSIGN(const std::unique_ptr<Rig> rig, Rig::create(options.rig));
  rig->card().start();
  XNIC_ASSIGN(std::unique_ptr<Peers> peers, Peers::start(*rig, options.rig.seed));
  XNIC_ASSIGN(const Memory memory, run(*rig, *peers, options));
  peers->stop_sending();
  settle(*rig);
  const uint64_t attacks = peers->attacks();
  peers.reset();
  return report(*rig, options, memory, attacks);
}

}  // namespace
}  // namespace xnic::tests::soak

int main(int argc, char** argv) {
  using namespace xnic;
  tests::soak::Options options;
  CLI::App app{"A card at full rate beside bad links and hostile peers; every packet accounted for"};
  app.add_option("PROGRAMS", options.rig.programs, "Folder with tx.bpf.o and redirect_map.bpf.o")->required();
  app.add_option("--seconds", options.seconds, "How long")->capture_default_str()->check(CLI::Range(1, 1'000'000));
  app.add_option("--workers", options.rig.workers, "Of the card")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--engine", options.rig.engine, "Of the programs: native, interp")->capture_default_str();
  app.add_option("--seed", options.rig.seed, "Other faults")->capture_default_str();
  app.add_option("--faults", options.rig.fault_ppm, "Frames in a million that meet each kind of fault")
      ->capture_default_str()
      ->check(CLI::Range(0, 200'000));
  app.add_option("--max-growth", options.max_growth_kib, "KiB by which the memory's highest figure may grow")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  char folder[] = "/tmp/xnic-soak-XXXXXX";
  if (mkdtemp(folder) == nullptr) return std::perror("soak_datapath"), 1;
  options.rig.folder = folder;
  setenv("XNIC_CACHE", (options.rig.folder + "/cache").c_str(), 0);
  device::install_native();
  const auto good = tests::soak::soak(options);
  std::filesystem::remove_all(folder);
  if (!good) std::fprintf(stderr, "soak_datapath: %s\n", good.error().message().c_str());
  return good && *good ? 0 : 1;
}
