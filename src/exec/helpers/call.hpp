// SPDX-License-Identifier: Apache-2.0
// Small things that the implementations of helpers share, and their declarations (from implemented.def).
#pragma once

#include <cerrno>
#include <cstdint>

#include "exec/helpers/helper_context.hpp"
#include "exec/helpers/helper_state.hpp"

namespace xnic::exec::helpers {

// A negative errno as a program sees it in r0.
constexpr uint64_t fail(int error) { return static_cast<uint64_t>(-int64_t{error}); }
// An int result, sign-extended as the kernel's wrappers do.
constexpr uint64_t integer(int64_t value) { return static_cast<uint64_t>(value); }

template <class T>
T* pointer(uint64_t value) {
  return reinterpret_cast<T*>(value);
}
inline uint64_t address(const void* at) { return reinterpret_cast<uint64_t>(at); }
inline maps::Map& map_of(uint64_t value) { return *reinterpret_cast<maps::Map*>(value); }

// The clock of the run, or the machine's when the run brings none.
uint64_t now_ns(const RunContext* run);

#define HELPER(id, name) \
  uint64_t name(HelperContext& ctx, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
#include "exec/helpers/implemented.def"
#undef HELPER

// Kernel functions (arch::ebpf::KernelFunction).
uint64_t dynptr_from_xdp(HelperContext& ctx, uint64_t xdp, uint64_t flags, uint64_t dynptr, uint64_t, uint64_t);
uint64_t dynptr_slice(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t buffer, uint64_t bytes, uint64_t);
uint64_t dynptr_slice_rdwr(HelperContext& ctx, uint64_t dynptr, uint64_t offset, uint64_t buffer, uint64_t bytes,
                           uint64_t);

}  // namespace xnic::exec::helpers
