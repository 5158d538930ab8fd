// SPDX-License-Identifier: Apache-2.0
#include "feature_matrix.hpp"

#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/map_types.hpp"

namespace xnic::tidy {
namespace {

std::string helper_table() {
  std::string text = "| id | helper | card | remark |\n|---|---|---|---|\n";
  for (const auto& helper : arch::ebpf::all_helpers()) {
    const bool done = helper.status == arch::ebpf::HelperStatus::kImplemented;
    text += "| " + std::to_string(helper.id) + " | `" + std::string(helper.name) + "` | " + (done ? "yes" : "no") +
            " | " + std::string(helper.note) + " |\n";
  }
  return text;
}

std::string map_type_table() {
  std::string text = "| number | map type | card | remark |\n|---|---|---|---|\n";
  for (uint32_t type = 1; const auto* info = arch::ebpf::find_map_type(type); ++type) {
    text += "| " + std::to_string(type) + " | `" + std::string(info->name) + "` | " + (info->supported ? "yes" : "no") +
            " | " + std::string(info->note) + " |\n";
  }
  return text;
}

}  // namespace

std::string fill_feature_matrix(const std::string& document) {
  static const std::string begin = "<!-- generated: ";
  static const std::string end = "<!-- end -->";
  std::string filled;
  size_t at = 0;
  for (size_t mark; (mark = document.find(begin, at)) != std::string::npos;) {
    const size_t name_at = mark + begin.size();
    const size_t name_end = document.find(" -->", name_at);
    const size_t end_at = document.find(end, mark);
    if (name_end == std::string::npos || end_at == std::string::npos) break;
    const std::string name = document.substr(name_at, name_end - name_at);
    filled += document.substr(at, name_end + 4 - at) + "\n";
    if (name == "helpers") filled += helper_table();
    if (name == "map types") filled += map_type_table();
    at = end_at;
  }
  return filled + document.substr(at);
}

}  // namespace xnic::tidy
