// SPDX-License-Identifier: Apache-2.0
#include "plugin.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <fstream>

namespace xnic::conformance {

using base::ErrorKind;

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x} ", byte);
  return text;
}

base::Result<uint64_t> run_plugin(const std::string& arguments, const std::string& input) {
  const std::string file = fmt::format("{}/xnic_conformance_{}", testing::TempDir(), getpid());
  std::ofstream(file) << input << "\n";
  FILE* pipe = popen(fmt::format("{} {} < {} 2>&1", XNIC_PLUGIN, arguments, file).c_str(), "r");
  if (pipe == nullptr) return base::make_error(ErrorKind::kIo, "popen", "failed");
  std::string output;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
  const int status = pclose(pipe);
  std::remove(file.c_str());
  if (!output.empty() && output.back() == '\n') output.pop_back();
  if (!WIFEXITED(status)) return base::make_error(ErrorKind::kIo, "plugin", "crashed: {}", output);
  if (WEXITSTATUS(status) != 0) return base::Unexpected(base::Error{ErrorKind::kBadInput, "", output});
  return std::stoull(output, nullptr, 16);
}

}  // namespace xnic::conformance
