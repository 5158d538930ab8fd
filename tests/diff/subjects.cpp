// SPDX-License-Identifier: Apache-2.0
#include "subjects.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace xnic::tests {
namespace {

constexpr size_t kMapNameBytes = 15;  // BPF_OBJ_NAME_LEN less the zero

std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
  return bytes;
}

void add_cases(const fs::path& file, Subject& subject) {
  std::ifstream in(file);
  if (!in) return;
  const ordered_json document = ordered_json::parse(in);
  for (const auto& test : document["cases"]) {
    subject.packets.push_back(from_hex(test["packet"]));
    const ordered_json maps = test.value("maps", ordered_json::object());
    for (const auto& [name, entries] : maps.items()) {
      for (const auto& entry : entries)
        subject.entries.push_back({name, from_hex(entry.value("key", "")), from_hex(entry["value"])});
    }
  }
}

exec::maps::Map* find_map(const exec::LoadedProgram& program, const std::string& name) {
  for (const auto& map : program.maps) {
    if (map->spec().name == name.substr(0, kMapNameBytes)) return map.get();
  }
  return nullptr;
}

}  // namespace

std::vector<Subject> our_programs(const std::string& cases_dir, const std::string& programs_dir) {
  std::vector<Subject> subjects;
  for (const char* cpu : {"v1", "v2", "v3", "v4"}) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(fs::path(programs_dir) / cpu)) {
      if (entry.path().extension() == ".o") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      const std::string name = file.stem().stem().string();
      Subject subject{file.string(), "", name + " " + cpu, {}, {}};
      add_cases(fs::path(cases_dir) / (name + ".json"), subject);
      subjects.push_back(std::move(subject));
    }
  }
  return subjects;
}

base::Result<std::vector<Subject>> programs_of(device::Device& device, const std::string& path) {
  device::LoadOptions options;
  options.complete_maps = true;
  const auto reports = device::Object::check(device, path, options);
  std::vector<Subject> subjects;
  if (!reports) {
    if (reports.error().detail.find("no XDP program") != std::string::npos) return subjects;
    return base::Unexpected(reports.error());
  }
  for (const auto& report : *reports)
    subjects.push_back({path, report.name, fs::path(path).filename().string() + " " + report.name, {}, {}});
  return subjects;
}

std::vector<std::string> installed_objects() {
  std::vector<std::string> paths;
  for (const char* package : {"xdp-tools", "libxdp1", "xdp-tests"}) {
    FILE* list = popen((std::string("dpkg -L ") + package + " 2>/dev/null").c_str(), "r");
    if (list == nullptr) continue;
    for (char line[4096]; std::fgets(line, sizeof line, list) != nullptr;) {
      std::string path(line, std::strcspn(line, "\n"));
      if (path.ends_with(".o") && fs::is_regular_file(path)) paths.push_back(path);
    }
    pclose(list);
  }
  return paths;
}

base::Result<device::Object> load(device::Device& device, const Subject& subject) {
  device::LoadOptions options;
  options.program = subject.program;
  options.complete_maps = true;
  options.set_global_data = [&](const device::GlobalData& data) -> base::Result<void> {
    for (const CaseEntry& entry : subject.entries) {
      if (entry.map != data.name) continue;
      if (entry.value.size() == data.value.size())
        std::copy(entry.value.begin(), entry.value.end(), data.value.begin());
      break;
    }
    return {};
  };
  return device::Object::load(device, subject.path, options);
}

void fill_from_cases(const exec::LoadedProgram& program, const Subject& subject) {
  for (const CaseEntry& entry : subject.entries) {
    exec::maps::Map* map = entry.map.starts_with('.') ? nullptr : find_map(program, entry.map);
    if (map == nullptr) continue;
    std::vector<uint8_t> value(map->host_value_bytes());
    for (size_t at = 0; at < value.size(); at += std::max<size_t>(8, (entry.value.size() + 7) / 8 * 8))
      std::copy(entry.value.begin(), entry.value.end(), value.begin() + std::ptrdiff_t(at));
    if (entry.key.empty())
      map->push(value.data(), 0);
    else
      map->host_update(entry.key.data(), value.data(), 0);
  }
}

}  // namespace xnic::tests
