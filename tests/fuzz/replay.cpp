// SPDX-License-Identifier: Apache-2.0
// fuzz_replay TARGET PATH...: gives each file, and each file of each folder, to the target. No fuzzing engine, any
// compiler. The name of each file is printed before it runs, so that the last line names the one that crashes.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "targets.hpp"

namespace {

namespace fs = std::filesystem;

void replay(const xnic::tests::fuzz::Target& target, const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(file), {}};
  const std::vector<uint8_t> bytes(chars.begin(), chars.end());
  std::printf("%s\n", path.c_str());
  std::fflush(stdout);
  target.run(bytes);
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& target : xnic::tests::fuzz::kTargets) {
    if (argc < 3 || target.name != argv[1]) continue;
    size_t files = 0;
    for (int i = 2; i < argc; ++i) {
      if (!fs::is_directory(argv[i])) {
        replay(target, argv[i]);
        ++files;
        continue;
      }
      for (const auto& entry : fs::directory_iterator(argv[i])) {
        if (!entry.is_regular_file()) continue;
        replay(target, entry.path());
        ++files;
      }
    }
    std::printf("%s: %zu inputs\n", argv[1], files);
    return files == 0 ? 1 : 0;  // a corpus that is gone must not pass
  }
  std::fprintf(stderr, "usage: fuzz_replay elf|verifier|interp|pcap|link FILE_OR_FOLDER...\n");
  return 2;
}
