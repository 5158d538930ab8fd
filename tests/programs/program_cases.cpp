// SPDX-License-Identifier: Apache-2.0
// Runs the cases of tests/programs/*.json on one engine, with the program compiled for each CPU version. Every case
// loads the program afresh. usage: program_cases ENGINE CASES_DIR PROGRAMS_DIR
//
// The kernel takes a context only for an interface that exists: with root the process enters a network namespace of its
// own and makes the pair of interfaces that the cases name.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "device/native_images.hpp"
#include "device/object.hpp"
#include "exec/interp/interp.hpp"
#include "program_case.hpp"

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using xnic::base::ErrorKind;
using xnic::base::make_error;
using xnic::base::Result;

namespace xnic::tests {
namespace {

std::string to_hex(base::Bytes bytes) {
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// What is wrong with the maps after the packet; empty: nothing.
std::string map_mismatch(const device::Object& object, const ordered_json& maps) {
  for (const auto& [name, entries] : maps.items()) {
    const device::ObjectMap* map = object.find_map(name);
    if (map == nullptr) return name + ": no such map";
    std::vector<uint8_t> value(map->map->host_value_bytes());
    for (const auto& entry : entries) {
      const auto key = from_hex(entry["key"]);
      const int error = key.empty() ? map->map->pop(value.data()) : map->map->host_lookup(key.data(), value.data(), 0);
      if (entry["value"].is_null()) {
        if (error != -ENOENT) return fmt::format("{}[{}] should be absent", name, to_hex(key));
        continue;
      }
      if (error != 0) return fmt::format("{}[{}] is missing ({})", name, to_hex(key), error);
      // Of a per-CPU value the copy of CPU 0, where every case runs.
      const std::string got = to_hex(base::Bytes(value).first(map->map->spec().value_size));
      if (got != entry["value"])
        return fmt::format("{}[{}] is {}, expected {}", name, to_hex(key), got, entry["value"].get<std::string>());
    }
    if (map->map->spec().key_size == 0 && map->map->pop(value.data()) == 0) return name + " holds more than expected";
  }
  return "";
}

Result<std::string> run_case(device::Device& device, const std::string& engine_name, const fs::path& path,
                             const ordered_json& test) {
  XNIC_ASSIGN(auto object, load_case(device, path, test));
  // "checked": the interpreter, with every claim of the verifier's facts checked before each instruction.
  const auto checked =
      std::make_unique<exec::interp::Interp>(exec::interp::InterpOptions{.checked = true, .check_facts = true});
  std::unique_ptr<exec::Engine> owned = engine_name == "checked" ? nullptr : exec::make_engine(engine_name);
  exec::Engine* engine = owned ? owned.get() : checked.get();
  XNIC_TRY(engine->load(object.programs().at(0).loaded));
  XNIC_TRY(engine->push_maps());

  exec::packet::Packet packet = packet_of(test);
  exec::Verdict verdict;
  const base::SystemClock clock;
  uint64_t random_state = 1;
  const exec::RunContext context{.clock = &clock, .random_state = &random_state};
  XNIC_TRY(engine->run({&packet, 1}, {&verdict, 1}, context));
  XNIC_TRY(engine->pull_maps());
  if (const auto& violation = checked->violation()) return fmt::format("insn {}: {}", violation->slot, violation->what);

  if (verdict.code != verdict_code(test["verdict"]))
    return fmt::format("verdict {}, expected {}", verdict.code, test["verdict"].dump());
  const std::string wanted = test.contains("expect") ? test["expect"] : test["packet"];
  if (const std::string got = to_hex(packet.bytes()); got != wanted)
    return fmt::format("packet {}\n     expected {}", got, wanted);
  return map_mismatch(object, test.value("expect_maps", ordered_json::object()));
}

int run_all(const std::string& engine, const fs::path& cases_dir, const fs::path& programs_dir, bool spread) {
  constexpr const char* kVersions[] = {"v1", "v2", "v3", "v4"};
  device::Device device;
  device::install_device(&device);
  int passed = 0;
  int failed = 0;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(cases_dir)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::ifstream in(file);
    const ordered_json document = ordered_json::parse(in);
    for (size_t version = 0; version < std::size(kVersions); ++version) {
      const char* cpu = kVersions[version];
      const fs::path object = programs_dir / cpu / (document["program"].get<std::string>() + ".bpf.o");
      for (size_t i = 0; i < document["cases"].size(); ++i) {
        if (spread && i % std::size(kVersions) != version) continue;
        const auto& test = document["cases"][i];
        auto outcome = run_case(device, engine, object, test);
        const std::string wrong = outcome ? *outcome : outcome.error().message();
        ++(wrong.empty() ? passed : failed);
        if (!wrong.empty()) {
          std::printf("FAILED %s %s: %s\n     %s\n", file.stem().c_str(), cpu, test["name"].get<std::string>().c_str(),
                      wrong.c_str());
        }
      }
    }
  }
  device::install_device(nullptr);
  std::printf("engine %s: %d passed, %d failed\n", engine.c_str(), passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

// A network namespace of this process alone, with the interfaces of the cases; it vanishes with the process.
bool enter_namespace() {
  return unshare(CLONE_NEWNET) == 0 && std::system("ip link set lo up") == 0 &&
         std::system("ip link add d3 index 3 numrxqueues 80 type veth peer name p3") == 0;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  const bool spread = argc == 5 && std::string(argv[4]) == "--spread";
  if (argc != 4 && !spread) {
    std::fprintf(stderr,
                 "usage: program_cases ENGINE CASES_DIR PROGRAMS_DIR [--spread]\n"
                 "  --spread: each case on one CPU version in turn, not on all four\n");
    return 2;
  }
  xnic::device::install_native();
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  sched_setaffinity(0, sizeof first, &first);
  if (std::string(argv[1]) == "kernel" && (geteuid() != 0 || !xnic::tests::enter_namespace())) {
    std::printf("skipped: the live kernel takes programs from root only\n");
    return 77;
  }
  return xnic::tests::run_all(argv[1], argv[2], argv[3], spread);
}
