// SPDX-License-Identifier: Apache-2.0
// Opening and adapting objects with libbpf 1.1. What the maps of other people's programs lack when their own loader is
// not there is filled in here, the same for every object, so that a verdict depends on the program alone.
#include "corpus/kernel_verdicts/open_object.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <optional>

namespace xnic::corpus {

using base::ErrorKind;
using base::make_error;

namespace {

constexpr size_t kWordsKept = 16;
constexpr uint32_t kEntriesForZero = 64;
constexpr uint32_t kRingBytesForZero = 4096;
constexpr uint32_t kEntriesAtMost = 1'000'000;
constexpr uint32_t kEntriesForTooMany = 65536;

std::deque<std::string> words;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
  // The last line of every failed load names the file and nothing else.
  if (level != LIBBPF_WARN || strstr(format, "failed to load object") != nullptr) return 0;
  char text[2048];
  vsnprintf(text, sizeof text, format, arguments);
  text[strcspn(text, "\n")] = '\0';  // a verifier log that follows is kept elsewhere
  words.emplace_back(text);
  if (words.size() > kWordsKept) words.pop_front();
  return 0;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

bool is_map_of_maps(bpf_map_type type) {
  return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

// Types whose max_entries must stay 0: local storage.
bool zero_entries_is_right(bpf_map_type type) {
  switch (type) {
    case BPF_MAP_TYPE_SK_STORAGE:
    case BPF_MAP_TYPE_INODE_STORAGE:
    case BPF_MAP_TYPE_TASK_STORAGE:
    case BPF_MAP_TYPE_CGROUP_STORAGE:
    case BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE:
    case BPF_MAP_TYPE_STRUCT_OPS:
      return true;
    default:
      return false;
  }
}

uint32_t adapted_size(const bpf_map* map) {
  const auto type = bpf_map__type(map);
  const uint32_t entries = bpf_map__max_entries(map);
  if (entries == 0 && !zero_entries_is_right(type)) {
    return type == BPF_MAP_TYPE_RINGBUF ? kRingBytesForZero : kEntriesForZero;
  }
  return entries > kEntriesAtMost ? kEntriesForTooMany : entries;
}

// A new map that stands for the inner maps of `outer`, or -1 (errno says why); nothing when the object's own template
// is fine. libbpf 1.1 crashes when the size of a template is set, so a template of the wrong size is replaced by a map.
std::optional<int> inner_map_for(bpf_map* outer) {
  const bpf_map* own = bpf_map__inner_map(outer);
  if (own == nullptr) {
    return bpf_map_create(BPF_MAP_TYPE_ARRAY, "inner", sizeof(uint32_t), sizeof(uint32_t), 1, nullptr);
  }
  if (adapted_size(own) == bpf_map__max_entries(own)) return std::nullopt;
  bpf_map_create_opts options{};
  options.sz = sizeof options;
  options.map_flags = bpf_map__map_flags(own);
  return bpf_map_create(bpf_map__type(own), "inner", bpf_map__key_size(own), bpf_map__value_size(own),
                        adapted_size(own), &options);
}

}  // namespace

void CloseObject::operator()(bpf_object* object) const { bpf_object__close(object); }

void keep_libbpf_words() { libbpf_set_print(keep); }

std::vector<std::string> last_libbpf_words(size_t count) {
  const size_t first = words.size() > count ? words.size() - count : 0;
  return {words.begin() + static_cast<std::ptrdiff_t>(first), words.end()};
}

Result<ObjectPtr> open_object(const std::string& path) {
  ObjectPtr object(bpf_object__open_file(path.c_str(), nullptr));
  if (object == nullptr) {
    const int error = errno;
    return make_error(ErrorKind::kUnsupported, path, "{} ({})", joined(last_libbpf_words(3)), strerror(error));
  }
  return object;
}

Result<void> adapt_maps(bpf_object* object) {
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__pin_path(map) != nullptr) bpf_map__set_pin_path(map, nullptr);
    if (adapted_size(map) != bpf_map__max_entries(map)) bpf_map__set_max_entries(map, adapted_size(map));
    if (!is_map_of_maps(bpf_map__type(map))) continue;
    const auto inner = inner_map_for(map);
    if (!inner) continue;
    // libbpf takes the descriptor over when it accepts it.
    if (*inner < 0 || bpf_map__set_inner_map_fd(map, *inner) != 0) {
      const int error = errno;
      if (*inner >= 0) close(*inner);
      return make_error(ErrorKind::kIo, bpf_map__name(map), "no inner map: {}", strerror(error));
    }
  }
  return {};
}

Result<bpf_program*> select_program(bpf_object* object, const std::string& program) {
  bpf_program* chosen = nullptr;
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object) {
    const bool wanted = chosen == nullptr && program == bpf_program__name(each);
    if (wanted) chosen = each;
    bpf_program__set_autoload(each, wanted);
  }
  if (chosen == nullptr) {
    return make_error(ErrorKind::kBadInput, program, "libbpf finds no program of this name in the object");
  }
  if (bpf_program__type(chosen) != BPF_PROG_TYPE_XDP) {
    const std::string section = bpf_program__section_name(chosen);
    bpf_program__set_type(chosen, BPF_PROG_TYPE_XDP);
    // Names that libbpf took before 1.0.
    bpf_program__set_expected_attach_type(chosen, section.starts_with("xdp_devmap")   ? BPF_XDP_DEVMAP
                                                  : section.starts_with("xdp_cpumap") ? BPF_XDP_CPUMAP
                                                                                      : BPF_XDP);
  }
  return chosen;
}

}  // namespace xnic::corpus
