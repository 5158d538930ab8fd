// SPDX-License-Identifier: Apache-2.0
// A word may pass others that neither read what it writes, nor write what it reads or writes. Conditions (flags, carry,
// last result) are written by nearly every word and read by few: there it is enough that nobody reads the wrong one.
#include "compile/target/nfp/motion.hpp"

#include <algorithm>

namespace xnic::compile::target::nfp {

namespace {

constexpr uint32_t kFarthest = 16;  // words that one may pass

Resources conditions() { return Resources().set(kFlags).set(kCarry).set(kLast).set(kAmount); }

bool may_move(const Words& words, uint32_t at, const Effects& effects) {
  return !effects.pinned && words.items[at].relocation == isa::Relocation::kNone && !words.bound(at) &&
         !isa::is_nop(words.items[at].insn) && !std::holds_alternative<isa::Multiply>(words.items[at].insn) &&
         !words.in_pointer_delay(at);
}

bool may_pass(const Words& words, uint32_t from, uint32_t to, uint32_t end, const Resources& live) {
  const Effects moved = effects_of(words.items[from].insn);
  const Resources soft = conditions();
  const Resources soft_defs = moved.defs & soft, hard_defs = moved.defs & ~soft;
  if ((soft_defs & live).any()) return false;
  Resources again;  // conditions that a word between has written anew
  for (uint32_t at = from + 1; at <= to; ++at) {
    const Effects other = effects_of(words.items[at].insn);
    if ((hard_defs & (other.uses | other.defs)).any() || (moved.uses & other.defs).any()) return false;
    if ((soft_defs & other.uses & ~again).any()) return false;
    again |= other.defs & soft;
  }
  for (uint32_t at = to + 1; at < end; ++at)
    if ((soft_defs & effects_of(words.items[at].insn).uses).any()) return false;
  return true;
}

}  // namespace

std::optional<uint32_t> last_movable(const Words& words, uint32_t first, uint32_t to, uint32_t end,
                                     const Resources& live) {
  for (uint32_t at = to; at-- > first && to - at <= kFarthest;)
    if (may_move(words, at, effects_of(words.items[at].insn)) && may_pass(words, at, to, end, live)) return at;
  return std::nullopt;
}

void move_behind(Words& words, uint32_t from, uint32_t to) {
  const auto begin = words.items.begin();
  std::rotate(begin + from, begin + from + 1, begin + to + 1);
}

}  // namespace xnic::compile::target::nfp
