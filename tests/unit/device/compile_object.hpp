// SPDX-License-Identifier: Apache-2.0
// Compiles small programs for the tests with the project's own BPF compiler.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace xnic::device {

// The object file of `source`; `language` is "c" or "assembler". Throws when the compiler refuses it.
inline std::vector<uint8_t> compile_object(const std::string& source, const std::string& flags = "-g",
                                           const std::string& language = "c") {
  auto folder = std::filesystem::temp_directory_path() / ("xnic-test-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  auto input = folder / "input";
  auto output = folder / "output.o";
  std::ofstream(input) << source;
  std::string command = "clang-19 -O2 -Wno-unused-command-line-argument -target bpf -mcpu=v3 " + flags +
                        " -I/usr/include/x86_64-linux-gnu -x " + language + " -c " + input.string() + " -o " +
                        output.string();
  int status = std::system(command.c_str());
  if (status != 0) throw std::runtime_error("clang-19 failed");
  std::ifstream file(output, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::filesystem::remove_all(folder);
  return bytes;
}

}  // namespace xnic::device
