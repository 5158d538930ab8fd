// SPDX-License-Identifier: Apache-2.0
// Calls. Helpers of the firmware are reached by a branch with the return address in B0 and the map's number in A0; keys
// and values are found through local memory pointers 0 and 2. Other helpers are written out. Subprograms get their
// return address in A21 and keep it in the first word of their frame.
#include <linux/bpf.h>

#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AluOp;
using isa::Condition;
using isa::None;
using isa::Relocation;

namespace {

constexpr unsigned kEthernetHeaderBytes = 14;
constexpr unsigned kShortestFrameBytes = 60;
constexpr uint32_t kInvalid = static_cast<uint32_t>(-22);  // -EINVAL
// The second argument, delta.
constexpr unsigned kDelta = 4;

// How the firmware is told what a pointer points to (the driver's fw.h).
uint32_t pointer_number(RegType type) {
  switch (type) {
    case RegType::kMapValue:
      return 4;
    case RegType::kStack:
      return 6;
    case RegType::kPacket:
      return 8;
    default:
      return 1;
  }
}

}  // namespace

base::Result<void> Lowering::lower(const CallHelper& insn) {
  switch (insn.id) {
    case BPF_FUNC_map_lookup_elem:
    case BPF_FUNC_map_update_elem:
    case BPF_FUNC_map_delete_elem:
      call_map(insn.id);
      return {};
    case BPF_FUNC_get_prandom_u32:
      random_number();
      return {};
    case BPF_FUNC_perf_event_output:
      event_output();
      return {};
    case BPF_FUNC_xdp_adjust_head:
      adjust_head();
      return {};
    case BPF_FUNC_xdp_adjust_tail:
      adjust_tail();
      return {};
    default:
      return unsupported("the card has no such helper");
  }
}

void Lowering::call_map(uint32_t helper) {
  const RegFact& key = fact(Reg::kR2);
  const bool at_base =
      own_frame(Reg::kR2) && int64_t{frames_[function_].depth} + static_cast<int64_t>(key.range.umin) == 0;
  if (!at_base) code_.write_csr(isa::kCsrLmAddress[0], gpr_b(low(Reg::kR2)));
  if (helper == BPF_FUNC_map_update_elem) code_.write_csr(isa::kCsrLmAddress[2], gpr_b(low(Reg::kR3)));
  code_.branch_out(Condition::kAlways, Relocation::kHelper, 2, helper);
  code_.move(gpr_a(0), gpr_a(low(Reg::kR1)));
  const uint32_t back = code_.load_address(gpr_b(0));
  code_.bind(back);
  if (at_base) return;
  code_.write_csr(isa::kCsrLmAddress[0], kStackBase);
  code_.nops(kPointerDelay);
}

// The local register's value comes with the instruction behind the read.
void Lowering::random_number() {
  code_.emit(isa::CsrRead{isa::kCsrRandom});
  code_.emit(isa::LoadImmediate{gpr_both(0), 0});
  code_.load(gpr_both(1), 0);
}

void Lowering::event_output() {
  code_.branch_out(Condition::kAlways, Relocation::kHelper, 2, BPF_FUNC_perf_event_output);
  code_.move(gpr_a(1), imm(pointer_number(fact(Reg::kR4).type)));
  const uint32_t back = code_.load_address(gpr_b(0));
  code_.bind(back);
}

// True when this is the program's only adjustment of the head, runs once at most, and is by a constant that the card
// promises to have room for.
bool Lowering::adjustment_is_safe() const {
  const Range& delta = fact(Reg::kR2).range;
  if (!delta.is_constant()) return false;
  const auto by = static_cast<int64_t>(delta.umin);
  if (by > int64_t{firmware_.adjust_head->guaranteed_add} || by < -int64_t{firmware_.adjust_head->guaranteed_sub} ||
      by > int64_t{kShortestFrameBytes - kEthernetHeaderBytes})
    return false;
  unsigned calls = 0;
  for (Slot slot = 0; slot < program_.insns.size(); ++slot) {
    if (!facts_.insns[slot].reached) continue;
    const Instruction& insn = program_.insns[slot];
    if (const auto* call = std::get_if<CallHelper>(&insn)) calls += call->id == BPF_FUNC_xdp_adjust_head ? 1 : 0;
    if (const auto* jump = std::get_if<Jump>(&insn); jump != nullptr && jump->target <= slot) return false;
    if (const auto* jump = std::get_if<Goto>(&insn); jump != nullptr && jump->target <= slot) return false;
    if (std::holds_alternative<CallLocal>(insn)) return false;
  }
  return calls == 1;
}

