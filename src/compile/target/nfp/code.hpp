// SPDX-License-Identifier: Apache-2.0
// Code: the words of a program while it is being written, with the branches whose targets are not known yet. Internal
// to the compiler.
#pragma once

#include <vector>

#include "arch/nfp/image.hpp"

namespace xnic::compile::target::nfp {

namespace isa = arch::nfp;
using isa::gpr_a;
using isa::gpr_b;
using isa::gpr_both;
using isa::imm;
using isa::lm;
using isa::Operand;
using isa::transfer;

// Registers beside those of eBPF: 20 for addresses, 21 for constants and other short-lived values, both banks; 22 the
// stack's base in bank A and the packet's length in bank B.
inline constexpr unsigned kAddress = 20, kScratch = 21;
inline constexpr Operand kScratchA = gpr_a(kScratch), kScratchB = gpr_b(kScratch), kScratchBoth = gpr_both(kScratch);
inline constexpr Operand kStackBase = gpr_a(22), kPacketLength = gpr_b(22);
inline constexpr Operand kReturnAddress = kScratchA;
// The packet's vector, at local memory pointer 1.
inline constexpr Operand kVectorLength = lm(1, 0), kVectorPacket = lm(1, 2);

class Code {
 public:
  struct Item {
    isa::Instruction insn;
    isa::Relocation relocation;
    uint32_t slot;
  };

  uint32_t here() const { return static_cast<uint32_t>(items_.size()); }
  void set_slot(uint32_t slot) { slot_ = slot; }

  void emit(isa::Instruction insn, isa::Relocation relocation = isa::Relocation::kNone) {
    items_.push_back({insn, relocation, slot_});
  }
  void alu(Operand dst, Operand left, isa::AluOp op, Operand right) { emit(isa::Alu{op, dst, left, right}); }
  void move(Operand dst, Operand src) { emit(isa::Alu{isa::AluOp::kMove, dst, isa::None{}, src}); }
  // dst = right shifted; amount 0: by the left operand of the instruction before.
  void shift(Operand dst, Operand src, isa::ShiftKind kind, unsigned amount) {
    emit(isa::Shift{isa::ShiftOp::kMove, kind, static_cast<uint8_t>(amount), dst, isa::None{}, src});
  }
  // With the sign of the last result.
  void arithmetic_shift(Operand dst, Operand src, unsigned amount) {
    emit(isa::Shift{isa::ShiftOp::kArithmetic, isa::ShiftKind::kRight, static_cast<uint8_t>(amount), dst, isa::None{},
                    src});
  }
  void double_shift(Operand dst, Operand high, Operand low, unsigned amount) {
    emit(isa::Shift{isa::ShiftOp::kMove, isa::ShiftKind::kDoubleRight, static_cast<uint8_t>(amount), dst, high, low});
  }
  // Bytes [from, from + bytes) of src become bytes [to, …) of dst; the others are kept or cleared.
  void bytes(Operand dst, unsigned to, Operand src, unsigned from, unsigned count, bool clear);
  void rotate_field(Operand dst, unsigned mask, Operand src, unsigned amount) {
    emit(isa::LoadField{dst, static_cast<uint8_t>(mask), src, isa::ShiftKind::kRotate, static_cast<uint8_t>(amount),
                        false});
  }
  // dst = value, in one instruction where a half or the middle of the value or of its complement is zero, else two.
  void load(Operand dst, uint32_t value);
  // `value` as an operand: itself where it fits the encoding, else loaded into `spare`.
  Operand wide_constant(uint32_t value, Operand spare);
  Operand narrow_constant(uint32_t value, Operand spare);
  void nops(unsigned count) {
    while (count-- > 0) emit(isa::kNop);
  }
  void write_csr(uint16_t address, Operand src) { emit(isa::CsrWrite{address, src}); }

  // A branch to the first word of an eBPF instruction.
  void branch_to(isa::Condition condition, uint32_t target_slot, unsigned defer = 0);
  void branch_out(isa::Condition condition, isa::Relocation relocation, unsigned defer, unsigned number = 0);
  // A branch forward, whose target bind() names: to the word that is emitted next. Returns what bind() takes.
  uint32_t branch(isa::Condition condition, unsigned defer = 0);
  uint32_t branch_if_bit(Operand src, unsigned bit);
  void bind(uint32_t word);
  // The address of an eBPF instruction, or the one that bind() names, into dst.
  void load_address(Operand dst, uint32_t target_slot);
  uint32_t load_address(Operand dst);

  // Fills in the targets of branch_to() and load_address(); first_word is by slot.
  void resolve(const std::vector<uint32_t>& first_word);
  const std::vector<Item>& items() const { return items_; }

 private:
  struct Open {
    uint32_t word;
    uint32_t slot;
  };
  void set_target(uint32_t word, uint32_t target);

  std::vector<Item> items_;
  std::vector<Open> open_;
  uint32_t slot_ = isa::kNoInstruction;
};

}  // namespace xnic::compile::target::nfp
