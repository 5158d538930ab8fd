// SPDX-License-Identifier: Apache-2.0
// Symbolic memory: an unknown (or zero) beginning, and bytes written over it. Values, shared, never changed.
//
// Bytes are grouped by their address without its constant part. A read looks through the groups from the last to the
// first; a group with another base contributes bytes on condition that the addresses are equal.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "compile/prove/term.hpp"

namespace xnic::compile::prove {

struct MemoryNode;
using Memory = std::shared_ptr<const MemoryNode>;

struct MemoryNode {
  enum class Form : uint8_t { kZero, kUnknown, kWritten, kEither };
  Form form = Form::kZero;
  uint32_t symbol = 0;               // kUnknown: the name of its bytes
  Memory under{}, other{};           // kWritten: under; kEither: under if `condition`, else other
  Term base = 0;                     // kWritten
  std::map<uint64_t, Term> bytes{};  // kWritten: by constant part of the address
  Term condition = 0;                // kEither
};

Memory zero_memory();
Memory unknown_memory();  // each call another one

// Address = base + constant.
std::pair<Term, uint64_t> split_address(Terms& terms, Term address);
// Little-endian value of 1 to 8 bytes.
Term read(Terms& terms, const Memory& memory, Term address, unsigned bytes);
Memory write(Terms& terms, const Memory& memory, Term address, Term value);
Memory either(Terms& terms, Term condition, const Memory& a, const Memory& b);
// The condition that both hold the same bytes everywhere. Pre: made from the same beginnings. A beginning that only one
// of them has makes it false.
Term same(Terms& terms, const Memory& a, const Memory& b);
// Where it was written, by base and constant part of the address, and what it began as.
struct Extent {
  std::set<std::pair<Term, uint64_t>> places;
  std::set<Memory> beginnings;
};
Extent extent(const Memory& memory);
// Every byte written has its terms replaced.
Memory map_terms(const Memory& memory, const std::function<Term(Term)>& change);

}  // namespace xnic::compile::prove
