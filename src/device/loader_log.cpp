// SPDX-License-Identifier: Apache-2.0
// Collects what libbpf prints. libbpf has one print function for the process; ours sends each line to the log of the
// thread that is loading.
#include "device/loader_log.hpp"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>
#include <vector>

namespace xnic::device {
namespace {

thread_local LoaderLog* t_log = nullptr;

int print(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN || !t_log) return 0;
  va_list again;
  va_copy(again, arguments);
  int length = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length <= 0) return 0;
  std::vector<char> line(static_cast<size_t>(length) + 1);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  t_log->append({line.data(), static_cast<size_t>(length)});
  return length;
}

}  // namespace

LoaderLog::LoaderLog() : previous_(std::exchange(t_log, this)) {
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(print); });
}

LoaderLog::~LoaderLog() { t_log = previous_; }

std::string LoaderLog::summary() const {
  constexpr size_t kMaxLines = 4;
  constexpr std::string_view kPrefix = "libbpf: ";
  std::string joined;
  std::string_view rest = text_;
  size_t lines = 0;
  while (!rest.empty() && lines < kMaxLines) {
    size_t end = rest.find('\n');
    std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (!line.starts_with(kPrefix)) continue;
    line.remove_prefix(kPrefix.size());
    if (line.empty() || line.find("PROG LOAD LOG") != std::string_view::npos) continue;
    if (!joined.empty()) joined += "; ";
    joined += line;
    ++lines;
  }
  return joined;
}

}  // namespace xnic::device
