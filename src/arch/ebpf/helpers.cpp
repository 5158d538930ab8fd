// SPDX-License-Identifier: Apache-2.0
// The table of helpers.def, expanded twice: into the names of all helper numbers (dense, by number) and into the
// signatures of those that XDP programs may call (sorted by number, so a binary search finds one).
#include "arch/ebpf/helpers.hpp"

#include <algorithm>

namespace xnic::arch::ebpf {
namespace {

using enum ArgType;

constexpr std::string_view kNames[] = {
    "unspec",
#define HELPER(id, name, ...) #name,
#define OTHER(id, name) #name,
#include "arch/ebpf/helpers.def"
#undef HELPER
#undef OTHER
};

#define ARGS(...) {__VA_ARGS__}
// NOLINTNEXTLINE: fields that a line leaves out keep their defaults, which -Wextra would call missing.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
constexpr HelperSignature kHelpers[] = {
#define HELPER(number, text, result, arguments, ...) \
  {.id = number, .name = #text, .ret = RetType::result, .args = arguments __VA_OPT__(, ) __VA_ARGS__},
#define OTHER(id, name)
#include "arch/ebpf/helpers.def"
#undef HELPER
#undef OTHER
};
// Of KernelFunction, in its order. Source: kernel/bpf/helpers.c, net/core/filter.c.
constexpr HelperSignature kKernelFunctions[] = {
    {.id = kDynptrFromXdp, .name = "dynptr_from_xdp", .args = {kContext, kAnything, kDynptrUninit}},
    {.id = kDynptrSlice,
     .name = "dynptr_slice",
     .ret = RetType::kDynptrMemoryOrNull,
     .args = {kDynptr, kAnything, kMemoryWritableOrNull, kSizeOrZero}},
    {.id = kDynptrSliceRdwr,
     .name = "dynptr_slice_rdwr",
     .ret = RetType::kDynptrMemoryOrNull,
     .args = {kDynptr, kAnything, kMemoryWritableOrNull, kSizeOrZero}},
};
static_assert(std::size(kKernelFunctions) == kKernelFunctionsEnd - kDynptrFromXdp);
#pragma GCC diagnostic pop
#undef ARGS

static_assert(std::is_sorted(std::begin(kHelpers), std::end(kHelpers),
                             [](const HelperSignature& a, const HelperSignature& b) { return a.id < b.id; }));

// The names are found by position, so the table must not skip a number.
constexpr bool names_match_numbers() {
  for (const HelperSignature& helper : kHelpers) {
    if (kNames[helper.id] != helper.name) return false;
  }
  return true;
}
static_assert(names_match_numbers() && std::size(kNames) == 212);

}  // namespace

const HelperSignature* find_helper(HelperId id) {
  if (id >= kDynptrFromXdp && id < kKernelFunctionsEnd) return &kKernelFunctions[id - kDynptrFromXdp];
  auto at = std::lower_bound(std::begin(kHelpers), std::end(kHelpers), id,
                             [](const HelperSignature& helper, HelperId wanted) { return helper.id < wanted; });
  return at != std::end(kHelpers) && at->id == id ? &*at : nullptr;
}

const HelperSignature* find_helper(std::string_view name) {
  auto at =
      std::find_if(std::begin(kHelpers), std::end(kHelpers), [&](const auto& helper) { return helper.name == name; });
  return at != std::end(kHelpers) ? &*at : nullptr;
}

std::span<const HelperSignature> all_helpers() { return kHelpers; }

const HelperSignature* find_kernel_function(std::string_view name) {
  if (!name.starts_with("bpf_")) return nullptr;
  auto at = std::find_if(std::begin(kKernelFunctions), std::end(kKernelFunctions),
                         [&](const auto& function) { return function.name == name.substr(4); });
  return at != std::end(kKernelFunctions) ? &*at : nullptr;
}

std::string_view helper_name(HelperId id) {
  if (id >= kDynptrFromXdp && id < kKernelFunctionsEnd) return kKernelFunctions[id - kDynptrFromXdp].name;
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

}  // namespace xnic::arch::ebpf
