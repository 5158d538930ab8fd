// SPDX-License-Identifier: Apache-2.0
// The cases of tests/programs on compiled rows: verdict and packet must be as written there. Prints the rows that each
// case took.
//
//   hxdp_cases CASES_DIR OBJECTS_DIR [PROGRAM]...
//   hxdp_cases CASES_DIR OBJECTS_DIR --tables DOCUMENT
//
// --tables: how many rows one case of each program takes with every pass on, and with each pass off; and how far the
// schedules of its regions are from the shortest. As tables, put into the document between the lines "<!-- passes -->"
// and "<!-- end of passes -->", "<!-- exact -->" and "<!-- end of exact -->" (make docs-hxdp).
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

struct CaseRun {
  size_t image_rows = 0;
  uint32_t path_rows = 0;
};

// The case on an image. Empty: as expected.
std::string run_image(const arch::hxdp::Image& image, const exec::LoadedProgram& loaded,
                      const nlohmann::ordered_json& test, RowRun& run) {
  Rows rows(image, loaded);
  exec::packet::Packet packet = packet_of(test);
  const base::SystemClock clock;
  uint64_t random_state = 1;
  run = rows.run(packet, {.clock = &clock, .random_state = &random_state});
  if (!run.fault.empty()) return run.fault;
  if (run.verdict.code != verdict_code(test["verdict"])) return fmt::format("verdict {}", run.verdict.code);
  const std::string wanted = test.contains("expect") ? test["expect"] : test["packet"];
  if (packet.bytes() != from_hex(wanted)) return "the packet is not as expected";
  return {};
}

// Empty: as expected.
std::string run_case(device::Device& device, Images& images, const fs::path& path, const nlohmann::ordered_json& test) {
  auto object = load_case(device, path, test);
  if (!object) return object.error().message();
  const auto& loaded = *object->programs().at(0).loaded;
  const auto& image = compiled(images, loaded, test);
  if (!image) return image.error().message();
  RowRun run;
  const std::string wrong = run_image(*image, loaded, test, run);
  fmt::print("{:16} {:44} {:4} insns {:4} rows {:4} on the path {:5} operations\n", path.stem().stem().string(),
             test["name"].get<std::string>().substr(0, 44), loaded.program->insns.size(), image->rows.size(), run.rows,
             run.operations);
  return wrong;
}

// The case with passes off, or with searched schedules. Empty: as expected.
std::string run_with(device::Device& device, const fs::path& path, const nlohmann::ordered_json& test,
                     compile::HxdpOptions options, CaseRun& figures, compile::HxdpStatistics* statistics = nullptr) {
  auto object = load_case(device, path, test);
  if (!object) return object.error().message();
  const auto& loaded = *object->programs().at(0).loaded;
  options.parameters.rows = arch::hxdp::kMaxRows;
  const auto image = compile::compile_hxdp(*loaded.program, *loaded.facts, options, statistics);
  if (!image) return image.error().message();
  RowRun run;
  std::string wrong = run_image(*image, loaded, test, run);
  figures = {image->rows.size(), run.rows};
  return wrong;
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

// Cases whose path the document states; of other programs the first.
bool is_stated(const std::string& program, const nlohmann::ordered_json& test, size_t index) {
  return program == "adjust_tail" ? test["name"] == "601 bytes are answered" : index == 0;
}

// "16 · 24": rows on the path, rows of the image.
std::string cell(const CaseRun& run, const CaseRun& all) {
  if (run.path_rows == all.path_rows && run.image_rows == all.image_rows) return "";
  return fmt::format("{} · {}", run.path_rows, run.image_rows);
}

// Replaces what stands between <!-- name --> and <!-- end of name -->. False: there is no such place.
bool replace_table(std::string& document, const std::string& name, const std::string& table) {
  const std::string begin = "<!-- " + name + " -->\n", end = "<!-- end of " + name + " -->";
  const size_t from = document.find(begin), to = document.find(end);
  if (from == std::string::npos || to == std::string::npos) return false;
  document.replace(from + begin.size(), to - from - begin.size(), table);
  return true;
}

constexpr uint64_t kExactNodes = 100'000;  // as xnic compile's default

int write_tables(const fs::path& cases, const fs::path& objects, const fs::path& document) {
  device::Device device;
  device::install_device(&device);
  std::string table = "| program: path | all on |", rule = "|---|---|";
  for (const auto& pass : compile::hxdp_passes()) table += fmt::format(" {} |", pass.name), rule += "---|";
  table += "\n" + rule + "\n";
  std::string exact =
      "| program | regions | shortest, proved | shortened by the search | shorter with more registers | not decided | "
      "rows "
      "to the ends | at least |\n|---|---|---|---|---|---|---|---|\n";
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(cases)) {
    if (entry.path().extension() == ".json") files.insert(entry.path());
  }
  int failed = 0;
  for (const fs::path& file : files) {
    std::ifstream in(file);
    const auto json = nlohmann::ordered_json::parse(in);
    const std::string program = json["program"];
    for (size_t i = 0; i < json["cases"].size(); i++) {
      const auto& test = json["cases"][i];
      if (!is_stated(program, test, i)) continue;
      CaseRun all;
      const fs::path object = objects / (program + ".bpf.o");
      failed += !run_with(device, object, test, {}, all).empty();
      CaseRun searched;
      compile::HxdpStatistics statistics;
      compile::HxdpOptions search;
      search.exact_nodes = kExactNodes;
      failed += !run_with(device, object, test, search, searched, &statistics).empty();
      const auto& e = statistics.exact;
      exact += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", program, e.regions, e.shortest, e.shortened,
                           e.cramped, e.undecided, e.rows, e.bound);
      table +=
          fmt::format("| {}: {} | {} · {} |", program, test["name"].get<std::string>(), all.path_rows, all.image_rows);
      for (const auto& pass : compile::hxdp_passes()) {
        CaseRun without;
        compile::HxdpOptions off;
        off.off = {std::string(pass.name)};
        failed += !run_with(device, object, test, off, without).empty();
        table += fmt::format(" {} |", cell(without, all));
      }
      table += "\n";
    }
  }
  device::install_device(nullptr);
  std::ifstream in(document);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (failed != 0 || !replace_table(text, "passes", table) || !replace_table(text, "exact", exact)) {
    fmt::print("{} runs failed, or {} has no place for the tables\n", failed, document.string());
    return 1;
  }
  std::ofstream(document) << text;
  return 0;
}

}  // namespace
}  // namespace xnic::tests

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (argc == 5 && std::string(argv[3]) == "--tables") return xnic::tests::write_tables(argv[1], argv[2], argv[4]);
  return xnic::tests::run_all(argv[1], argv[2], {argv + 3, argv + argc});
}
