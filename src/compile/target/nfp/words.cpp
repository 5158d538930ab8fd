// SPDX-License-Identifier: Apache-2.0
// What words read and write, the graph of their blocks, and liveness as its backward fixpoint.
#include "compile/target/nfp/words.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace xnic::compile::target::nfp {

using isa::Bank;
using isa::Relocation;

namespace {

void add_destination(const isa::Operand& operand, Effects& effects) {
  if (const auto* gpr = std::get_if<isa::Gpr>(&operand)) {
    if (gpr->bank != Bank::kB) effects.defs.set(gpr->number);
    if (gpr->bank != Bank::kA) effects.defs.set(kBankB + gpr->number);
  } else if (const auto* memory = std::get_if<isa::Lm>(&operand)) {
    effects.uses.set(kPointer + memory->pointer);
    effects.defs.set(kLocal);
    effects.pinned = true;
  } else if (!std::holds_alternative<isa::None>(operand)) {
    effects.pinned = true;  // a transfer register on its way out
  }
}

bool steps(const isa::Operand& operand) {
  const auto* memory = std::get_if<isa::Lm>(&operand);
  return memory != nullptr && memory->step != isa::Step::kNone;
}

void pin_steps(const isa::Operand& operand, Effects& effects) {
  if (!steps(operand)) return;
  effects.pinned = true;
  effects.defs.set(kPointer + std::get<isa::Lm>(operand).pointer);
}

void add(const isa::Alu& insn, Effects& effects) {
  if (isa::reads_left(insn.op)) add_source(insn.left, effects.uses);
  add_source(insn.right, effects.uses);
  if (insn.op == isa::AluOp::kAddCarry || insn.op == isa::AluOp::kSubCarry) effects.uses.set(kCarry);
  effects.defs.set(kFlags).set(kCarry).set(kLast).set(kAmount);
  add_destination(insn.dst, effects);
  for (const isa::Operand* operand : {&insn.dst, &insn.left, &insn.right}) pin_steps(*operand, effects);
}

void add(const isa::Shift& insn, Effects& effects) {
  if (isa::reads_left(insn.op, insn.kind)) add_source(insn.left, effects.uses);
  add_source(insn.right, effects.uses);
  if (insn.kind != isa::ShiftKind::kRotate && insn.amount == 0) effects.uses.set(kAmount);
  if (insn.op == isa::ShiftOp::kArithmetic) effects.uses.set(kLast);
  effects.defs.set(kFlags).set(kCarry).set(kLast);
  add_destination(insn.dst, effects);
}

void add(const isa::LoadField& insn, Effects& effects) {
  add_source(insn.src, effects.uses);
  if (insn.kind != isa::ShiftKind::kRotate && insn.amount == 0) effects.uses.set(kAmount);
  if (!insn.clear) {
    if (const auto* gpr = std::get_if<isa::Gpr>(&insn.dst); gpr != nullptr && gpr->bank == Bank::kBoth) {
      effects.uses.set(gpr->number);
    } else {
      add_source(insn.dst, effects.uses);
    }
  }
  effects.defs.set(kLast);
  add_destination(insn.dst, effects);
}

void add(const isa::LoadImmediate& insn, Effects& effects) {
  if (isa::is_nop(insn)) return;
  if (insn.width != isa::ImmediateWidth::kAll) {
    if (const auto* gpr = std::get_if<isa::Gpr>(&insn.dst))
      effects.uses.set(gpr->number + (gpr->bank == Bank::kB ? kBankB : 0));
  }
  effects.defs.set(kLast);
  add_destination(insn.dst, effects);
}

void add(const isa::Multiply& insn, Effects& effects) {
  effects.defs.set(kProduct);
  if (insn.type != isa::MultiplyType::kStart) effects.uses.set(kProduct);
  add_source(insn.left, effects.uses);
  add_source(insn.right, effects.uses);
  add_destination(insn.dst, effects);
}

void add(const isa::Command& insn, Effects& effects) {
  effects.pinned = true;
  add_source(insn.left, effects.uses);
  add_source(insn.right, effects.uses);
  if (insn.indirect) effects.uses.set(kLast);
  if (insn.op != isa::CommandOp::kRead32Swap) return;
  const unsigned words = insn.indirect ? 64u : insn.length + 1u;  // an override's length is not looked for
  for (unsigned i = 0; i < words; ++i) effects.defs.set(kTransferIn + (insn.xfer + i) % 64);
}

void add(const isa::CsrWrite& insn, Effects& effects) {
  effects.pinned = true;
  add_source(insn.src, effects.uses);
  for (size_t i = 0; i < std::size(isa::kCsrLmAddress); ++i)
    if (isa::kCsrLmAddress[i] == insn.address) effects.defs.set(kPointer + i);
}

void add(const isa::CsrRead&, Effects& effects) { effects.pinned = true; }

void add(const isa::Branch& insn, Effects& effects) {
  effects.pinned = true;
  if (insn.condition == isa::Condition::kAlways) return;
  effects.uses.set(kFlags);
  if (insn.condition >= isa::Condition::kCarry) effects.uses.set(kCarry);
}

void add(const isa::BranchBit& insn, Effects& effects) {
  effects.pinned = true;
  add_source(insn.src, effects.uses);
}
void add(const isa::BranchByte& insn, Effects& effects) {
  effects.pinned = true;
  add_source(insn.src, effects.uses);
}
void add(const isa::JumpRegister& insn, Effects& effects) {
  effects.pinned = true;
  add_source(insn.base, effects.uses);
}

}  // namespace

