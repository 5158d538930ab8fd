// SPDX-License-Identifier: Apache-2.0
// What bounds one packet's path through an image: the longest chain of operations that wait for each other, the lanes,
// the one call a row.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "arch/hxdp/image.hpp"

namespace xnic::tools {

enum class Wait : uint8_t { kStart, kResult, kMemory, kBounds, kOrder };

// A link: operation `lane` of row `row`, and why it comes after the link before it.
struct ChainLink {
  arch::hxdp::Row row = 0;
  uint32_t lane = 0;
  Wait wait = Wait::kStart;
  uint32_t earliest = 0;  // the first row of the path in which it could stand, counted from 0
};

struct PathChain {
  uint32_t rows = 0;        // of the path
  uint32_t chain_rows = 0;  // that the longest chain takes, were there lanes for everything
  uint32_t operations = 0;
  uint32_t lane_rows = 0;  // that the operations fill
  uint32_t calls = 0;      // each takes a row
  std::vector<ChainLink> links;
};

// `path`: the rows that a packet went through, in order. What waits for what: a result (next row), a load or call for a
// store to the same bytes (next row), packet accesses and length checks for a call that moves the packet (next row),
// effects, branches and exits for earlier branches (same row). Pointers into memory are compared by register and
// offset; bytes reached through different registers are taken to be different, so the chain may be longer in truth.
PathChain chain_of(const arch::hxdp::Image& image, std::span<const arch::hxdp::Row> path);

// "a result", "bytes stored before", …
std::string to_words(Wait wait);

}  // namespace xnic::tools
