// SPDX-License-Identifier: Apache-2.0
// Image: a program as machine code of the host, and what the code refers to.
//
// One blob holds code and constants; it runs at any address that is a multiple of kImageAlignment. Everything outside
// it is reached through 64-bit words in the blob which the engine fills in with addresses (Fixup), so an image may be
// kept on disk and used by another process. Immutable once compiled.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arch/ebpf/instruction.hpp"
#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::arch::native {

inline constexpr uint32_t kImageVersion = 1;
inline constexpr uint32_t kImageAlignment = 64;

struct Symbol {
  enum class Kind : uint8_t {
    kImage,    // the blob itself
    kHelper,   // helper `index`
    kMap,      // map `index` itself
    kAddress,  // address `part` of map `index` (MapUse::addresses)
    kRuntime,  // function `name` of the engine's runtime
  };
  Kind kind = Kind::kImage;
  uint32_t index = 0;
  uint32_t part = 0;
  std::string name;
  bool operator==(const Symbol&) const = default;
};

// The 8 bytes at `offset` of the blob become address(symbols[symbol]) + addend.
struct Fixup {
  uint32_t offset = 0;
  uint32_t symbol = 0;
  int64_t addend = 0;
  bool operator==(const Fixup&) const = default;
};

// A subprogram that helpers may call back.
struct Callback {
  ebpf::Slot slot = 0;
  uint32_t offset = 0;
  bool operator==(const Callback&) const = default;
};

struct Image {
  std::vector<uint8_t> blob;
  std::vector<Symbol> symbols;
  std::vector<Fixup> fixups;
  std::vector<Callback> callbacks;  // by slot
  uint32_t program = 0;             // offset of the program's entry (ProgramEntry of the engine)
  uint32_t batch = 0;               // offset of the loop over packets
  bool operator==(const Image&) const = default;
};

// The stored form of an image, with a checksum over all of it, and back. Errors of the latter: kBadInput for anything
// that encode() did not write; the result is then as safe to map as a fresh image.
std::vector<uint8_t> encode(const Image& image);
base::Result<Image> decode(base::Bytes stored);

}  // namespace xnic::arch::native
