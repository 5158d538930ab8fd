// SPDX-License-Identifier: Apache-2.0
// The cases of tests/programs on compiled rows: verdict and packet must be as written there. Prints the rows that each
// case took.
//
//   hxdp_cases CASES_DIR OBJECTS_DIR [PROGRAM]...
#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "compile/pipeline.hpp"
#include "program_case.hpp"
#include "rows.hpp"

namespace xnic::tests {
namespace {

namespace fs = std::filesystem;

// Images by the contents of frozen maps, which are all of a case that the compiler sees: compiling takes longest.
using Images = std::map<std::string, base::Result<arch::hxdp::Image>>;

const base::Result<arch::hxdp::Image>& compiled(Images& images, const exec::LoadedProgram& loaded,
                                                const nlohmann::ordered_json& test) {
  const auto maps = test.value("maps", nlohmann::ordered_json::object());
  const std::string constants = maps.contains(".rodata") ? maps[".rodata"].dump() : "";
  if (const auto at = images.find(constants); at != images.end()) return at->second;
  compile::HxdpOptions options;
  options.parameters.rows = arch::hxdp::kMaxRows;
  return images.emplace(constants, compile::compile_hxdp(*loaded.program, *loaded.facts, options)).first->second;
}

// Empty: as expected.
std::string run_case(device::Device& device, Images& images, const fs::path& path, const nlohmann::ordered_json& test) {
  auto object = load_case(device, path, test);
  if (!object) return object.error().message();
  const auto& loaded = *object->programs().at(0).loaded;
  const auto& image = compiled(images, loaded, test);
  if (!image) return image.error().message();
  Rows rows(*image, loaded);
  exec::packet::Packet packet = packet_of(test);
  const base::SystemClock clock;
  uint64_t random_state = 1;
  const RowRun run = rows.run(packet, {.clock = &clock, .random_state = &random_state});
  fmt::print("{:16} {:44} {:4} insns {:4} rows {:4} on the path {:5} operations\n", path.stem().stem().string(),
             test["name"].get<std::string>().substr(0, 44), loaded.program->insns.size(), image->rows.size(), run.rows,
             run.operations);
  if (!run.fault.empty()) return run.fault;
  if (run.verdict.code != verdict_code(test["verdict"])) return fmt::format("verdict {}", run.verdict.code);
  const std::string wanted = test.contains("expect") ? test["expect"] : test["packet"];
  if (packet.bytes() != from_hex(wanted)) return "the packet is not as expected";
  return {};
}

int run_all(const fs::path& cases, const fs::path& objects, const std::set<std::string>& only) {
  device::Device device;
  device::install_device(&device);
  int failed = 0, passed = 0;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(cases)) {
    if (entry.path().extension() == ".json" && (only.empty() || only.count(entry.path().stem().string())))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    std::ifstream in(file);
    const auto document = nlohmann::ordered_json::parse(in);
    Images images;
    for (const auto& test : document["cases"]) {
      const std::string wrong =
          run_case(device, images, objects / (document["program"].get<std::string>() + ".bpf.o"), test);
      ++(wrong.empty() ? passed : failed);
      if (!wrong.empty()) fmt::print("FAILED {} {}: {}\n", file.stem().string(), test["name"].dump(), wrong);
    }
  }
  device::install_device(nullptr);
  fmt::print("{} passed, {} failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return xnic::tests::run_all(argv[1], argv[2], {argv + 3, argv + argc});
}
