// SPDX-License-Identifier: Apache-2.0
// Look-ups by slot; both tables are sorted, so a binary search finds the last entry at or before the slot.
#include "arch/ebpf/program.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::arch::ebpf {

const LineInfo* Program::line_at(Slot slot) const {
  auto after = std::upper_bound(lines.begin(), lines.end(), slot,
                                [](Slot wanted, const LineInfo& info) { return wanted < info.slot; });
  return after == lines.begin() ? nullptr : &*std::prev(after);
}

const Subprogram& Program::subprogram_at(Slot slot) const {
  auto after = std::upper_bound(subprograms.begin(), subprograms.end(), slot,
                                [](Slot wanted, const Subprogram& sub) { return wanted < sub.first; });
  CHECK(after != subprograms.begin());
  return *std::prev(after);
}

}  // namespace xnic::arch::ebpf
