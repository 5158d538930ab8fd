// SPDX-License-Identifier: Apache-2.0
// Compiled rows against the interpreter.
//
//   hxdp_diff [--random N] [--packets M] [--seed S] [--lanes L] [--off PASS]... [--listing] [--growth P] [--all]
//   [OBJECT or FOLDER]...
//
// Objects (or random programs) pass the card's verifier, are compiled, and run on the same packets and map contents as
// the interpreter. Verdict, packet, metadata and maps must be equal. --all repeats with 1, 2, 4, 8 lanes and with each
// pass off in turn. Exit code 1 and the difference when there is one.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "arch/ebpf/print.hpp"
#include "arch/hxdp/text.hpp"
#include "compare.hpp"
#include "compile/pipeline.hpp"
#include "device/object.hpp"
#include "door.hpp"
#include "exec/interp/interp.hpp"
#include "random_program.hpp"
#include "rows.hpp"

namespace xnic::tests {
namespace {

struct Arguments {
  uint64_t random = 0;
  uint64_t packets = 20;
  uint64_t seed = 1;
  bool listing = false;
  bool all = false;
  compile::HxdpOptions options;
  std::vector<std::string> objects;
};

struct Totals {
  uint64_t programs = 0, refused = 0, images = 0, packets = 0, rows = 0;
};

std::vector<std::pair<std::vector<uint8_t>, std::vector<uint8_t>>> contents(exec::maps::Map& map) {
  std::vector<std::pair<std::vector<uint8_t>, std::vector<uint8_t>>> all;
  std::vector<uint8_t> value(map.host_value_bytes());
  if (map.spec().key_size == 0) {
    while (map.pop(value.data()) == 0) all.emplace_back(std::vector<uint8_t>{}, value);
    return all;
  }
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size);
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) all.emplace_back(key, value);
  }
  return all;
}

// The program with maps of its own: global data as loaded, entries that depend on the seed elsewhere.
std::shared_ptr<const exec::LoadedProgram> copy_maps(const exec::LoadedProgram& from, uint64_t seed) {
  auto copy = std::make_shared<exec::LoadedProgram>(from);
  base::Rng rng(seed);
  for (auto& map : copy->maps) {
    int error = 0;
    auto fresh = exec::maps::Map::create(creation_spec(map->spec()), {.cpus = map->cpus()}, error);
    if (fresh == nullptr) {
      fmt::print("map {} type {}: {}\n", map->spec().name, map->spec().type, error);
      return nullptr;
    }
    const bool global = map->spec().name.find('.') != std::string::npos;
    if (global) std::memcpy(fresh->values_base(), map->values_base(), map->spec().value_size);
    const uint32_t type = map->spec().type;
    if (!global && type != arch::ebpf::kMapDevmap && type != arch::ebpf::kMapXskmap && type != arch::ebpf::kMapCpumap)
      fill_map(*fresh, rng);
    map = std::move(fresh);
  }
  return copy;
}

