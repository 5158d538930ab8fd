// SPDX-License-Identifier: Apache-2.0
// Reads the vector files: lines of "keyword value", and indented blocks under "asm" and "raw".
#include "vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "arch/ebpf/assemble.hpp"
#include "arch/ebpf/codec.hpp"

namespace xnic::conformance {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

Result<std::vector<uint8_t>> hex_bytes(const std::string& where, const std::string& text) {
  std::vector<uint8_t> bytes;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    size_t used = 0;
    const unsigned long byte = word.size() == 2 ? std::stoul(word, &used, 16) : 256;
    if (byte > 255 || used != word.size()) return make_error(ErrorKind::kBadInput, where, "\"{}\" is no byte", word);
    bytes.push_back(static_cast<uint8_t>(byte));
  }
  return bytes;
}

class Reader {
 public:
  Reader(std::string group, std::vector<Vector>& out) : group_(std::move(group)), out_(out) {}

  Result<void> line(const std::string& text) {
    ++number_;
    if (text.empty() || text[0] == '#') return {};
    if (text[0] == ' ') {
      if (block_ == nullptr) return fail("an indented line outside asm and raw");
      *block_ += text + "\n";
      return {};
    }
    block_ = nullptr;
    const size_t blank = text.find(' ');
    const std::string key = text.substr(0, blank);
    const std::string value = blank == std::string::npos ? "" : text.substr(blank + 1);
    if (key == "case") {
      XNIC_TRY(finish());
      open_ = true;
      vector_.group = group_;
      vector_.name = value;
      return {};
    }
    if (!open_) return fail("\"{}\" before the first case", key);
    return property(key, value);
  }

  // Completes the case that is being read, if any.
  Result<void> finish() {
    if (!open_) return {};
    if (vector_.cpu.empty() || has_result_ == !vector_.error.empty() || asm_.empty() == raw_.empty()) {
      return fail("case {} needs cpu, asm or raw, and result or error", vector_.name);
    }
    if (!asm_.empty()) {
      XNIC_ASSIGN(auto insns, arch::ebpf::assemble(asm_));
      vector_.program = arch::ebpf::encode(insns);
    } else {
      XNIC_ASSIGN(auto bytes, hex_bytes(where(), raw_));
      if (bytes.size() % sizeof(arch::ebpf::RawInsn) != 0) return fail("raw is no multiple of 8 bytes");
      vector_.program.resize(bytes.size() / sizeof(arch::ebpf::RawInsn));
      std::memcpy(vector_.program.data(), bytes.data(), bytes.size());
    }
    out_.push_back(std::move(vector_));
    vector_ = {};
    asm_.clear();
    raw_.clear();
    open_ = has_result_ = false;
    return {};
  }

 private:
  std::string where() const { return fmt::format("{}.data line {}", group_, number_); }
  template <class... Args>
  base::Unexpected fail(fmt::format_string<Args...> format, Args&&... args) const {
    return make_error(ErrorKind::kBadInput, where(), format, std::forward<Args>(args)...);
  }

  Result<void> property(const std::string& key, const std::string& value) {
    if (key == "cpu" && value.size() == 2 && value[0] == 'v' && value[1] >= '1' && value[1] <= '4') {
      vector_.cpu = value;
    } else if (key == "memory") {
      XNIC_ASSIGN(vector_.memory, hex_bytes(where(), value));
    } else if (key == "asm") {
      block_ = &asm_;
    } else if (key == "raw") {
      block_ = &raw_;
    } else if (key == "result") {
      vector_.result = std::stoull(value, nullptr, 16);
      has_result_ = true;
    } else if (key == "error" && !value.empty()) {
      vector_.error = value;
    } else if (key == "kernel") {
      return kernel(value);
    } else {
      return fail("cannot read \"{} {}\"", key, value);
    }
    return {};
  }

  Result<void> kernel(const std::string& value) {
    const size_t blank = value.find(' ');
    const std::string verb = value.substr(0, blank);
    vector_.kernel_text = blank == std::string::npos ? "" : value.substr(blank + 1);
    if (verb == "refuses") {
      vector_.kernel = KernelSays::kRefuses;
    } else if (verb == "accepts") {
      vector_.kernel = KernelSays::kAccepts;
    } else if (verb == "skip" && !vector_.kernel_text.empty()) {
      vector_.kernel = KernelSays::kSkip;
    } else {
      return fail("the kernel \"refuses text\", \"accepts\", or it is a \"skip reason\"");
    }
    return {};
  }

  std::string group_;
  std::vector<Vector>& out_;
  unsigned number_ = 0;
  Vector vector_;
  bool open_ = false;
  bool has_result_ = false;
  std::string asm_;
  std::string raw_;
  std::string* block_ = nullptr;
};

}  // namespace

Result<std::vector<Vector>> read_vectors(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".data") files.push_back(entry.path());
  }
  if (error) return make_error(ErrorKind::kIo, folder, "{}", error.message());
  std::sort(files.begin(), files.end());
  std::vector<Vector> vectors;
  for (const auto& file : files) {
    std::ifstream in(file);
    Reader reader(file.stem().string(), vectors);
    for (std::string text; std::getline(in, text);) XNIC_TRY(reader.line(text));
    XNIC_TRY(reader.finish());
  }
  return vectors;
}

}  // namespace xnic::conformance