void add_source(const isa::Operand& operand, Resources& set) {
  if (const auto* gpr = std::get_if<isa::Gpr>(&operand)) {
    set.set(gpr->number + (gpr->bank == Bank::kB ? kBankB : 0));
  } else if (const auto* xfer = std::get_if<isa::Transfer>(&operand)) {
    set.set(kTransferIn + xfer->number);
  } else if (const auto* memory = std::get_if<isa::Lm>(&operand)) {
    set.set(kLocal).set(kPointer + memory->pointer);
  }
}

Effects effects_of(const isa::Instruction& insn) {
  Effects effects;
  std::visit([&](const auto& form) { add(form, effects); }, insn);
  return effects;
}

std::optional<unsigned> defers(const isa::Instruction& insn) {
  if (const auto* branch = std::get_if<isa::Branch>(&insn)) return branch->defer;
  if (const auto* bit = std::get_if<isa::BranchBit>(&insn)) return bit->defer;
  if (const auto* byte = std::get_if<isa::BranchByte>(&insn)) return byte->defer;
  if (const auto* jump = std::get_if<isa::JumpRegister>(&insn)) return jump->defer;
  return std::nullopt;
}

namespace {

// The word that a branch or an address names, or nothing.
std::optional<uint32_t> named(const Code::Item& item) {
  if (item.relocation != Relocation::kBranch && item.relocation != Relocation::kImmediate) return std::nullopt;
  if (const auto* branch = std::get_if<isa::Branch>(&item.insn)) return branch->target;
  if (const auto* bit = std::get_if<isa::BranchBit>(&item.insn)) return bit->target;
  if (const auto* byte = std::get_if<isa::BranchByte>(&item.insn)) return byte->target;
  return std::get<isa::LoadImmediate>(item.insn).value;
}

bool conditional(const isa::Instruction& insn) {
  const auto* branch = std::get_if<isa::Branch>(&insn);
  return branch != nullptr ? branch->condition != isa::Condition::kAlways
                           : !std::holds_alternative<isa::JumpRegister>(insn);
}

// What a routine of the firmware reads: the map and the way back, the arguments r1 to r5, local memory. It gives r0
// back and keeps r6 to r9 and the stack's base.
void call_firmware(Block& block) {
  for (size_t number = 0; number < 12; ++number) block.end_uses.set(number).set(kBankB + number);
  block.end_uses.set(22).set(kBankB + 22).set(kLocal);
  for (size_t i = 0; i < 3; ++i) block.end_uses.set(kPointer + i);
  for (size_t number = 0; number < 32; ++number)
    if ((number < 12 || number > 19) && number != 22) block.end_clobbers.set(number).set(kBankB + number);
  for (size_t i = kTransferIn; i < kPointer; ++i) block.end_clobbers.set(i);
  for (size_t i = kFlags; i < kLocal; ++i) block.end_clobbers.set(i);
  block.end_clobbers.set(kPointer + 2).set(kPointer + 3);
}

}  // namespace

std::vector<bool> Words::labels() const {
  std::vector<bool> labels(items.size() + 1);
  labels[0] = labels[out] = labels[abort] = true;
  if (push != 0) labels[push] = labels[pop] = true;
  for (const Code::Item& item : items)
    if (const auto target = named(item)) labels[*target] = true;
  return labels;
}

std::vector<Block> Words::blocks() const {
  std::vector<Block> blocks;
  std::vector<uint32_t> block_of(items.size() + 1, ~0u);
  const std::vector<bool> is_label = labels();
  std::vector<uint32_t> returns;  // where subprograms begin and go back to
  for (uint32_t at = 0; at < items.size();) {
    Block block{at, at, {}, {}, {}, {}};
    block_of[at] = static_cast<uint32_t>(blocks.size());
    for (bool ended = false; !ended && block.end < items.size() && (block.end == at || !is_label[block.end]);) {
      const auto deferred = defers(items[block.end].insn);
      block.end += deferred ? 1 + *deferred : 1;
      ended = deferred.has_value();
    }
    at = block.end;
    blocks.push_back(std::move(block));
  }
  // The address that a call of the firmware gives is the word behind it: only that call comes back there.
  for (const Block& block : blocks) {
    bool firmware = false;
    for (uint32_t at = block.first; at < block.end; ++at) {
      firmware = firmware || items[at].relocation == Relocation::kHelper;
      if (items[at].relocation == Relocation::kImmediate && !firmware) returns.push_back(block_of[*named(items[at])]);
    }
  }
  for (uint32_t number = 0; number < blocks.size(); ++number) {
    Block& block = blocks[number];
    const uint32_t behind = block_of[block.end];
    uint32_t branch = block.end;
    for (uint32_t at = block.first; at < block.end; ++at)
      if (defers(items[at].insn)) branch = at;
    if (branch == block.end) {
      if (behind != ~0u) block.next.push_back(behind);
      continue;
    }
    const Code::Item& item = items[branch];
    const auto go = [&](uint32_t word) { block.next.push_back(block_of[word]); };
    if (const auto target = named(item)) go(*target);
    if (item.relocation == Relocation::kOut) go(out);
    if (item.relocation == Relocation::kAbort) go(abort);
    if (item.relocation == Relocation::kPushRegisters) go(push);
    if (item.relocation == Relocation::kPopRegisters) go(pop);
    if (item.relocation == Relocation::kHelper) call_firmware(block);
    if (item.relocation == Relocation::kNextPacket) block.end_uses.set(0).set(kLocal);
    if (conditional(item.insn) || item.relocation == Relocation::kHelper) block.next.push_back(behind);
    if (std::holds_alternative<isa::JumpRegister>(item.insn))
      block.next.insert(block.next.end(), returns.begin(), returns.end());
  }
  for (uint32_t number = 0; number < blocks.size(); ++number)
    for (const uint32_t next : blocks[number].next) blocks[next].previous.push_back(number);
  return blocks;
}

