// SPDX-License-Identifier: Apache-2.0
// Places of a program or an image in an order in which all ways to a join come before what follows it.
#pragma once

#include <cstdint>
#include <vector>

#include "arch/ebpf/program.hpp"
#include "arch/hxdp/image.hpp"

namespace xnic::compile::prove {

struct Order {
  // `next`: by node; successors past the end are ignored.
  Order(const std::vector<std::vector<uint32_t>>& next, const std::vector<uint32_t>& roots);
  std::vector<uint32_t> at;                  // position in a reverse postorder, from 1; 0: not reached
  std::vector<uint32_t> entries;             // edges that lead there
  std::vector<std::vector<uint32_t>> loops;  // heads of the loops that the node is in, the outermost first

 private:
  void find_loops(const std::vector<std::vector<uint32_t>>& next);
};

// Calls of subprograms continue behind the call.
std::vector<uint32_t> next_slots(const arch::ebpf::Program& program, arch::ebpf::Slot slot);
std::vector<uint32_t> next_rows(const arch::hxdp::Image& image, arch::hxdp::Row row);

}  // namespace xnic::compile::prove
