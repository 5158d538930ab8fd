// SPDX-License-Identifier: Apache-2.0
// House rules as a test. Each rule is a function over the list of tracked-looking files (all but build/ and .git/) that
// reports violations as "path:line: rule: what". A violation is accepted only if tests/tidy/waivers.txt names the rule
// and the path.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "arch/ebpf/helpers.hpp"
#include "feature_matrix.hpp"

namespace fs = std::filesystem;

namespace {

struct File {
  std::string path;  // relative to the root, with '/'
  std::vector<std::string> lines;
};

constexpr size_t kMaxColumns = 120;
constexpr size_t kMaxLines = 600;
constexpr size_t kMaxFunctionLines = 70;
const std::string kFeatureMatrix = "docs/feature-matrix.md";

// Rooms by rank (docs/architecture.md). A room includes itself and lower ranks; rooms of one rank never see each other.
const std::map<std::string, int> kRanks = {{"base", 0}, {"arch", 1},   {"wire", 1}, {"compile", 2},
                                           {"exec", 2}, {"device", 3}, {"nic", 4},  {"transport", 5}};

class Tidy {
 public:
  explicit Tidy(const fs::path& root) : root_(root) {
    read_tree();
    read_waivers();
  }

  int run(bool write) {
    for (const File& file : files_) {
      check_text(file);
      if (is_source(file.path)) check_source(file);
      if (file.path.ends_with(".md")) check_citations(file);
    }
    check_cycles();
    check_readmes();
    check_feature_matrix(write);
    for (const auto& [waiver, used] : waivers_) {
      if (!used) fail("tests/tidy/waivers.txt", 0, "waiver", "'" + waiver + "' is no longer needed: delete it");
    }
    std::printf("tidy: %zu files, %d violations\n", files_.size(), violations_);
    return violations_ == 0 ? 0 : 1;
  }

 private:
  static bool is_source(const std::string& path) {
    return path.ends_with(".cpp") || path.ends_with(".hpp") || path.ends_with(".c") || path.ends_with(".h");
  }