bool Words::sets_pointer(uint32_t at) const { return std::holds_alternative<isa::CsrWrite>(items[at].insn); }

bool Words::in_pointer_delay(uint32_t at) const {
  for (uint32_t back = 1; back <= kPointerDelay && back <= at; ++back)
    if (sets_pointer(at - back)) return true;
  return false;
}

bool Words::bound(uint32_t at) const {
  const auto takes_amount = [&](uint32_t word) {
    return word < items.size() && effects_of(items[word].insn).uses[kAmount];
  };
  return (at != 0 && std::holds_alternative<isa::CsrRead>(items[at - 1].insn)) || takes_amount(at) ||
         takes_amount(at + 1);
}

void Words::remove(std::vector<bool> gone) {
  for (uint32_t i = 0; i < items.size(); ++i) {
    if (!gone[i] || !in_pointer_delay(i)) continue;
    gone[i] = false;
    items[i].insn = isa::kNop;
    items[i].relocation = Relocation::kNone;
  }
  take_out(gone);
}

void set_defers(isa::Instruction& insn, unsigned count) {
  const auto defer = static_cast<uint8_t>(count);
  if (auto* branch = std::get_if<isa::Branch>(&insn)) branch->defer = defer;
  if (auto* bit = std::get_if<isa::BranchBit>(&insn)) bit->defer = defer;
  if (auto* byte = std::get_if<isa::BranchByte>(&insn)) byte->defer = defer;
  if (auto* jump = std::get_if<isa::JumpRegister>(&insn)) jump->defer = defer;
}

void Words::take_out(const std::vector<bool>& gone) {
  for (size_t i = 0; i < items.size(); ++i) {
    const unsigned before = defers(items[i].insn).value_or(0);
    unsigned left = before;
    for (unsigned behind = 1; behind <= before; ++behind) left -= gone[i + behind] ? 1 : 0;
    if (left != before) set_defers(items[i].insn, left);
  }
  std::vector<uint32_t> now(items.size() + 1);
  std::vector<Code::Item> rest;
  for (size_t i = 0; i < items.size(); ++i) {
    now[i] = static_cast<uint32_t>(rest.size());
    if (!gone[i]) rest.push_back(items[i]);
  }
  now[items.size()] = static_cast<uint32_t>(rest.size());
  for (Code::Item& item : rest) {
    const auto target = named(item);
    if (!target) continue;
    const auto moved = static_cast<uint16_t>(now[*target]);
    if (auto* branch = std::get_if<isa::Branch>(&item.insn)) branch->target = moved;
    if (auto* bit = std::get_if<isa::BranchBit>(&item.insn)) bit->target = moved;
    if (auto* byte = std::get_if<isa::BranchByte>(&item.insn)) byte->target = moved;
    if (auto* value = std::get_if<isa::LoadImmediate>(&item.insn)) value->value = moved;
  }
  for (uint32_t* word : {&out, &abort, &push, &pop}) *word = now[*word];
  items = std::move(rest);
}

std::vector<Resources> live_after(const Words& words) {
  const std::vector<Block> blocks = words.blocks();
  std::vector<Effects> effects;
  for (const Code::Item& item : words.items) effects.push_back(effects_of(item.insn));
  std::vector<Resources> after(words.items.size());
  std::vector<Resources> at_start(blocks.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t number = blocks.size(); number-- > 0;) {
      const Block& block = blocks[number];
      Resources live;
      for (const uint32_t next : block.next) live |= at_start[next];
      live = (live & ~block.end_clobbers) | block.end_uses;
      for (uint32_t at = block.end; at-- > block.first;) {
        after[at] = live;
        live = (live & ~effects[at].defs) | effects[at].uses;
      }
      if (live != at_start[number]) at_start[number] = live, changed = true;
    }
  }
  return after;
}

}  // namespace xnic::compile::target::nfp