// Empty when both sides agree on all packets.
std::string compare_runs(const arch::hxdp::Image& image, const std::shared_ptr<const arch::ebpf::Program>& program,
                         const std::shared_ptr<const arch::ebpf::Facts>& facts, const exec::LoadedProgram* device_maps,
                         const Arguments& args, Totals& totals) {
  const uint64_t seed = args.seed * 7919 + 1;
  std::shared_ptr<const exec::LoadedProgram> ours, theirs;
  if (device_maps == nullptr) {
    ours = load_with_maps(program, seed, facts), theirs = load_with_maps(program, seed, facts);
  } else {
    ours = copy_maps(*device_maps, seed), theirs = copy_maps(*device_maps, seed);
    if (ours == nullptr || theirs == nullptr) return "its maps cannot be copied\n";
  }
  exec::interp::Interp interp;
  if (auto loaded = interp.load(theirs); !loaded) return {};
  Rows rows(image, *ours);
  base::ManualClock clock(1'000'000'000);
  uint64_t our_random = 1, their_random = 1;
  exec::RunContext our_context{.clock = &clock, .random_state = &our_random};
  exec::RunContext their_context{.clock = &clock, .random_state = &their_random};
  base::Rng rng(seed);
  for (uint64_t i = 0; i < args.packets; i++) {
    const RandomPacket random = random_packet(rng);
    exec::packet::Packet a = random.packet(), b = random.packet();
    a.ingress_ifindex = b.ingress_ifindex = uint32_t(1 + rng.below(3));
    a.rx_queue = b.rx_queue = uint32_t(rng.below(80));
    exec::Verdict verdict;
    if (auto ran = interp.run({&b, 1}, {&verdict, 1}, their_context); !ran) return ran.error().message();
    const RowRun run = rows.run(a, our_context);
    totals.packets++;
    totals.rows += run.rows;
    std::string path;
    for (auto row : run.path) path += fmt::format(" {}", row);
    const auto differs = [&](const std::string& what) {
      return fmt::format("packet {} ({} bytes {}): {}\n  path{}\n", i, random.frame.size(),
                         hex(base::Bytes(random.frame).first(std::min<size_t>(80, random.frame.size()))), what, path);
    };
    if (!run.fault.empty()) return differs(run.fault);
    if (run.verdict.code != verdict.code)
      return differs(fmt::format("verdict {} but interp {}", run.verdict.code, verdict.code));
    if (verdict.code == arch::ebpf::kXdpRedirect && !(run.verdict.redirect == verdict.redirect))
      return differs("redirect");
    if (a.bytes() != b.bytes()) {
      const auto x = a.bytes(), y = b.bytes();
      return differs(fmt::format("packet\n  rows   {}\n  interp {}",
                                 hex(base::Bytes(x).first(std::min<size_t>(x.size(), 120))),
                                 hex(base::Bytes(y).first(std::min<size_t>(120, y.size())))));
    }
    if (!std::equal(a.data_meta, a.data, b.data_meta, b.data)) return differs("metadata");
  }
  for (size_t i = 0; i < ours->maps.size(); i++) {
    auto a = contents(*ours->maps[i]), b = contents(*theirs->maps[i]);
    if (a == b) continue;
    std::sort(a.begin(), a.end()), std::sort(b.begin(), b.end());  // order is not content
    if (a == b) continue;
    std::string text = fmt::format("map {} ({}, type {}) differs\n", i, program->maps[i].name, program->maps[i].type);
    for (const auto& [key, value] : a) text += fmt::format("  rows   [{}] = {}\n", hex(key), hex(value));
    for (const auto& [key, value] : b) text += fmt::format("  interp [{}] = {}\n", hex(key), hex(value));
    return text;
  }
  return {};
}

bool try_one(const std::string& name, const std::shared_ptr<const arch::ebpf::Program>& program,
             const std::shared_ptr<const arch::ebpf::Facts>& facts, const exec::LoadedProgram* device_maps,
             const Arguments& args, const compile::HxdpOptions& options, Totals& totals) {
  compile::HxdpStatistics statistics;
  auto image = compile::compile_hxdp(*program, *facts, options, &statistics);
  if (!image) {
    totals.refused++;
    fmt::print("{}: refused: {}\n", name, image.error().message());
    return true;
  }
  totals.images++;
  if (args.listing) fmt::print("{}\n", arch::hxdp::listing(*image, true));
  if (args.random == 0)
    fmt::print("{:40} {:5} insns {:5} rows {:6} ops {:5} blocks\n", name, statistics.insns, statistics.rows,
               statistics.operations, statistics.blocks);
  const std::string difference = compare_runs(*image, program, facts, device_maps, args, totals);
  if (difference.empty()) return true;
  std::string off;
  for (const auto& pass : options.off) off += " --off " + pass;
  fmt::print("{} (lanes {}{}):\n{}\n{}\n{}", name, options.parameters.lanes, off, arch::ebpf::listing(*program),
             arch::hxdp::listing(*image, false), difference);
  return false;
}

bool try_all(const std::string& name, const std::shared_ptr<const arch::ebpf::Program>& program,
             const std::shared_ptr<const arch::ebpf::Facts>& facts, const exec::LoadedProgram* device_maps,
             const Arguments& args, Totals& totals) {
  totals.programs++;
  compile::HxdpOptions options = args.options;
  options.parameters.rows = arch::hxdp::kMaxRows;
  if (!args.all) return try_one(name, program, facts, device_maps, args, options, totals);
  for (uint32_t lanes : {1u, 2u, 4u, 8u}) {
    options.parameters.lanes = lanes;
    if (!try_one(name, program, facts, device_maps, args, options, totals)) return false;
  }
  options.parameters.lanes = 4;
  options.parameters.forwarding = arch::hxdp::Forwarding::kLane;
  if (!try_one(name, program, facts, device_maps, args, options, totals)) return false;
  options.parameters.forwarding = arch::hxdp::Forwarding::kFull;
  for (const auto& pass : compile::hxdp_passes()) {
    options.off = {std::string(pass.name)};
    if (!try_one(name, program, facts, device_maps, args, options, totals)) return false;
  }
  options.off.clear();
  for (const auto& pass : compile::hxdp_passes()) options.off.push_back(std::string(pass.name));
  return try_one(name, program, facts, device_maps, args, options, totals);
}

bool objects(const Arguments& args, Totals& totals) {
  device::Device device;
  device::install_device(&device);
  std::vector<std::string> files;
  for (const std::string& path : args.objects) {
    if (!std::filesystem::is_directory(path))
      files.push_back(path);
    else
      for (const auto& entry : std::filesystem::directory_iterator(path))
        if (entry.path().extension() == ".o") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    auto object = device::Object::load(device, file);
    if (!object) {
      fmt::print("{}: {}\n", file, object.error().message());
      continue;
    }
    for (const auto& program : object->programs()) {
      const std::string name = std::filesystem::path(file).parent_path().filename().string() + "/" +
                               std::filesystem::path(file).filename().string() + ":" + program.name;
      if (!try_all(name, program.loaded->program, program.loaded->facts, program.loaded.get(), args, totals))
        return false;
    }
  }
  return true;
}

bool random_programs(const Arguments& args, Totals& totals) {
  for (uint64_t i = 0; i < args.random; i++) {
    const uint64_t seed = args.seed * 1'000'003 + i;
    const auto program = random_program(seed);
    Door door;
    const DoorResult result = door.load(*program, 1);
    if (result.loaded == nullptr) continue;
    if (!try_all(fmt::format("random {}", seed), result.loaded->program, result.loaded->facts, nullptr, args, totals))
      return false;
  }
  return true;
}

int main_of(int argc, char** argv) {
  Arguments args;
  for (int i = 1; i < argc; i++) {
    const std::string word = argv[i];
    const auto number = [&] { return ++i < argc ? std::strtoull(argv[i], nullptr, 0) : 0; };
    if (word == "--random")
      args.random = number();
    else if (word == "--packets")
      args.packets = number();
    else if (word == "--seed")
      args.seed = number();
    else if (word == "--lanes")
      args.options.parameters.lanes = uint32_t(number());
    else if (word == "--growth")
      args.options.growth = uint32_t(number());
    else if (word == "--off" && i + 1 < argc)
      args.options.off.push_back(argv[++i]);
    else if (word == "--listing")
      args.listing = true;
    else if (word == "--all")
      args.all = true;
    else
      args.objects.push_back(word);
  }
  Totals totals;
  const bool ok = objects(args, totals) && random_programs(args, totals);
  fmt::print("{} programs, {} images, {} refused, {} packets, {} rows\n", totals.programs, totals.images,
             totals.refused, totals.packets, totals.rows);
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) { return xnic::tests::main_of(argc, argv); }
