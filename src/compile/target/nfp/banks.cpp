// SPDX-License-Identifier: Apache-2.0
// The driver writes every register in both banks, so that any two can be operands. Where the copy in one bank is never
// read, the other alone is written.
#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

using isa::Bank;

namespace {

isa::Operand* destination_of(isa::Instruction& insn) {
  if (auto* alu = std::get_if<isa::Alu>(&insn)) return &alu->dst;
  if (auto* shift = std::get_if<isa::Shift>(&insn)) return &shift->dst;
  if (auto* field = std::get_if<isa::LoadField>(&insn)) return &field->dst;
  if (auto* value = std::get_if<isa::LoadImmediate>(&insn)) return &value->dst;
  if (auto* product = std::get_if<isa::Multiply>(&insn)) return &product->dst;
  return nullptr;
}

// It keeps a part of its destination, which it reads in bank A when it writes both.
bool keeps_a_part(const isa::Instruction& insn) {
  if (const auto* field = std::get_if<isa::LoadField>(&insn)) return !field->clear;
  const auto* value = std::get_if<isa::LoadImmediate>(&insn);
  return value != nullptr && value->width != isa::ImmediateWidth::kAll;
}

}  // namespace

void choose_banks(Words& words) {
  const std::vector<Resources> after = live_after(words);
  for (uint32_t at = 0; at < words.body_end(); ++at) {
    isa::Instruction changed = words.items[at].insn;
    isa::Operand* dst = destination_of(changed);
    auto* gpr = dst == nullptr ? nullptr : std::get_if<isa::Gpr>(dst);
    if (gpr == nullptr || gpr->bank != Bank::kBoth) continue;
    const bool a = after[at][gpr->number], b = after[at][kBankB + gpr->number];
    if (a == b) continue;
    if (b && keeps_a_part(changed)) continue;
    gpr->bank = a ? Bank::kA : Bank::kB;
    if (isa::encode(changed)) words.items[at].insn = changed;
  }
}

}  // namespace xnic::compile::target::nfp
