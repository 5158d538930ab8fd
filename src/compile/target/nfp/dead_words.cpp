// SPDX-License-Identifier: Apache-2.0
// Words whose results nobody reads go away, until there are none: the lower half of a number of which only the sign
// counts, upper halves that are known, moves whose copies are read at their source.
#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

void drop_dead_words(Words& words) {
  for (bool changed = true; changed;) {
    changed = false;
    const std::vector<Resources> after = live_after(words);
    std::vector<bool> gone(words.items.size());
    for (uint32_t at = 0; at < words.body_end(); ++at) {
      const Code::Item& item = words.items[at];
      if (item.relocation != isa::Relocation::kNone || isa::is_nop(item.insn)) continue;
      const Effects effects = effects_of(item.insn);
      // An amount's giver is live by its amount; the receiver of a local register's value is not known to be one.
      const bool receives = at != 0 && std::holds_alternative<isa::CsrRead>(words.items[at - 1].insn);
      if (effects.pinned || receives || (effects.defs & after[at]).any()) continue;
      gone[at] = changed = true;
    }
    words.remove(gone);
  }
}

}  // namespace xnic::compile::target::nfp
