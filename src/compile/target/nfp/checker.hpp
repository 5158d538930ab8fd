// SPDX-License-Identifier: Apache-2.0
// What the offload verifier's files share. Internal to this folder.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "compile/target/nfp/offload.hpp"

namespace xnic::compile::target::nfp {

// The number of a type in enum bpf_reg_type of Linux 6.12, which the driver prints. instructions.cpp
int kernel_number(arch::ebpf::RegType type);

class Checker {
 public:
  Checker(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const Card& card)
      : program_(program), facts_(facts), card_(card), firmware_(*card.firmware) {}
  std::vector<Refusal> run();

 private:
  using Slot = arch::ebpf::Slot;

  // offload.cpp
  void refuse(Rule rule, Stage stage, int error, std::string message, std::string advice);
  const arch::ebpf::RegFact& fact(arch::ebpf::Reg reg) const;
  void check_stack_size();
  void check_packet_reach();

  // instructions.cpp: the instruction at slot_.
  void check(const arch::ebpf::Binary& insn);
  void check(const arch::ebpf::Load& insn);
  void check(const arch::ebpf::Store& insn);
  void check(const arch::ebpf::Atomic& insn);
  void check(const arch::ebpf::Swap& insn);
  void check(const arch::ebpf::Goto& insn);
  void check(const arch::ebpf::CallHelper& insn);  // helpers.cpp
  void check(const arch::ebpf::LoadMapValue& insn);
  void check(const arch::ebpf::CallKernel& insn);
  void check(const arch::ebpf::MovSx&) { refuse_reused("movsx"); }
  void check(const arch::ebpf::MayGoto&) { refuse_opcode("Write the loop with a counter of its own."); }
  void check(const arch::ebpf::CallRegister&) { refuse_opcode("Call a helper by its number."); }
  void check(const arch::ebpf::LoadKernelVariable&) { refuse_opcode("The card has no kernel variables."); }
  void check(const arch::ebpf::LoadFunction&) {
    refuse_opcode("Callbacks do not exist on this card: write the loop out.");
  }
  template <class Other>
  void check(const Other&) {}  // taken in every form
  void refuse_opcode(std::string advice);
  void refuse_reused(std::string_view form);
  void check_multiply(const arch::ebpf::Binary& insn);
  void check_divide(const arch::ebpf::Binary& insn);
  // The pointer in `reg` as the base of an access of `bytes` at `offset`; true when its type is one the card has.
  bool check_pointer(arch::ebpf::Reg reg);
  bool check_stack_pointer(const arch::ebpf::RegFact& base);

  // helpers.cpp
  void check_map_call(std::string_view name, bool available, bool with_value);
  bool check_stack_argument(std::string_view name, arch::ebpf::Reg reg);
  void check_update_value(arch::ebpf::MapIndex map, int64_t stack_offset);
  void check_event_output();

  // maps.cpp
  void check_maps();
  void check_map_words();
  enum WordUse : uint8_t { kRead = 1, kAtomic = 2, kNonZeroUpdate = 4 };
  void mark_word(arch::ebpf::MapIndex map, int64_t offset, unsigned bytes, WordUse use);
  bool stack_stays_zero(int64_t from, int64_t bytes) const;

  const arch::ebpf::Program& program_;
  const arch::ebpf::Facts& facts_;
  const Card& card_;
  const arch::nfp::Firmware& firmware_;
  Slot slot_ = kNoSlot;
  std::vector<Refusal> refusals_;
  // Uses of each 4-byte word of map values, and where each use was first seen.
  std::map<std::pair<arch::ebpf::MapIndex, int64_t>, uint8_t> words_;
  std::map<std::pair<arch::ebpf::MapIndex, int64_t>, Slot> first_atomic_;
};

}  // namespace xnic::compile::target::nfp
