// SPDX-License-Identifier: Apache-2.0
// Image: what the hXDP core runs. Immutable once compiled.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "arch/hxdp/bundle.hpp"

namespace xnic::arch::hxdp {

inline constexpr uint32_t kImageVersion = 2;
inline constexpr uint32_t kNoSlot = ~uint32_t{0};

// One argument of a call: what the helper sees in place of r1..r5.
struct Argument {
  enum class Kind : uint8_t {
    kNone,      // the helper takes fewer arguments (it sees 0)
    kRegister,  // value of `reg`
    kConstant,  // `value`
    kStack,     // address of stack byte `value` (0..511)
    kPacket,    // address data + value
    kContext,   // address of the context + value
    kMap,       // map `map`
    kMapValue,  // address of the first value of array map `map`, plus `value`
    // Address of 8 bytes that hold `reg` / `value`, little-endian: a key or value of up to 8 bytes that needs no
    // stack slot. Cost: a 64-bit input of the key multiplexer, in place of a stack read.
    kRegisterBytes,
    kConstantBytes,
  };
  Kind kind = Kind::kNone;
  Reg reg = 0;
  MapIndex map = 0;
  int64_t value = 0;
  bool operator==(const Argument&) const = default;
};

struct CallSite {
  ebpf::HelperId helper = 0;
  std::array<Argument, 5> args{};
  bool operator==(const CallSite&) const = default;
};

// Registers that a call reads (bit r).
uint32_t read_registers(const CallSite& site);
inline uint32_t read_registers(const Op& op, const std::vector<CallSite>& sites) {
  if (const auto* call = std::get_if<Call>(&op)) return read_registers(sites[call->site]);
  if (const auto* call = std::get_if<CallExit>(&op)) return read_registers(sites[call->site]);
  return read_registers(op);
}

// A map as the program declared it; the loader gives the same maps in the same order.
struct MapReference {
  std::string name;
  uint32_t type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t max_entries = 0;
  bool operator==(const MapReference&) const = default;
};

// Tells programs apart, after relocation and with maps by their index: FNV-1a over the instructions' bytes. Not made to
// withstand somebody who wants two programs to look the same.
uint64_t source_hash(const ebpf::Program& program);

struct Image {
  std::string program;
  Parameters parameters;
  std::vector<Bundle> rows;  // entry is row 0
  // For each row and lane the eBPF slot that it does the work of, or kNoSlot (machine moves, nops).
  std::vector<std::array<uint32_t, kMaxLanes>> slots;
  std::vector<CallSite> call_sites;
  std::vector<MapReference> maps;     // by MapIndex
  std::vector<ebpf::LineInfo> lines;  // the program's, sorted by slot
  uint32_t stack_bytes = 0;           // highest stack use, counted from the top (byte 511 down)
  uint32_t source_insns = 0;          // eBPF slots compiled from
  uint64_t source_hash = 0;           // of these, as source_hash() gives it

  const ebpf::LineInfo* line_at(uint32_t slot) const;
};

}  // namespace xnic::arch::hxdp
