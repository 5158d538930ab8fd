// SPDX-License-Identifier: Apache-2.0
// Lowering of one subprogram to an LLVM function: i64 f(run, packet, r1..r5).
//
// Every register is a 64-bit variable, which LLVM turns into values; pointers are numbers, and become pointers where
// they are used. There the facts decide how: an address in the function's own stack, the packet or a map with one value
// is written as base plus offset, so that LLVM knows what can alias what, and the stack of most programs vanishes into
// registers. All arithmetic wraps; there are no flags that promise anything. What the facts call unreachable is not
// translated.
//
// Invariant: the variables data_, end_ and meta_ hold the packet's bounds; they are read anew behind whatever may move
// them.
#pragma once

#include <array>
#include <map>

#include "compile/target/native/module.hpp"

namespace xnic::compile::target::native {

class Lowering {
 public:
  // `first`..`end`: the subprogram's slots.
  Lowering(Unit& unit, llvm::Function* function, ebpf::Slot first, ebpf::Slot end);
  base::Result<void> run();

 private:
  using Value = llvm::Value;

  // lowering.cpp
  void find_leaders();
  void prologue();
  base::Result<void> translate_block(ebpf::Slot slot);
  llvm::BasicBlock* block_at(ebpf::Slot slot);
  bool reached(ebpf::Slot slot) const;
  const ebpf::RegFact* fact(ebpf::Reg reg) const;
  base::Unexpected unsupported(const std::string& why) const;
  llvm::IntegerType* bits(unsigned count) { return b_.getIntNTy(count); }
  Value* get(ebpf::Reg reg);
  void set(ebpf::Reg reg, Value* value);  // zero-extends
  Value* operand(const ebpf::Operand& operand, ebpf::Width width);
  Value* low(Value* value, ebpf::Width width);
  void read_bounds();
  void leave(Value* result) { b_.CreateRet(result); }

  // alu.cpp
  base::Result<void> translate(const ebpf::Binary& insn);
  base::Result<void> translate(const ebpf::MovSx& insn);
  base::Result<void> translate(const ebpf::Neg& insn);
  base::Result<void> translate(const ebpf::Swap& insn);
  Value* divide(Value* a, Value* b, bool remainder, bool is_signed);
  Value* shift(ebpf::BinaryOp op, Value* a, Value* b);

  // memory.cpp
  base::Result<void> translate(const ebpf::LoadImm64& insn);
  base::Result<void> translate(const ebpf::LoadMap& insn);
  base::Result<void> translate(const ebpf::LoadMapValue& insn);
  base::Result<void> translate(const ebpf::LoadFunction& insn);
  base::Result<void> translate(const ebpf::LoadPacket& insn);
  base::Result<void> translate(const ebpf::Load& insn);
  base::Result<void> translate(const ebpf::Store& insn);
  base::Result<void> translate(const ebpf::Atomic& insn);
  Value* address(ebpf::Reg base, int64_t offset);
  bool shared_and_aligned(ebpf::Reg base, int64_t offset, ebpf::Size size) const;
  bool in_own_stack(ebpf::Reg base) const;
  Value* context_field(uint64_t offset);
  Value* maybe_context(Value* address, ebpf::Size size, bool sign_extend);
  Value* frozen_load(ebpf::Reg base, int64_t offset, ebpf::Size size);
  Value* plain_load(Value* address, ebpf::Size size, bool sign_extend, bool shared);
  Value* extend(Value* value, bool sign_extend);

  // control.cpp
  base::Result<void> translate(const ebpf::Jump& insn);
  base::Result<void> translate(const ebpf::Goto& insn);
  base::Result<void> translate(const ebpf::MayGoto& insn);
  base::Result<void> translate(const ebpf::CallHelper& insn);
  base::Result<void> translate(const ebpf::CallLocal& insn);
  base::Result<void> translate(const ebpf::CallKernel& insn);
  base::Result<void> translate(const ebpf::CallRegister& insn);
  base::Result<void> translate(const ebpf::Exit& insn);
  base::Result<void> translate(const ebpf::LoadKernelVariable& insn);
  base::Result<void> translate(const ebpf::WideTail&) { return {}; }
  base::Result<void> tail_call();
  void flat_call(const arch::native::Request::Flat& flat);
  void leave_if_stopped();
  bool special_call(const ebpf::CallHelper& insn);
  Value* argument(ebpf::Reg reg);
  Value* call_helper(ebpf::HelperId id, const ebpf::HelperSignature* signature);
  void branch(Value* condition, ebpf::Slot taken, ebpf::Slot not_taken);

  Unit& unit_;
  llvm::Function* function_;
  ebpf::Slot first_;
  ebpf::Slot end_slot_;
  llvm::IRBuilder<> b_;
  ebpf::Slot slot_ = 0;  // being translated
  std::map<ebpf::Slot, llvm::BasicBlock*> blocks_;
  std::array<llvm::AllocaInst*, ebpf::kRegCount> regs_{};
  llvm::AllocaInst* stack_ = nullptr;
  Value* stack_end_ = nullptr;  // where r10 points
  llvm::AllocaInst* may_goto_ = nullptr;
  llvm::AllocaInst* data_ = nullptr;
  llvm::AllocaInst* end_ = nullptr;
  llvm::AllocaInst* meta_ = nullptr;
  Value* run_ = nullptr;
  Value* packet_ = nullptr;
};

}  // namespace xnic::compile::target::native