void Lowering::adjust_head() {
  if (!adjustment_is_safe()) return adjust_head_checked();
  const Operand delta = gpr_a(kDelta);
  code_.alu(kVectorPacket, delta, AluOp::kAdd, kVectorPacket);
  code_.alu(kPacketLength, kPacketLength, AluOp::kSub, delta);
  code_.alu(kVectorLength, kVectorLength, AluOp::kSub, delta);
  code_.load(gpr_both(0), 0);
  code_.load(gpr_both(1), 0);
}

// The low 16 bits of the packet's address are its offset in the buffer.
void Lowering::adjust_head_checked() {
  const Operand delta = gpr_a(kDelta);
  code_.alu(kScratchA, delta, AluOp::kAdd16, kVectorPacket);
  code_.alu(None{}, kScratchA, AluOp::kSub, imm(firmware_.adjust_head->off_min));
  const uint32_t too_low = code_.branch(Condition::kNoCarry);
  code_.alu(None{}, imm(firmware_.adjust_head->off_max), AluOp::kSub, kScratchA);
  const uint32_t too_high = code_.branch(Condition::kNoCarry);
  code_.alu(kScratchB, kPacketLength, AluOp::kSub, delta);
  code_.alu(None{}, kScratchB, AluOp::kSub, imm(kEthernetHeaderBytes));
  const uint32_t too_short = code_.branch(Condition::kMinus);
  code_.load(gpr_both(0), 0);
  code_.load(gpr_both(1), 0);
  code_.bytes(kVectorPacket, 0, kScratchA, 0, 2, false);
  const uint32_t end = code_.branch(Condition::kAlways, 2);
  code_.alu(kPacketLength, kPacketLength, AluOp::kSub, delta);
  code_.alu(kVectorLength, kVectorLength, AluOp::kSub, delta);
  for (const uint32_t branch : {too_low, too_high, too_short}) code_.bind(branch);
  code_.load(gpr_both(0), kInvalid);
  code_.load(gpr_both(1), ~uint32_t{0});
  code_.bind(end);
}

// Packets only become shorter: the sum has to carry.
void Lowering::adjust_tail() {
  const Operand delta = gpr_a(kDelta);
  code_.alu(kScratchA, kPacketLength, AluOp::kAdd, delta);
  const uint32_t longer = code_.branch(Condition::kNoCarry);
  code_.alu(None{}, kScratchA, AluOp::kSub, imm(kEthernetHeaderBytes));
  const uint32_t too_short = code_.branch(Condition::kMinus);
  code_.alu(kPacketLength, kPacketLength, AluOp::kAdd, delta);
  code_.alu(kVectorLength, kVectorLength, AluOp::kAdd, delta);
  const uint32_t end = code_.branch(Condition::kAlways, 2);
  code_.load(gpr_both(0), 0);
  code_.load(gpr_both(1), 0);
  code_.bind(longer);
  code_.bind(too_short);
  code_.load(gpr_both(0), kInvalid);
  code_.load(gpr_both(1), ~uint32_t{0});
  code_.bind(end);
}

// The frame of the callee begins behind the caller's. When it saves registers, the routine that pushes them is called
// with the callee as its return address.
base::Result<void> Lowering::lower(const CallLocal& insn) {
  const uint32_t align = arch::nfp::kStackFrameAlign;
  const uint32_t frame = (frames_[function_].depth + align - 1) / align * align;
  const auto callee = static_cast<size_t>(&program_.subprogram_at(insn.target) - program_.subprograms.data());
  if (frame != 0) {
    code_.alu(kStackBase, kStackBase, AluOp::kAdd, code_.wide_constant(frame, kScratchB));
    code_.write_csr(isa::kCsrLmAddress[0], kStackBase);
  }
  if (frames_[callee].saves) {
    code_.branch_out(Condition::kAlways, Relocation::kPushRegisters, 2);
    code_.load_address(kScratchB, insn.target);
  } else {
    code_.branch_to(Condition::kAlways, insn.target, 1);
  }
  const uint32_t back = code_.load_address(kReturnAddress);
  code_.bind(back);
  if (frame != 0) {
    code_.alu(kStackBase, kStackBase, AluOp::kSub, code_.wide_constant(frame, kScratchB));
    code_.write_csr(isa::kCsrLmAddress[0], kStackBase);
    code_.nops(kPointerDelay);
  }
  return {};
}

base::Result<void> Lowering::lower(const Exit&) {
  if (function_ == 0) {
    code_.branch_out(Condition::kAlways, Relocation::kOut, 0);
  } else if (frames_[function_].saves) {
    code_.branch_out(Condition::kAlways, Relocation::kPopRegisters, 1);
    code_.move(kReturnAddress, lm(0, 0));
  } else {
    code_.move(kReturnAddress, lm(0, 0));
    code_.emit(isa::JumpRegister{kReturnAddress, 0, 0});
  }
  return {};
}

}  // namespace xnic::compile::target::nfp
