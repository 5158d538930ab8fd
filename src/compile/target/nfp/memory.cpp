// SPDX-License-Identifier: Apache-2.0
// Loads and stores outside the stack: commands that move transfer registers to and from the packet's buffer (32-bit
// addresses) and map values (40 bits: the low half and, shifted by 8, the upper one). The thread sleeps until they are
// done.
#include "arch/ebpf/context.hpp"
#include "compile/target/nfp/lowering.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using isa::AddressMode;
using isa::AluOp;
using isa::CommandOp;
using isa::Condition;
using isa::None;

void Lowering::command(CommandOp op, AddressMode mode, Operand left, Operand right, unsigned length, isa::Swap swap,
                       bool indirect) {
  const auto signal = static_cast<uint8_t>(swap == isa::Swap::kNever ? 0 : 1);
  code_.emit(isa::Command{op, mode, 0, left, right, static_cast<uint8_t>(length), signal, swap, indirect});
}

base::Result<void> Lowering::lower(const Load& insn) {
  if (insn.sign_extend) return unsupported("the card has no sign-extending loads");
  switch (fact(insn.src).type) {
    case RegType::kContext:
      load_context(insn);
      return {};
    case RegType::kStack:
      load_stack(insn);
      return {};
    case RegType::kPacket: {
      if (const auto shared = reads_.at(slot_)) {
        load_shared(insn, *shared);
        return {};
      }
      const auto offset = static_cast<uint32_t>(int32_t{insn.offset});
      load_words(insn, gpr_a(low(insn.src)), code_.narrow_constant(offset, kScratchB), AddressMode::k32);
      return {};
    }
    case RegType::kMapValue: {
      Operand low_half, high_half;
      value_address(insn.src, insn.offset, low_half, high_half);
      load_words(insn, low_half, high_half, AddressMode::k40RightHigh);
      return {};
    }
    default:
      return unsupported("the card cannot load through such a pointer");
  }
}

void Lowering::load_context(const Load& insn) {
  const Operand to = gpr_both(low(insn.dst));
  const int64_t offset = static_cast<int64_t>(fact(insn.src).range.umin) + insn.offset;
  if (offset == kCtxData) {
    code_.move(to, kVectorPacket);
  } else {
    code_.alu(to, kPacketLength, AluOp::kAdd, kVectorPacket);
  }
  code_.load(gpr_both(high(insn.dst)), 0);
}

// The command brings whole words; bytes beyond the access are dropped.
void Lowering::load_words(const Load& insn, Operand left, Operand right, AddressMode mode) {
  const uint32_t xfer = reads_.own_register();
  long_command(CommandOp::kRead32Swap, mode, left, right, xfer, insn.size == Size::k8 ? 2 : 1);
  take(insn, xfer, 0);
}

void Lowering::load_shared(const Load& insn, const SharedRead& read) {
  if (read.first) {
    const auto offset = static_cast<uint32_t>(int32_t{insn.offset} - static_cast<int32_t>(read.at));
    const Operand right = code_.narrow_constant(offset, kScratchB);
    long_command(CommandOp::kRead32Swap, AddressMode::k32, gpr_a(low(insn.src)), right, read.xfer,
                 (read.bytes + 3) / 4);
  }
  take(insn, read.xfer, read.at);
}

void Lowering::take(const Load& insn, uint32_t xfer, uint32_t at) {
  for (const Slice& part : slices(low(insn.dst), at, bytes(insn.size))) {
    if (part.bytes == 4) {
      code_.move(gpr_both(part.gpr), transfer(xfer + part.word));
    } else {
      code_.bytes(gpr_both(part.gpr), part.gpr_byte, transfer(xfer + part.word), part.word_byte, part.bytes,
                  part.gpr_byte == 0);
    }
  }
  if (insn.size != Size::k8) clear_upper(insn.dst);
}

// More than eight units are told by the result of the instruction before the command.
void Lowering::long_command(CommandOp op, AddressMode mode, Operand left, Operand right, unsigned xfer,
                            unsigned count) {
  constexpr unsigned kMostDirect = 8;
  const bool indirect = count > kMostDirect;
  if (indirect) code_.load(None{}, isa::override_length(count - 1));
  code_.emit(isa::Command{op, mode, static_cast<uint8_t>(xfer), left, right,
                          static_cast<uint8_t>(indirect ? 0 : count - 1), 1, isa::Swap::kNow, indirect});
}

