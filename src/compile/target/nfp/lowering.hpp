// SPDX-License-Identifier: Apache-2.0
// Lowering: one eBPF instruction after the other to NFP instructions. Internal to the compiler.
//
// rN lies in registers 2N (low half) and 2N+1, in both banks, so that every instruction finds each operand at the port
// it needs. The stack is local memory: pointer 0 holds the frame's base and reaches its first 64 bytes; pointer 3 is
// set for accesses beyond. Frames grow upwards; r10 is the base plus the frame's depth, and is computed where it is
// copied.
#pragma once

#include <optional>

#include "arch/ebpf/facts.hpp"
#include "arch/ebpf/program.hpp"
#include "compile/target/nfp/code.hpp"
#include "compile/target/nfp/compile.hpp"
#include "compile/target/nfp/gather.hpp"
#include "compile/target/nfp/packet_reads.hpp"
#include "compile/target/nfp/words.hpp"

namespace xnic::compile::target::nfp {

class Lowering {
 public:
  Lowering(const arch::ebpf::Program& program, const arch::ebpf::Facts& facts, const CompileOptions& options)
      : program_(program),
        facts_(facts),
        firmware_(*options.firmware),
        passes_(options.passes),
        copies_(program, facts, passes_),
        reads_(program, facts, copies_, passes_) {}
  // Errors: as compile().
  base::Result<isa::Image> run();

 private:
  using Slot = arch::ebpf::Slot;
  using Reg = arch::ebpf::Reg;

  struct FrameLayout {
    uint32_t depth = 0;  // bytes from the base to r10, a multiple of 4
    bool saves = false;  // r6 to r9, below the program's own bytes
  };
  // How one access reaches the stack.
  struct StackWindow {
    unsigned pointer = 0;
    uint32_t offset = 0;  // bytes from what the pointer reaches with index 0
    bool steps = false;   // the pointer moves from word to word
  };
  // One part of an access: bytes of one register and of one stack word.
  struct Slice {
    unsigned gpr, gpr_byte, word, word_byte, bytes;
  };

  static unsigned low(Reg reg) { return 2u * static_cast<unsigned>(arch::ebpf::index(reg)); }
  static unsigned high(Reg reg) { return low(reg) + 1; }
  const arch::ebpf::RegFact& fact(Reg reg) const;
  base::Unexpected unsupported(std::string_view what) const;

  // compile.cpp
  void lay_out_frames();
  void exit_block();
  void register_routines();
  base::Result<void> function_bodies();
  base::Result<void> check_operands() const;
  base::Result<isa::Image> image(const Words& words) const;
  void find_atomic_words(isa::Image& image) const;

  // alu.cpp
  base::Result<void> lower(const arch::ebpf::Binary& insn);
  base::Result<void> lower(const arch::ebpf::Neg& insn);
  base::Result<void> lower(const arch::ebpf::Swap& insn);
  base::Result<void> lower(const arch::ebpf::LoadImm64& insn);
  base::Result<void> lower(const arch::ebpf::LoadMap& insn);
  void move(const arch::ebpf::Binary& insn);
  void bitwise(const arch::ebpf::Binary& insn, isa::AluOp op);
  void add(const arch::ebpf::Binary& insn);
  void alu_immediate(unsigned gpr, isa::AluOp op, uint32_t value);
  void multiply(const arch::ebpf::Binary& insn);
  void multiply_words(Operand high, Operand low, Operand left, Operand right);
  void divide(const arch::ebpf::Binary& insn);
  void divide_by(unsigned gpr, uint32_t divisor);
  void reverse_bytes(unsigned to, Operand from);
  // Clears the upper half of `reg` if somebody reads it later.
  void clear_upper(Reg reg);
  bool upper_needed(Reg reg) const;