  void read_tree() {
    for (auto entry = fs::recursive_directory_iterator(root_); entry != fs::end(entry); ++entry) {
      const std::string name = entry->path().filename().string();
      const std::string path = fs::relative(entry->path(), root_).generic_string();
      if (entry->is_directory()) {
        if (path == "build" || name == ".git" || name == ".cache") {
          entry.disable_recursion_pending();
        } else {
          folders_.insert(path);
        }
        continue;
      }
      if (name == ".git") continue;  // a worktree's pointer to its repository
      paths_.insert(path);
      static const std::set<std::string> text = {".cpp", ".hpp", ".c",     ".h",    ".md",  ".txt",
                                                 ".sh",  ".py",  ".cmake", ".json", ".def", ""};
      if (!text.contains(entry->path().extension().string()) || name == "LICENSE") continue;
      File file{path, {}};
      std::ifstream in(entry->path());
      for (std::string line; std::getline(in, line);) file.lines.push_back(line);
      files_.push_back(std::move(file));
    }
    std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) { return a.path < b.path; });
  }

  void read_waivers() {
    std::ifstream in(root_ / "tests/tidy/waivers.txt");
    for (std::string line; std::getline(in, line);) {
      std::istringstream words(line);
      std::string rule;
      std::string path;
      if (line.starts_with("#") || !(words >> rule >> path)) continue;
      waivers_[rule + " " + path] = false;
    }
  }

  void fail(const std::string& path, size_t line, const std::string& rule, const std::string& what) {
    const auto waiver = waivers_.find(rule + " " + path);
    if (waiver != waivers_.end()) {
      waiver->second = true;
      return;
    }
    ++violations_;
    std::printf("%s:%zu: %s: %s\n", path.c_str(), line, rule.c_str(), what.c_str());
  }

  void check_text(const File& file) {
    // Spelled in two parts, so that this file does not break its own rule.
    static const std::string machine_path = std::string("/wo") + "rk/";
    for (size_t i = 0; i < file.lines.size(); ++i) {
      if (file.lines[i].find(machine_path) != std::string::npos)
        fail(file.path, i + 1, "machine-path", "names a folder of one machine");
      if (file.lines[i].ends_with(' ')) fail(file.path, i + 1, "trailing-space", "ends with a space");
    }
  }

  void check_source(const File& file) {
    if (file.lines.empty() || file.lines[0].find("SPDX-License-Identifier:") == std::string::npos) {
      fail(file.path, 1, "licence", "the first line must be the SPDX licence line");
    }
    if (file.lines.size() > kMaxLines) {
      fail(file.path, kMaxLines, "file-length",
           std::to_string(file.lines.size()) + " lines: find the two things that it does and part them");
    }
    for (size_t i = 0; i < file.lines.size(); ++i) {
      // Columns are characters: bytes of a UTF-8 sequence after its first don't count.
      const auto columns =
          std::count_if(file.lines[i].begin(), file.lines[i].end(), [](char c) { return (c & 0xc0) != 0x80; });
      if (static_cast<size_t>(columns) > kMaxColumns) fail(file.path, i + 1, "columns", "over 120 columns");
    }
    check_functions(file);
    if (file.path.starts_with("src/")) check_includes(file);
  }

  // In this repository's format a function outside a class begins in the first column and ends with a '}' there.
  void check_functions(const File& file) {
    static const std::regex other(
        "^(namespace|struct|class|enum|union|using|extern|template|static_assert|typedef)\\b");
    for (size_t first = 0; first < file.lines.size(); ++first) {
      const std::string& line = file.lines[first];
      if (line.empty() || (std::isalpha(static_cast<unsigned char>(line[0])) == 0 && line[0] != '_')) continue;
      if (line.find('(') == std::string::npos || std::regex_search(line, other)) continue;
      size_t last = first;
      auto ends_with = [&](char c) { return file.lines[last].ends_with(c); };
      while (last + 1 < file.lines.size() && !ends_with('{') && !ends_with(';') && !ends_with('}')) ++last;
      if (!ends_with('{')) continue;
      while (last + 1 < file.lines.size() && !file.lines[last].starts_with('}')) ++last;
      if (const size_t lines = last - first + 1; lines > kMaxFunctionLines) {
        fail(file.path, first + 1, "function-length", std::to_string(lines) + " lines: part it by what it does");
      }
      first = last;
    }
  }

  static std::string room_of(const std::string& include) { return include.substr(0, include.find('/')); }

  void check_includes(const File& file) {
    static const std::regex include_line("^\\s*#include \"([^\"]+)\"");
    const std::string room = room_of(file.path.substr(4));
    if (!kRanks.contains(room)) {
      fail(file.path, 1, "rank", "room '" + room + "' has no rank");
      return;
    }
    for (size_t i = 0; i < file.lines.size(); ++i) {
      std::smatch match;
      if (!std::regex_search(file.lines[i], match, include_line)) continue;
      const std::string included = match[1];
      if (!paths_.contains("src/" + included)) {
        fail(file.path, i + 1, "include", "\"" + included + "\" is not a path from src/");
        continue;
      }
      graph_[file.path].insert("src/" + included);
      const std::string other = room_of(included);
      if (other != room && kRanks.at(other) >= kRanks.at(room)) {
        fail(file.path, i + 1, "rank", room + " may not include " + other + " (docs/architecture.md)");
      }
    }
  }

  // Depth-first search over the includes; a file met again on the way is a cycle.
  void check_cycles() {
    std::set<std::string> done;
    std::vector<std::string> way;
    for (const auto& [path, includes] : graph_) visit(path, done, way);
  }

  void visit(const std::string& path, std::set<std::string>& done, std::vector<std::string>& way) {
    const auto met = std::find(way.begin(), way.end(), path);
    if (met != way.end()) {
      std::string cycle;
      for (auto at = met; at != way.end(); ++at) cycle += *at + " -> ";
      fail(path, 1, "cycle", cycle + path);
      return;
    }
    if (!done.insert(path).second) return;
    way.push_back(path);
    for (const std::string& next : graph_[path]) visit(next, done, way);
    way.pop_back();
  }

  void check_readmes() {
    for (const std::string& folder : folders_) {
      const bool room = folder.starts_with("src/") ||
                        (std::count(folder.begin(), folder.end(), '/') <= 1 && folder.starts_with("tests")) ||
                        folder == "tools" || folder == "programs" || folder == "bench" || folder == "apps" ||
                        folder == "docs";
      if (room && folder.find("/unit/") == std::string::npos && !paths_.contains(folder + "/README.md")) {
        fail(folder + "/README.md", 1, "readme", "missing: one true paragraph on what the folder owns");
      }
    }
  }

  // `src/x/y.cpp` or `src/x/y.cpp:function` in a document must exist, and the function must stand in that file.
  void check_citations(const File& file) {
    static const std::regex citation(
        "\\b((?:src|tests|tools|programs|docs|bench|scripts|data|apps|rtl|include)/[A-Za-z0-9_./"
        "-]+[A-Za-z0-9_])(?::([a-z_]+))?");
    for (size_t i = 0; i < file.lines.size(); ++i) {
      const std::string& line = file.lines[i];
      for (std::sregex_iterator at(line.begin(), line.end(), citation), end; at != end; ++at) {
        const std::string path = (*at)[1];
        if (path.find("NAME") != std::string::npos) continue;  // a pattern, not a path
        const auto before = static_cast<size_t>(at->position());
        if (before > 0 && (line[before - 1] == '/' || line[before - 1] == '-'))
          continue;  // part of a longer path: build/…, an option
        if (!paths_.contains(path) && !folders_.contains(path)) {
          fail(file.path, i + 1, "citation", path + " does not exist");
        } else if ((*at)[2].matched && paths_.contains(path) && !stands_in(path, (*at)[2])) {
          fail(file.path, i + 1, "citation", path + " has no '" + (*at)[2].str() + "'");
        }
      }
    }
  }

  bool stands_in(const std::string& path, const std::string& word) const {
    const auto file =
        std::find_if(files_.begin(), files_.end(), [&](const File& candidate) { return candidate.path == path; });
    if (file == files_.end()) return false;
    const std::regex whole("\\b" + word + "\\b");
    return std::any_of(file->lines.begin(), file->lines.end(),
                       [&](const std::string& line) { return std::regex_search(line, whole); });
  }

  // The generated parts of the matrix say what the tables say, and what isn't supported has a reason.
  void check_feature_matrix(bool write) {
    for (const auto& helper : xnic::arch::ebpf::all_helpers()) {
      if (helper.status == xnic::arch::ebpf::HelperStatus::kUnsupported && helper.note.empty()) {
        fail("src/arch/ebpf/helpers.def", 1, "feature-matrix",
             "helper " + std::string(helper.name) + " is unsupported without a reason");
      }
    }
    std::ifstream in(root_ / kFeatureMatrix);
    const std::string today{std::istreambuf_iterator<char>(in), {}};
    const std::string wanted = xnic::tidy::fill_feature_matrix(today);
    if (today == wanted) return;
    if (write) {
      std::ofstream(root_ / kFeatureMatrix) << wanted;
    } else {
      fail(kFeatureMatrix, 1, "feature-matrix", "its tables are not those of src/arch/ebpf: run 'make docs'");
    }
  }

  fs::path root_;
  std::vector<File> files_;
  std::set<std::string> paths_;
  std::set<std::string> folders_;
  std::map<std::string, std::set<std::string>> graph_;
  std::map<std::string, bool> waivers_;  // "rule path" -> used
  int violations_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const bool write = argc == 3 && std::string(argv[2]) == "--write";
  if (argc != 2 && !write) {
    std::fprintf(
        stderr,
        "usage: tidy SOURCE_ROOT [--write]   --write brings the generated tables of the documents up to date\n");
    return 2;
  }
  return Tidy(argv[1]).run(write);
}
