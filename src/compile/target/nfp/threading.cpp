// SPDX-License-Identifier: Apache-2.0
// Branches whose target only branches on go there at once; branches to the next word go away, and what nobody reaches
// any more with them.
#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

using isa::Relocation;

namespace {

void set_target(isa::Instruction& insn, uint16_t target) {
  if (auto* branch = std::get_if<isa::Branch>(&insn)) branch->target = target;
  if (auto* bit = std::get_if<isa::BranchBit>(&insn)) bit->target = target;
  if (auto* byte = std::get_if<isa::BranchByte>(&insn)) byte->target = target;
}

// The branch that is all there is at a word, or null.
const Code::Item* only_branches(const Words& words, uint32_t at) {
  const auto* branch = std::get_if<isa::Branch>(&words.items[at].insn);
  if (branch == nullptr || branch->condition != isa::Condition::kAlways || branch->defer != 0) return nullptr;
  const Relocation relocation = words.items[at].relocation;
  const bool within = relocation == Relocation::kBranch || relocation == Relocation::kOut;
  return within && at < words.body_end() ? &words.items[at] : nullptr;
}

void drop_unreached(Words& words) {
  const std::vector<Block> blocks = words.blocks();
  std::vector<bool> reached(blocks.size());
  std::vector<uint32_t> work = {0};
  while (!work.empty()) {
    const uint32_t number = work.back();
    work.pop_back();
    if (reached[number]) continue;
    reached[number] = true;
    work.insert(work.end(), blocks[number].next.begin(), blocks[number].next.end());
  }
  std::vector<bool> gone(words.items.size());
  for (size_t i = 0; i < blocks.size(); ++i)
    for (uint32_t at = blocks[i].first; at < blocks[i].end && at < words.body_end(); ++at) gone[at] = !reached[i];
  words.remove(gone);
}

}  // namespace

void thread_branches(Words& words) {
  constexpr unsigned kLongest = 8;  // a loop of branches to branches has no end
  for (uint32_t at = 0; at < words.body_end(); ++at) {
    Code::Item& item = words.items[at];
    for (unsigned i = 0; i < kLongest && defers(item.insn) && item.relocation == Relocation::kBranch; ++i) {
      const auto* branch = std::get_if<isa::Branch>(&item.insn);
      const auto* bit = std::get_if<isa::BranchBit>(&item.insn);
      if (branch == nullptr && bit == nullptr) break;
      const Code::Item* there = only_branches(words, branch != nullptr ? branch->target : bit->target);
      if (there == nullptr) break;
      item.relocation = there->relocation;
      set_target(item.insn, std::get<isa::Branch>(there->insn).target);
    }
  }
  drop_unreached(words);
  std::vector<bool> gone(words.items.size());
  for (uint32_t at = 0; at < words.body_end(); ++at) {
    const auto* branch = std::get_if<isa::Branch>(&words.items[at].insn);
    gone[at] = branch != nullptr && branch->defer == 0 && words.items[at].relocation == Relocation::kBranch &&
               branch->target == at + 1;
  }
  words.remove(gone);
}

}  // namespace xnic::compile::target::nfp
