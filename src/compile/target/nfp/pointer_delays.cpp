// SPDX-License-Identifier: Apache-2.0
// A local memory pointer can be used three cycles after it is written; the driver waits with nops. Words from before
// the write take the place of nops, and nops that are not needed, because nobody uses the pointer yet, go away.
#include <algorithm>

#include "compile/target/nfp/motion.hpp"

namespace xnic::compile::target::nfp {

namespace {

// Without the word at `without`, would a pointer be used too early? A branch that is taken costs the whole delay.
bool too_early(const Words& words, uint32_t without) {
  for (uint32_t back = 1; back <= kPointerDelay && back <= without; ++back) {
    const uint32_t write = without - back;
    if (!words.sets_pointer(write)) continue;
    const Resources pointers = effects_of(words.items[write].insn).defs;
    uint32_t at = write;
    for (unsigned cycle = 0; cycle < kPointerDelay; ++cycle) {
      ++at;
      if (at == without) ++at;
      // A routine of the firmware may use pointers as soon as it begins.
      if (at >= words.items.size() || words.items[at].relocation == isa::Relocation::kHelper) return true;
      if ((effects_of(words.items[at].insn).uses & pointers).any()) return true;
    }
  }
  return false;
}

// Fills the nops behind the write at `write` from the words before it, back to `first`.
void fill(Words& words, uint32_t first, uint32_t write) {
  std::vector<bool> gone(words.items.size());
  for (uint32_t nop = write + 1; isa::is_nop(words.items[nop].insn) && write > first; ++nop) {
    const auto from = last_movable(words, first, write, nop, live_after(words)[nop]);
    if (!from) break;
    move_behind(words, *from, write);
    --write;
    gone[nop] = true;
  }
  words.take_out(gone);
}

}  // namespace

void fill_pointer_delays(Words& words) {
  const std::vector<Block> blocks = words.blocks();
  for (size_t number = blocks.size(); number-- > 0;) {  // from the end, so that what is before stays where it is
    const Block& block = blocks[number];
    for (uint32_t at = std::min(block.end, words.body_end()); at-- > block.first;)
      if (words.sets_pointer(at) && !words.in_pointer_delay(at)) fill(words, block.first, at);
  }
  for (uint32_t at = 0; at < words.body_end();) {
    std::vector<bool> one(words.items.size());
    one[at] = isa::is_nop(words.items[at].insn) && words.in_pointer_delay(at) && !too_early(words, at);
    if (one[at]) {
      words.take_out(one);
    } else {
      ++at;
    }
  }
}

}  // namespace xnic::compile::target::nfp