  // shift.cpp
  void shift(const arch::ebpf::Binary& insn);
  void shift_left(Reg dst, unsigned amount);
  void shift_right(Reg dst, unsigned amount);
  void shift_arithmetic(Reg dst, unsigned amount);
  void shift_word(const arch::ebpf::Binary& insn, std::optional<unsigned> amount);
  struct Amount {
    Operand a;  // where it stands, in bank A
    bool below_32, above_31, may_be_zero;
  };
  Amount amount_of(const arch::ebpf::Binary& insn);
  arch::ebpf::Range amount_range(arch::ebpf::Reg reg) const;
  void shift_left_by(Reg dst, const Amount& amount);
  void shift_right_by(Reg dst, const Amount& amount, bool arithmetic);
  void left_high(Reg dst, const Amount& amount);
  void left_low(Reg dst, const Amount& amount);
  void right_low(Reg dst, const Amount& amount);
  void right_high(Reg dst, const Amount& amount, bool arithmetic);

  // jump.cpp
  base::Result<void> lower(const arch::ebpf::Jump& insn);
  base::Result<void> lower(const arch::ebpf::Goto& insn);
  void jump_equal(const arch::ebpf::Jump& insn);
  void jump_not_equal(const arch::ebpf::Jump& insn);
  void jump_bits(const arch::ebpf::Jump& insn);
  void jump_ordered(const arch::ebpf::Jump& insn);

  // memory.cpp
  base::Result<void> lower(const arch::ebpf::Load& insn);
  base::Result<void> lower(const arch::ebpf::Store& insn);
  base::Result<void> lower(const arch::ebpf::Atomic& insn);
  void load_context(const arch::ebpf::Load& insn);
  void load_words(const arch::ebpf::Load& insn, Operand left, Operand right, isa::AddressMode mode);
  void load_shared(const arch::ebpf::Load& insn, const SharedRead& read);
  // Bytes of transfer registers, `at` bytes behind register `xfer`, as a load gives them.
  void take(const arch::ebpf::Load& insn, uint32_t xfer, uint32_t at);
  void store_packet(const arch::ebpf::Store& insn);
  void copy_bytes(const Copy& copy);
  // `count` units at an address whose operands are loaded, whatever their number.
  void long_command(isa::CommandOp op, isa::AddressMode mode, Operand left, Operand right, unsigned xfer,
                    unsigned count);
  // The two halves of the address of a map value, `offset` added.
  void value_address(Reg base, int16_t offset, Operand& low_half, Operand& high_half);
  void command(isa::CommandOp op, isa::AddressMode mode, Operand left, Operand right, unsigned length, isa::Swap swap,
               bool indirect = false);

  // stack.cpp
  void load_stack(const arch::ebpf::Load& insn);
  void store_stack(const arch::ebpf::Store& insn);
  StackWindow stack_window(Reg base, int16_t offset, unsigned bytes, bool clears_upper);
  static std::vector<Slice> slices(unsigned gpr, uint32_t offset, unsigned bytes);
  // The frame that the pointer in `base` belongs to is the one of this function.
  bool own_frame(Reg base) const;

  // call.cpp
  base::Result<void> lower(const arch::ebpf::CallHelper& insn);
  base::Result<void> lower(const arch::ebpf::CallLocal& insn);
  base::Result<void> lower(const arch::ebpf::Exit& insn);
  void call_map(uint32_t helper);
  void random_number();
  void event_output();
  void adjust_head();
  void adjust_head_checked();
  bool adjustment_is_safe() const;
  void adjust_tail();

  template <class Other>
  base::Result<void> lower(const Other&) {
    return unsupported("the card has no such instruction");
  }
  base::Result<void> lower(const arch::ebpf::WideTail&) { return {}; }

  const arch::ebpf::Program& program_;
  const arch::ebpf::Facts& facts_;
  const arch::nfp::Firmware& firmware_;
  const PassSet passes_;
  const Copies copies_;
  const PacketReads reads_;
  Code code_;
  Slot slot_ = 0;
  std::vector<FrameLayout> frames_;   // by subprogram
  size_t function_ = 0;               // of slot_
  std::vector<uint32_t> first_word_;  // by slot
  uint32_t out_ = 0, abort_ = 0, push_ = 0, pop_ = 0;
};

}  // namespace xnic::compile::target::nfp
