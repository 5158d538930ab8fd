// SPDX-License-Identifier: Apache-2.0
// Words: a lowered program as the passes over words see it, with what each word reads and writes. Internal to the
// compiler.
//
// Invariants that every pass keeps: a branch and its deferred words stay together and no branch enters between them; an
// indirect shift follows the ALU instruction that gives its amount; a local memory pointer is used at the earliest
// three cycles after it is written; targets of branches are numbers of words.
#pragma once

#include <bitset>
#include <vector>

#include "compile/target/nfp/code.hpp"
#include "compile/target/nfp/passes.hpp"

namespace xnic::compile::target::nfp {

// What a word can read or write, as bits of a set. Registers of bank A are 0 to 31, those of B and the transfer
// registers that commands fill come behind.
inline constexpr size_t kBankB = 32, kTransferIn = 64, kPointer = 128;
inline constexpr size_t kFlags = 132;  // sign and zero
inline constexpr size_t kCarry = 133;
inline constexpr size_t kLast = 134;     // last result: sign of arithmetic shifts, overrides of commands
inline constexpr size_t kAmount = 135;   // left operand of the ALU instruction just before: indirect shifts
inline constexpr size_t kProduct = 136;  // state of the multiplication
inline constexpr size_t kLocal = 137;    // local memory
inline constexpr size_t kResources = 138;
using Resources = std::bitset<kResources>;

struct Effects {
  Resources uses, defs;
  bool pinned = false;  // does more than defs say: memories, branches, pointers
};
Effects effects_of(const isa::Instruction& insn);
// Adds the registers of an operand that is read, or written.
void add_source(const isa::Operand& operand, Resources& set);
// Deferred words behind it, or nothing when it is no branch.
std::optional<unsigned> defers(const isa::Instruction& insn);
void set_defers(isa::Instruction& insn, unsigned count);  // pre: it is a branch
// Words from one entrance to the next branch with its deferred words.
struct Block {
  uint32_t first = 0, end = 0;
  std::vector<uint32_t> next;  // blocks that may follow
  std::vector<uint32_t> previous;
  Resources end_uses, end_clobbers;  // of a routine of the firmware that is called at the end
};

struct Words {
  std::vector<Code::Item> items;
  uint32_t out = 0, abort = 0, push = 0, pop = 0;

  // Words that branches or addresses name.
  std::vector<bool> labels() const;
  std::vector<Block> blocks() const;
  // Takes out the marked words; what named one of them names the next that stays.
  void take_out(const std::vector<bool>& gone);
  // The same, but a word that fills the delay of a local memory pointer becomes a nop.
  void remove(std::vector<bool> gone);
  // Words from here on are the same for all programs, or padding.
  uint32_t body_end() const { return abort; }
  // The word sets a local memory pointer.
  bool sets_pointer(uint32_t at) const;
  // One of the three words before it does.
  bool in_pointer_delay(uint32_t at) const;
  // It receives a local register's value, or gives or takes an amount: bound to its neighbour.
  bool bound(uint32_t at) const;
};

inline constexpr unsigned kPointerDelay = 3;  // cycles between writing a local memory pointer and using it

// What may be read later, after each word.
std::vector<Resources> live_after(const Words& words);

// All passes over words that are in the set, in their order. optimize.cpp
void optimize(Words& words, const PassSet& passes);
// Each of them; each has its own file.
void thread_branches(Words& words);
void share_constants(Words& words);
void reuse_values(Words& words);
void drop_dead_words(Words& words);
void choose_banks(Words& words);
void fill_pointer_delays(Words& words);
void fill_delay_slots(Words& words);

}  // namespace xnic::compile::target::nfp
