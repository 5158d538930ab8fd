// SPDX-License-Identifier: Apache-2.0
// Facts: what the verifier proved about each instruction, joined over all its visits. Every target's rules and every
// compiler pass ask here; tests check that each concrete state of the interpreter lies inside.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf {

// Tristate number (Vishwanathan et al., CGO'22): bit i is known to be value[i] where mask[i] = 0. Invariant: value &
// mask == 0.
struct Tnum {
  uint64_t value = 0;
  uint64_t mask = ~uint64_t{0};
  static constexpr Tnum constant(uint64_t v) { return {v, 0}; }
  static constexpr Tnum unknown() { return {0, ~uint64_t{0}}; }
  constexpr bool is_constant() const { return mask == 0; }
  constexpr bool contains(uint64_t v) const { return (v & ~mask) == value; }
  bool operator==(const Tnum&) const = default;
};

// The 64-bit values a register can have, seen as bits, as signed and as unsigned numbers. All bounds inclusive.
struct Range {
  Tnum bits;
  int64_t smin = std::numeric_limits<int64_t>::min();
  int64_t smax = std::numeric_limits<int64_t>::max();
  uint64_t umin = 0;
  uint64_t umax = std::numeric_limits<uint64_t>::max();
  int32_t s32_min = std::numeric_limits<int32_t>::min();  // of the low half
  int32_t s32_max = std::numeric_limits<int32_t>::max();
  uint32_t u32_min = 0;
  uint32_t u32_max = std::numeric_limits<uint32_t>::max();
  static constexpr Range constant(uint64_t v) {
    return {Tnum::constant(v), int64_t(v), int64_t(v), v, v, int32_t(v), int32_t(v), uint32_t(v), uint32_t(v)};
  }
  constexpr bool is_constant() const { return umin == umax; }
  constexpr bool contains(uint64_t v) const {
    return bits.contains(v) && int64_t(v) >= smin && int64_t(v) <= smax && v >= umin && v <= umax &&
           int32_t(v) >= s32_min && int32_t(v) <= s32_max && uint32_t(v) >= u32_min && uint32_t(v) <= u32_max;
  }
  bool operator==(const Range&) const = default;
};

// What a register points to. For pointers, RegFact::range is the byte offset from the base named here.
enum class RegType : uint8_t {
  kUnset,       // never written on some path, or never read again: says nothing about the register
  kScalar,      // a number
  kContext,     // struct xdp_md; base = its first byte
  kPacket,      // base = data
  kPacketMeta,  // base = data_meta
  kPacketEnd,   // base = data_end
  kStack,       // base = frame pointer of frame `frame` (offsets negative)
  kMap,         // the map `map` itself
  kMapValue,    // a value of `map`; base = its first byte
  kMemory,      // memory from a helper (ring buffer record, dynptr slice), `mem_size` bytes
  kFunction,    // a subprogram
  kOther,       // verified, but of a kind that compilers don't need apart (socket, kernel object, dynptr, iterator)
  kMixed,       // different types on different paths
};

// RegFact::frame when the call depth differs between visits, or is not known (global functions, timer callbacks).
inline constexpr uint32_t kAnyFrame = ~uint32_t{0};

struct RegFact {
  RegType type = RegType::kUnset;
  bool maybe_null = false;  // the pointer may be 0 instead
  MapIndex map = 0;         // kMap, kMapValue; meaningful when the same on all paths, else type is kMixed
  uint32_t frame = 0;       // kStack: call depth of the frame
  uint32_t mem_size = 0;    // kMemory
  Range range;              // kScalar: the value; pointers: the offset from the base
};

// The state *before* an instruction, over every path that reaches it.
struct InsnFacts {
  bool reached = false;            // false: no path reaches it (dead code)
  uint32_t packet_bytes = 0;       // bytes from data that are proved to lie before data_end on every path
  uint32_t packet_meta_bytes = 0;  // bytes from data_meta proved to lie before data
  uint16_t upper_live = 0;         // bit r: the upper half of register r may be read later
  std::array<RegFact, kRegCount> regs;
};

struct Facts {
  std::vector<InsnFacts> insns;       // by slot
  std::vector<uint32_t> stack_bytes;  // by subprogram: bytes of stack used, 0..512
  uint32_t max_stack_bytes = 0;       // deepest call chain
  uint32_t max_call_depth = 1;        // frames, entry included
  uint64_t visited_insns = 0;         // work that the verifier did
  bool may_change_packet = false;     // calls a helper that moves packet bounds
};

}  // namespace xnic::arch::ebpf
