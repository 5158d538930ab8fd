// SPDX-License-Identifier: Apache-2.0
// hxdp_cores CASES_DIR OBJECTS_DIR [PACKETS]: every program on cards with 1, 2 and 4 cores, packets spread by flow.
// Verdicts, packets and maps must be those of one core; per-CPU values, of which each core has a copy, in sum.
//
// The packets are those of the program's behaviour cases, mixed with a seed; the maps those of its first case. All are
// in one batch, so that the cores work at the same time. Programs whose flows meet in a map (kShared) need only do the
// same in every run.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "arch/ebpf/map_types.hpp"
#include "base/rng.hpp"
#include "device/hxdp_images.hpp"
#include "exec/sim/hxdp/engine.hpp"
#include "program_case.hpp"

namespace xnic::tests {
namespace {

namespace fs = std::filesystem;
using base::Result;
using nlohmann::ordered_json;
using Bytes = std::vector<uint8_t>;

// What the flows of a program share beyond counters.
const std::map<std::string, const char*> kShared = {
    {"katran_lb", "an ICMP error concerns the connection that it quotes, and is another flow to the card"},
    {"nat44",
     "free ports go to flows in the order of their packets, and a flow's answers are another flow to the card"}};

struct Outcome {
  std::vector<uint32_t> verdicts;
  std::vector<Bytes> packets;
  std::map<std::string, std::map<Bytes, Bytes>> maps;
  uint64_t cycles = 0;
  bool operator==(const Outcome&) const = default;
};

Bytes sum_of_copies(const exec::maps::Map& map, const Bytes& value) {
  if (!arch::ebpf::is_percpu(map.spec().type)) return value;
  Bytes sum(value.size() / map.cpus());
  for (size_t at = 0; at < value.size(); at += 8) {
    uint8_t* word = sum.data() + at % sum.size();
    base::store(word, base::load<uint64_t>(word) + base::load<uint64_t>(value.data() + at));
  }
  return sum;
}

std::map<Bytes, Bytes> contents(exec::maps::Map& map) {
  std::map<Bytes, Bytes> all;
  Bytes key(map.spec().key_size), next(map.spec().key_size), value(map.host_value_bytes());
  for (int error = map.host_next_key(nullptr, next.data()); error == 0;
       error = map.host_next_key(key.data(), next.data())) {
    if (map.host_lookup(next.data(), value.data(), 0) == 0) all[next] = sum_of_copies(map, value);
    key = next;
  }
  return all;
}

Result<Outcome> run(device::Device& device, const fs::path& object_path, const ordered_json& main_case,
                    const std::vector<exec::packet::Packet>& packets, uint32_t cores) {
  compile::HxdpOptions compile;
  compile.parameters.rows = arch::hxdp::kMaxRows;
  compile.parameters.cores = cores;
  device::install_hxdp(compile);
  XNIC_ASSIGN(const auto object, load_case(device, object_path, main_case));
  exec::sim::hxdp::Hxdp engine;
  XNIC_TRY(engine.load(object.programs().at(0).loaded));
  std::vector<exec::packet::Packet> copies(packets.size());
  for (size_t i = 0; i < packets.size(); ++i) {
    copies[i].assign(packets[i].bytes());
    copies[i].ingress_ifindex = packets[i].ingress_ifindex;
    copies[i].rx_queue = packets[i].rx_queue;
  }
  std::vector<exec::Verdict> verdicts(packets.size());
  const base::ManualClock clock(1'000'000'000);
  uint64_t random_state = 1;
  XNIC_TRY(engine.run(copies, verdicts, {.clock = &clock, .random_state = &random_state}));
  Outcome outcome;
  for (const auto& verdict : verdicts) outcome.verdicts.push_back(verdict.code);
  for (const auto& packet : copies) outcome.packets.push_back(packet.bytes());
  for (const auto& map : object.maps()) outcome.maps[map.name] = contents(*map.map);
  outcome.cycles = engine.card()->counters().elapsed;
  return outcome;
}

std::string difference(const Outcome& one, const Outcome& many) {
  for (size_t i = 0; i < one.verdicts.size(); ++i) {
    if (one.verdicts[i] != many.verdicts[i])
      return fmt::format("packet {}: verdict {} instead of {}", i, many.verdicts[i], one.verdicts[i]);
    if (one.packets[i] != many.packets[i]) return fmt::format("packet {}: other bytes", i);
  }
  for (const auto& [name, elements] : one.maps) {
    if (elements == many.maps.at(name)) continue;
    for (const auto& [key, value] : elements) {
      const auto found = many.maps.at(name).find(key);
      if (found == many.maps.at(name).end() || found->second != value)
        return fmt::format("map {}, key {:02x}: {:02x} instead of {:02x}", name, fmt::join(key, ""),
                           fmt::join(found == many.maps.at(name).end() ? Bytes{} : found->second, ""),
                           fmt::join(value, ""));
    }
    return fmt::format("map {}: more elements", name);
  }
  return {};
}

// One program; the number of differences.
Result<int> check(device::Device& device, const fs::path& objects, const ordered_json& document, size_t count) {
  const std::string name = document["program"];
  const auto& cases = document["cases"];
  std::vector<exec::packet::Packet> packets;
  base::Rng rng(7);
  for (size_t i = 0; i < count; ++i) packets.push_back(packet_of(cases[rng.below(cases.size())]));
  const fs::path object = objects / (name + ".bpf.o");
  XNIC_ASSIGN(const Outcome one, run(device, object, cases[0], packets, 1));
  int failed = 0;
  for (uint32_t cores : {2u, 4u}) {
    XNIC_ASSIGN(const Outcome many, run(device, object, cases[0], packets, cores));
    std::string what = difference(one, many);
    const auto shared = kShared.find(name);
    if (shared != kShared.end()) {
      XNIC_ASSIGN(const Outcome again, run(device, object, cases[0], packets, cores));
      what = again == many ? "" : "two runs differ";
    }
    fmt::print("{:18} {} cores: {} packets, {} cycles instead of {}: {}\n", name, cores, packets.size(), many.cycles,
               one.cycles,
               !what.empty()             ? what
               : shared == kShared.end() ? "equal"
                                         : shared->second);
    failed += what.empty() ? 0 : 1;
  }
  return failed;
}

int run_all(const fs::path& cases, const fs::path& objects, size_t count) {
  device::Device device({.cpus = 4});
  device::install_device(&device);
  int failed = 0, programs = 0;
  for (const auto& entry : fs::directory_iterator(cases)) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream in(entry.path());
    const auto checked = check(device, objects, ordered_json::parse(in), count);
    if (!checked) fmt::print("{}: {}\n", entry.path().stem().string(), checked.error().message());
    failed += checked ? *checked : 1;
    ++programs;
  }
  device::install_device(nullptr);
  fmt::print("{} programs, {} differences\n", programs, failed);
  return failed == 0 && programs > 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return xnic::tests::run_all(argv[1], argv[2], argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 1000);
}