// One read, the words from the registers of what came to those of what goes, and one write, of whole words where there
// are many; then a second one for the bytes behind them.
void Lowering::copy_bytes(const Copy& copy) {
  constexpr uint32_t kMostSingleBytes = 32;
  const uint32_t words = (copy.bytes + 3) / 4;
  if (fact(copy.from).type == RegType::kMapValue) {
    Operand low_half, high_half;
    value_address(copy.from, copy.from_offset, low_half, high_half);
    long_command(CommandOp::kRead32Swap, AddressMode::k40RightHigh, low_half, high_half, 0, words);
  } else {
    const auto offset = static_cast<uint32_t>(int32_t{copy.from_offset});
    const Operand right = code_.narrow_constant(offset, kScratchB);
    long_command(CommandOp::kRead32Swap, AddressMode::k32, gpr_a(low(copy.from)), right, 0, words);
  }
  for (uint32_t i = 0; i < words; ++i) code_.move(transfer(i), transfer(i));
  const auto write = [&](CommandOp op, uint32_t at, unsigned count) {
    const auto offset = static_cast<uint32_t>(int32_t{copy.to_offset} + static_cast<int32_t>(at));
    const Operand right = code_.narrow_constant(offset, kScratchB);
    long_command(op, AddressMode::k32, gpr_a(low(copy.to)), right, at / 4, count);
  };
  const bool whole = copy.bytes % 4 == 0;
  const uint32_t by_words = copy.bytes > kMostSingleBytes || (whole && copy.bytes > 8) ? copy.bytes / 4 : 0;
  if (by_words != 0) write(CommandOp::kWrite32Swap, 0, by_words);
  if (copy.bytes > 4 * by_words) write(CommandOp::kWrite8Swap, 4 * by_words, copy.bytes - 4 * by_words);
  const InsnFacts& after = facts_.insns[copy.end];
  const bool read_later =
      !after.reached || after.regs[static_cast<size_t>(index(copy.last.dst))].type != RegType::kUnset;
  if (read_later) take(copy.last, 0, static_cast<uint32_t>(copy.last.offset - copy.from_offset));
}

// Only the low half of the address has a carry: the upper one counts in 2^24 of its units. An offset below zero is
// subtracted, where the driver's addition of it would carry out.
void Lowering::value_address(Reg base, int16_t offset, Operand& low_half, Operand& high_half) {
  low_half = gpr_a(low(base)), high_half = gpr_b(high(base));
  if (offset == 0) return;
  const auto distance = static_cast<uint32_t>(offset < 0 ? -int32_t{offset} : int32_t{offset});
  code_.alu(gpr_a(kAddress), low_half, offset < 0 ? AluOp::kSub : AluOp::kAdd,
            code_.wide_constant(distance, kScratchB));
  code_.alu(gpr_b(kAddress), high_half, offset < 0 ? AluOp::kSubCarry : AluOp::kAddCarry, imm(0));
  low_half = gpr_a(kAddress), high_half = gpr_b(kAddress);
}

base::Result<void> Lowering::lower(const Store& insn) {
  if (std::holds_alternative<Imm>(insn.src)) return unsupported("the card does not store immediates");
  switch (fact(insn.dst).type) {
    case RegType::kStack:
      store_stack(insn);
      return {};
    case RegType::kPacket:
      store_packet(insn);
      return {};
    default:
      return unsupported("the card cannot store through such a pointer");
  }
}

void Lowering::store_packet(const Store& insn) {
  const Reg src = std::get<Reg>(insn.src);
  const unsigned size = bytes(insn.size);
  const Operand offset = code_.narrow_constant(static_cast<uint32_t>(int32_t{insn.offset}), kScratchB);
  code_.move(transfer(0), gpr_a(low(src)));
  if (size == 8) code_.move(transfer(1), gpr_a(high(src)));
  command(CommandOp::kWrite8Swap, AddressMode::k32, gpr_a(low(insn.dst)), offset, size - 1, isa::Swap::kNow);
}

// Numbers of 16 bits fit into the command itself; longer ones are taken from transfer registers. What the verifier does
// not know is decided at run time.
base::Result<void> Lowering::lower(const Atomic& insn) {
  if (insn.op != AtomicOp::kAdd || insn.fetch) return unsupported("the card's memory only adds");
  const Range& added = fact(insn.src).range;
  const bool maybe_short = added.umin <= 0xffff, maybe_long = added.umax > 0xffff;
  const bool wide = insn.size == Size::k8;
  Operand low_half, high_half;
  value_address(insn.dst, insn.offset, low_half, high_half);
  std::optional<uint32_t> is_long, end;
  if (maybe_short && maybe_long) {
    code_.load(kScratchA, 0xffff);
    code_.alu(None{}, kScratchA, AluOp::kSub, gpr_b(low(insn.src)));
    code_.alu(None{}, imm(0), AluOp::kSubCarry, gpr_b(high(insn.src)));
    is_long = code_.branch(Condition::kNoCarry);
  }
  if (maybe_short) {
    code_.load(kScratchA, isa::kOverrideData | isa::override_length(wide ? 12 : 8));
    code_.bytes(kScratchA, 2, gpr_b(low(insn.src)), 0, 2, false);
    command(CommandOp::kAddImmediate, AddressMode::k40RightHigh, low_half, high_half, 0, isa::Swap::kNever, true);
    if (maybe_long) end = code_.branch(Condition::kAlways);
  }
  if (is_long) code_.bind(*is_long);
  if (maybe_long) {
    command(CommandOp::kAdd, AddressMode::k40RightHigh, low_half, high_half, wide ? 4 : 0,
            wide ? isa::Swap::kAfter2 : isa::Swap::kAfter1);
    code_.move(transfer(0), gpr_a(low(insn.src)));
    if (wide) code_.move(transfer(1), gpr_a(high(insn.src)));
  }
  if (end) code_.bind(*end);
  return {};
}

}  // namespace xnic::compile::target::nfp
