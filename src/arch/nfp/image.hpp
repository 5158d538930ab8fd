// SPDX-License-Identifier: Apache-2.0
// Image: a program in NFP instructions, as the driver keeps it before it is placed into the cores' stores.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "arch/nfp/codec.hpp"

namespace xnic::arch::nfp {

// What becomes of a word when the program is placed: the driver's classes.
enum class Relocation : uint8_t {
  kNone,
  kBranch,         // target within the program: plus its start
  kOut,            // to the exit block
  kAbort,          // to the exit block's part for aborted packets
  kPushRegisters,  // to the routine that saves r6 to r9
  kPopRegisters,
  kNextPacket,  // to the firmware, which takes the result
  kHelper,      // to the firmware's routine of a helper: target - kPlaceholder is its number
  kImmediate,   // an address within the program: plus its start
};

// Target of branches that are not known before placement; user dumps show it.
inline constexpr uint16_t kPlaceholder = 15000;
inline constexpr uint32_t kNoInstruction = ~uint32_t{0};
inline constexpr unsigned kExitBlockWords = 13;
inline constexpr unsigned kPaddingWords = 8;  // what the cores fetch ahead

// A word of a map's value that programs add to atomically: the memory's atomic engine keeps it big-endian, and the
// driver turns it round for the host.
struct AtomicWord {
  ebpf::MapIndex map;
  uint32_t offset;  // multiple of 4
  bool operator==(const AtomicWord&) const = default;
};

struct Image {
  std::string program;
  std::vector<uint64_t> words;          // with error correction
  std::vector<Relocation> relocations;  // by word
  std::vector<uint32_t> slots;          // by word: the eBPF slot that it does the work of, or kNoInstruction
  uint16_t out = 0;                     // word numbers of the common parts
  uint16_t abort = 0;
  uint16_t push_registers = 0;  // 0: there is none
  uint16_t pop_registers = 0;
  std::vector<AtomicWord> atomic_words;
  std::vector<ebpf::LineInfo> lines;  // the program's, sorted by slot
  uint32_t stack_bytes = 0;           // of the deepest chain of calls
  uint32_t source_insns = 0;          // reached eBPF instructions

  const ebpf::LineInfo* line_at(uint32_t slot) const;
};

// The map of number `index` has this table number on the card; 0 is no table.
constexpr uint32_t table_id(ebpf::MapIndex index) { return index + 1; }

// Where a program is placed, and where the firmware's entries are.
struct Placement {
  uint16_t start = 0;
  uint16_t next_packet = 0;
  uint16_t helpers = 0;  // the routine of helper n is at helpers + n
};
// The words as the store holds them. Errors: kLimit when an address does not fit. Pre: the image is a compiler's.
base::Result<std::vector<uint64_t>> place(const Image& image, const Placement& placement);

// One line a word: number, word in hexadecimal, text; before the first of each source line that line.
std::string listing(const Image& image);

}  // namespace xnic::arch::nfp
