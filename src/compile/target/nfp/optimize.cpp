// SPDX-License-Identifier: Apache-2.0
// The passes over words, in their order.
#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

void optimize(Words& words, const PassSet& passes) {
  if (passes.has(Pass::kThreading)) thread_branches(words);
  if (passes.has(Pass::kConstants)) share_constants(words);
  if (passes.has(Pass::kValues)) reuse_values(words);
  if (passes.has(Pass::kDeadWords)) drop_dead_words(words);
  if (passes.has(Pass::kBanks)) choose_banks(words);
  if (passes.has(Pass::kPointerDelays)) fill_pointer_delays(words);
  if (passes.has(Pass::kDelaySlots)) fill_delay_slots(words);
}

}  // namespace xnic::compile::target::nfp
