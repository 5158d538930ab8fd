// SPDX-License-Identifier: Apache-2.0
// The signature table of helpers: each is declared once, in helpers.def, with what the verifier must check of its
// arguments, what it returns, and whether the card implements it. Numbers and contracts are those of Linux 6.18 for XDP
// programs (include/uapi/linux/bpf.h; kernel net/core/filter.c xdp_func_proto and kernel/bpf/helpers.c
// bpf_base_func_proto).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace xnic::arch::ebpf {

using HelperId = uint32_t;

enum class ArgType : uint8_t {
  kNone,            // the helper takes fewer arguments
  kAnything,        // any initialised value; pointers too if leaking is allowed
  kContext,         // the program's context pointer
  kMap,             // a constant map pointer
  kMapKey,          // readable memory of the map's key size
  kMapValue,        // readable memory of the map's value size
  kMapValueUninit,  // writable memory of the map's value size; the helper fills it
  kMemory,          // readable memory; its size is the next argument
  kMemoryOrNull,
  kMemoryWritableOrNull,
  kMemoryUninit,    // writable memory that the helper fills; size is the next argument
  kMemoryWritable,  // initialised memory that the helper may change; size is the next argument
  kSize,            // size of the memory argument before it, > 0
  kSizeOrZero,
  kFixedMemory,  // readable memory of HelperSignature::fixed_sizes[argument] bytes
  kAllocSize,    // constant size of the memory that the helper returns
  kAllocMemory,  // memory from a ring buffer reservation; released by the call
  kCallback,     // a subprogram (LoadFunction)
  kStackOrNull,  // callback context: stack pointer or null
  kSpinLock,
  kTimer,
  kKptr,           // a kernel-pointer field of a map value
  kDynptr,         // an initialised dynptr on the stack
  kDynptrUninit,   // room for a dynptr on the stack; the helper initialises it
  kDynptrRelease,  // as kDynptr; the call ends it
  kConstString,    // pointer to a NUL-terminated string in a read-only frozen map
  kLongOut,        // pointer to 8 writable bytes that the helper fills
  kIntOut,         // pointer to 4 initialised bytes that the helper reads and then writes (check_mtu)
  kSocket,         // a referenced or checked socket
  kSocketRelease,
  kBtfPointer,  // pointer to a kernel object known by BTF
  kScalar,      // a number, never a pointer
};

enum class RetType : uint8_t {
  kInteger,
  kVoid,
  kNever,  // does not return on success (tail call)
  kMapValueOrNull,
  kMemoryOrNull,  // of the size given by kAllocSize; a reference if `acquires`
  kDynptrMemoryOrNull,
  kSocketOrNull,
  kBtfPointerOrNull,
  kBtfPointer,
};

// Whether the card has the helper. A helper that is not implemented is refused at load, with `note` as the reason.
enum class HelperStatus : uint8_t { kImplemented, kUnsupported };

struct HelperSignature {
  HelperId id = 0;
  std::string_view name;  // as in bpf_helpers.h, without "bpf_"
  RetType ret = RetType::kInteger;
  std::array<ArgType, 5> args{};
  std::array<uint8_t, 5> fixed_sizes{};  // in bytes, of the arguments that are kFixedMemory
  bool gpl_only = false;
  bool changes_packet = false;  // invalidates packet pointers
  bool acquires = false;        // the result is a reference that must be released
  bool writes_packet = false;   // changes packet bytes itself, without moving the bounds
  bool packet_memory = false;   // memory arguments may lie in the packet; otherwise packet pointers are refused there
  HelperStatus status = HelperStatus::kImplemented;
  std::string_view note;  // reason when unsupported; else remarks for the feature matrix
};

// Kernel functions that the card has. They are called by the BTF id that the live kernel gives them; whoever loads a
// program turns such calls into calls of these numbers, so that all that comes after knows one kind of call.
enum KernelFunction : HelperId { kDynptrFromXdp = 0x10000, kDynptrSlice, kDynptrSliceRdwr, kKernelFunctionsEnd };
// By the kernel's name ("bpf_dynptr_slice"); null when the card has none of that name.
const HelperSignature* find_kernel_function(std::string_view name);

// The helper that Linux 6.18 offers to XDP programs under `id`, or null when it offers none.
const HelperSignature* find_helper(HelperId id);
const HelperSignature* find_helper(std::string_view name);
// All of them, by id.
std::span<const HelperSignature> all_helpers();
// Name of any helper number of the bpf(2) interface, for messages ("unknown" when there is none).
std::string_view helper_name(HelperId id);

}  // namespace xnic::arch::ebpf
