// SPDX-License-Identifier: Apache-2.0
// A branch that is taken costs three cycles (two when it always is), in which words behind it can run: words from
// before the branch are moved there.
#include <algorithm>

#include "compile/target/nfp/motion.hpp"

namespace xnic::compile::target::nfp {

namespace {

unsigned most_deferred(const isa::Instruction& insn) {
  const auto* branch = std::get_if<isa::Branch>(&insn);
  return branch != nullptr && branch->condition == isa::Condition::kAlways ? 2 : 3;
}

}  // namespace

void fill_delay_slots(Words& words) {
  const std::vector<Resources> after = live_after(words);
  for (const Block& block : words.blocks()) {
    if (block.end > words.body_end()) continue;
    uint32_t branch = block.first;
    while (branch < block.end && !defers(words.items[branch].insn)) ++branch;
    if (branch == block.end) continue;
    while (*defers(words.items[branch].insn) < most_deferred(words.items[branch].insn)) {
      const auto from = last_movable(words, block.first, branch, block.end, after[block.end - 1]);
      if (!from) break;
      move_behind(words, *from, branch);
      --branch;
      set_defers(words.items[branch].insn, *defers(words.items[branch].insn) + 1);
    }
  }
}

}  // namespace xnic::compile::target::nfp
