// SPDX-License-Identifier: Apache-2.0
// Program: what enters the verifier and every compiler. Immutable once made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf {

// Map types by their number in the bpf(2) interface (enum bpf_map_type); the table is map_types.hpp.
using MapType = uint32_t;

// What BPF_MAP_CREATE says of a map. Sizes in bytes.
struct MapSpec {
  MapType type = 0;
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  uint32_t max_entries = 0;
  uint32_t flags = 0;      // BPF_F_*
  uint64_t map_extra = 0;  // bloom filter: number of hash functions
  std::string name;
  std::shared_ptr<const MapSpec> inner;  // template of array-of-maps and hash-of-maps
  // BTF of the map's object, for typed dumps and for values with special fields (spin lock, timer, …); ids within
  // `btf`.
  std::shared_ptr<const std::vector<uint8_t>> btf;
  uint32_t btf_key_type_id = 0;
  uint32_t btf_value_type_id = 0;
  // Byte offsets of special fields in the value, derived from BTF at map creation; -1: none.
  int32_t spin_lock_offset = -1;
  int32_t timer_offset = -1;
};

// One source position; lines are sorted by slot and hold until the next one (BTF.ext line_info).
struct LineInfo {
  Slot slot;
  uint32_t line;
  uint32_t column;
  std::string file;
  std::string text;
};

// Subprogram [first, end) in slots; the program's entry is subprogram 0 at slot 0.
struct Subprogram {
  Slot first;
  Slot end;
  std::string name;
  bool is_global = false;  // BTF linkage; the kernel verifies global functions on their own
};

// The tables that came with BPF_PROG_LOAD, kept so that the live kernel can be given the same ones.
struct ProgramBtf {
  std::vector<uint8_t> btf;  // raw BTF blob
  std::vector<uint8_t> func_info;
  uint32_t func_info_rec_size = 0;
  std::vector<uint8_t> line_info;
  uint32_t line_info_rec_size = 0;
};

struct Program {
  std::string name;
  std::vector<Instruction> insns;  // indexed by slot
  std::vector<RawInsn> raw;        // as loaded; map references carry the MapIndex in imm
  std::vector<MapSpec> maps;       // by MapIndex
  std::vector<Subprogram> subprograms;
  std::vector<LineInfo> lines;
  uint32_t expected_attach_type = 0;  // BPF_XDP, BPF_XDP_DEVMAP, BPF_XDP_CPUMAP
  uint32_t load_flags = 0;            // BPF_F_XDP_HAS_FRAGS, BPF_F_STRICT_ALIGNMENT, …
  bool gpl_compatible = false;
  std::shared_ptr<const ProgramBtf> btf;  // null when the object had none

  // The source line that covers `slot`, if the object has line info.
  const LineInfo* line_at(Slot slot) const;
  // The subprogram that contains `slot`. Pre: slot < insns.size().
  const Subprogram& subprogram_at(Slot slot) const;
};

}  // namespace xnic::arch::ebpf
