// SPDX-License-Identifier: Apache-2.0
// Request: all that the native compiler is told. What it knows of the engine's structures stands here as data, so
// compiler and engine share no layout but this one.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/helpers.hpp"
#include "arch/ebpf/program.hpp"
#include "arch/native/image.hpp"

namespace xnic::arch::native {

// An argument that is known when a program is loaded: a constant, or an address of the map in question.
struct Known {
  enum class Kind : uint8_t { kConstant, kMap, kAddress };
  Kind kind = Kind::kConstant;
  uint64_t value = 0;  // kConstant; kAddress: number of the address
};

// A runtime function that does a helper's work on one map: function(run, helper's arguments from the second on...,
// known...).
struct Special {
  std::string function;
  uint32_t arguments = 0;  // of the helper's, after the map
  std::vector<Known> known;
};

// What the compiler may use of one map.
struct MapUse {
  std::map<ebpf::HelperId, Special> special;  // by helper
  // Address 0 is that of the first value, which holds for the life of the map (arrays).
  bool fixed_values = false;
  bool one_value = false;       // the array has one element: every value pointer is address 0
  std::vector<uint8_t> frozen;  // contents from address 0 on, which nobody can change; empty: they can change
};

// Where a field of struct xdp_md is found in the engine's packet.
struct PacketField {
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

// What the loop over packets must do for a program; the constant xnic_needs of the compiled code.
enum Needs : uint32_t {
  kNeedsRedirect = 1,   // it may redirect
  kNeedsTailCalls = 2,  // it may call other programs
  kNeedsKeeping = 4,    // helpers may hold maps or lend memory until the packet's end
};

struct Request {
  const ebpf::Program* program = nullptr;
  const ebpf::Facts* facts = nullptr;  // null: nothing is known (conformance suites)
  std::vector<MapUse> maps;            // by MapIndex
  std::array<PacketField, 6> packet;   // by context offset / 4
  // LLVM bitcode of the runtime. It calls xnic_program(run, packet), which the compiler provides, from xnic_batch; it
  // may define xnic_helper_N in place of helper N, and the functions that `maps` names.
  base::Bytes runtime;
  // Conformance suites: the program is called with r1 = data and r2 = length, and has these helpers beside none of the
  // table's; callx reaches them too. Not together with facts.
  struct Flat {
    ebpf::HelperId helper = 0;
    bool ends_when_zero = false;  // a result of 0 ends the program with r0 = 0
  };
  std::optional<std::vector<Flat>> flat;
  PacketField stopped;  // with `flat`: where the run's flag lies that says so
  // What LoadFunction puts into a register is this tag with the subprogram's slot in the low bits.
  uint64_t function_tag = 0;
};

}  // namespace xnic::arch::native
