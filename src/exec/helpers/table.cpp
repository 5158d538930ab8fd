// SPDX-License-Identifier: Apache-2.0
// Helper number -> implementation, as an array made at compile time.
#include <array>

#include "arch/ebpf/helpers.hpp"
#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

constexpr uint32_t kTableSize = 256;

constexpr std::array<HelperFn, kTableSize> make_table() {
  std::array<HelperFn, kTableSize> table{};
#define HELPER(id, name) table[id] = &name;
#include "exec/helpers/implemented.def"
#undef HELPER
  return table;
}

constexpr std::array<HelperFn, kTableSize> kTable = make_table();

// Of arch::ebpf::KernelFunction, in its order.
constexpr HelperFn kKernelFunctions[] = {&dynptr_from_xdp, &dynptr_slice, &dynptr_slice_rdwr};
static_assert(std::size(kKernelFunctions) == arch::ebpf::kKernelFunctionsEnd - arch::ebpf::kDynptrFromXdp);

}  // namespace

HelperFn helper_function(uint32_t id) {
  if (id >= arch::ebpf::kDynptrFromXdp && id < arch::ebpf::kKernelFunctionsEnd)
    return kKernelFunctions[id - arch::ebpf::kDynptrFromXdp];
  return id < kTableSize ? kTable[id] : nullptr;
}

}  // namespace xnic::exec::helpers
