// SPDX-License-Identifier: Apache-2.0
// The frame around the instructions: entry, functions in order, exit block, the routines that save registers, padding.
#include "compile/target/nfp/compile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/check.hpp"
#include "compile/target/nfp/lowering.hpp"
#include "compile/target/nfp/offload.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;
using base::ErrorKind;
using base::make_error;
using isa::AluOp;
using isa::Condition;
using isa::None;
using isa::Relocation;
using isa::ShiftKind;

namespace {

constexpr uint32_t kReturnAddressBytes = 4, kSavedBytes = 4 * 8;
// What the firmware is told for r0 = 3, 2, 1, 0: send back, pass, drop, drop as aborted; and the counter.
constexpr uint32_t kResults = 0x44112282;
constexpr uint32_t kAborted = 0x82;

bool writes_saved_register(const Instruction& insn) {
  const auto saved = [](Reg reg) { return reg >= Reg::kR6 && reg <= Reg::kR9; };
  return std::visit(Overloaded{
                        [&](const Binary& i) { return saved(i.dst); },
                        [&](const Neg& i) { return saved(i.dst); },
                        [&](const Swap& i) { return saved(i.dst); },
                        [&](const LoadImm64& i) { return saved(i.dst); },
                        [&](const LoadMap& i) { return saved(i.dst); },
                        [&](const Load& i) { return saved(i.dst); },
                        [](const auto&) { return false; },
                    },
                    insn);
}

// r10 as a number; as the base of an access, or copied, it needs no register.
bool uses_frame_pointer(const Instruction& insn) {
  const auto is_fp = [](const arch::ebpf::Operand& operand) {
    const auto* reg = std::get_if<Reg>(&operand);
    return reg != nullptr && *reg == kFramePointer;
  };
  return std::visit(Overloaded{
                        [&](const Binary& i) {
                          const bool copied = i.op == BinaryOp::kMov && i.width == Width::k64;
                          return is_fp(i.src) && !copied;
                        },
                        [&](const Jump& i) { return is_fp(i.src) || i.dst == kFramePointer; },
                        [&](const Store& i) { return is_fp(i.src); },
                        [&](const Atomic& i) { return i.src == kFramePointer; },
                        [](const auto&) { return false; },
                    },
                    insn);
}

}  // namespace

const RegFact& Lowering::fact(Reg reg) const { return facts_.insns[slot_].regs[static_cast<size_t>(index(reg))]; }

base::Unexpected Lowering::unsupported(std::string_view what) const {
  const LineInfo* line = program_.line_at(slot_);
  const std::string source = line == nullptr ? "" : fmt::format(" ({}:{}: {})", line->file, line->line, line->text);
  return make_error(ErrorKind::kUnsupported, fmt::format("instruction {}{}", slot_, source), "{}", what);
}

void Lowering::lay_out_frames() {
  for (size_t i = 0; i < program_.subprograms.size(); ++i) {
    FrameLayout frame;
    for (Slot slot = program_.subprograms[i].first; slot < program_.subprograms[i].end && i != 0; ++slot)
      frame.saves = frame.saves || (facts_.insns[slot].reached && writes_saved_register(program_.insns[slot]));
    frame.depth = facts_.stack_bytes[i];
    if (i != 0) frame.depth += kReturnAddressBytes + (frame.saves ? kSavedBytes : 0);
    frame.depth = (frame.depth + 3) / 4 * 4;
    frames_.push_back(frame);
  }
}

base::Result<void> Lowering::check_operands() const {
  if (uses_frame_pointer(program_.insns[slot_]))
    return unsupported("r10 can be copied and added to, not computed with");
  return {};
}

base::Result<void> Lowering::function_bodies() {
  first_word_.assign(program_.insns.size(), 0);
  for (slot_ = 0; slot_ < program_.insns.size(); ++slot_) {
    first_word_[slot_] = code_.here();
    if (!facts_.insns[slot_].reached) continue;
    code_.set_slot(slot_);
    if (const Copy* copy = copies_.at(slot_)) copy_bytes(*copy);
    if (copies_.stands_for(slot_)) continue;
    function_ = static_cast<size_t>(&program_.subprogram_at(slot_) - program_.subprograms.data());
    if (function_ != 0 && slot_ == program_.subprograms[function_].first) code_.move(lm(0, 0), kReturnAddress);
    XNIC_TRY(check_operands());
    XNIC_TRY(std::visit([this](const auto& insn) { return lower(insn); }, program_.insns[slot_]));
  }
  code_.set_slot(isa::kNoInstruction);
  return {};
}

// Thirteen words: the way out of aborted programs, then that of all others, which takes the byte of kResults that r0
// selects.
void Lowering::exit_block() {
  abort_ = code_.here();
  code_.branch_out(Condition::kAlways, Relocation::kNextPacket, 2);
  code_.move(gpr_a(0), imm(0));
  code_.bytes(gpr_a(0), 2, imm(kAborted), 0, 2, false);
  out_ = code_.here();
  code_.alu(None{}, imm(3), AluOp::kSub, gpr_b(0));
  code_.emit(isa::Branch{Condition::kNoCarry, static_cast<uint16_t>(abort_), 0}, Relocation::kBranch);
  code_.load(gpr_b(2), kResults);
  code_.shift(gpr_a(1), gpr_b(0), ShiftKind::kLeft, 3);
  code_.alu(None{}, gpr_a(1), AluOp::kOr, imm(0));
  code_.emit(isa::Shift{isa::ShiftOp::kAnd, ShiftKind::kRight, 0, gpr_b(2), imm(0xff), gpr_b(2)});
  code_.branch_out(Condition::kAlways, Relocation::kNextPacket, 2);
  code_.move(gpr_a(0), imm(0));
  code_.bytes(gpr_a(0), 2, gpr_b(2), 0, 2, false);
  CHECK(code_.here() - abort_ == isa::kExitBlockWords);
}

// r6 to r9 to the words behind the return address, and back. The last three moves run while the return is taken.
void Lowering::register_routines() {
  if (std::none_of(frames_.begin(), frames_.end(), [](const FrameLayout& frame) { return frame.saves; })) return;
  constexpr unsigned kFirst = 12, kCount = 8;
  push_ = code_.here();
  for (unsigned i = 0; i < kCount; ++i) {
    if (i == kCount - 3) code_.emit(isa::JumpRegister{kScratchB, 0, 3});
    code_.move(lm(0, 1 + i), gpr_b(kFirst + i));
  }
  pop_ = code_.here();
  for (unsigned i = 0; i < kCount; ++i) {
    if (i == kCount - 3) code_.emit(isa::JumpRegister{kReturnAddress, 0, 3});
    code_.move(gpr_both(kFirst + i), lm(0, 1 + i));
  }
}

void Lowering::find_atomic_words(isa::Image& image) const {
  for (Slot slot = 0; slot < program_.insns.size(); ++slot) {
    const auto* atomic = std::get_if<Atomic>(&program_.insns[slot]);
    if (atomic == nullptr || !facts_.insns[slot].reached) continue;
    const RegFact& base = facts_.insns[slot].regs[static_cast<size_t>(index(atomic->dst))];
    const auto offset = static_cast<uint32_t>(static_cast<int64_t>(base.range.umin) + atomic->offset);
    for (uint32_t at = offset; at < offset + bytes(atomic->size); at += 4) {
      const isa::AtomicWord word{base.map, at};
      if (std::find(image.atomic_words.begin(), image.atomic_words.end(), word) == image.atomic_words.end())
        image.atomic_words.push_back(word);
    }
  }
}

base::Result<isa::Image> Lowering::image(const Words& words) const {
  if (words.items.size() > firmware_.max_insns)
    return make_error(ErrorKind::kLimit, program_.name, "{} NFP instructions, the firmware takes {}: program too long",
                      words.items.size(), firmware_.max_insns);
  isa::Image image;
  image.program = program_.name;
  for (const Code::Item& item : words.items) {
    const auto bits = isa::encode(item.insn);
    CHECK(bits.has_value());
    image.words.push_back(isa::with_ecc(*bits));
    image.relocations.push_back(item.relocation);
    image.slots.push_back(item.slot);
  }
  image.out = static_cast<uint16_t>(words.out), image.abort = static_cast<uint16_t>(words.abort);
  image.push_registers = static_cast<uint16_t>(words.push), image.pop_registers = static_cast<uint16_t>(words.pop);
  image.lines = program_.lines;
  image.stack_bytes = facts_.max_stack_bytes;
  for (const InsnFacts& facts : facts_.insns) image.source_insns += facts.reached ? 1 : 0;
  find_atomic_words(image);
  return image;
}

base::Result<isa::Image> Lowering::run() {
  lay_out_frames();
  code_.load(kPacketLength, 0x3fff);  // of the vector's first word
  code_.alu(kPacketLength, kPacketLength, AluOp::kAnd, kVectorLength);
  XNIC_TRY(function_bodies());
  exit_block();
  register_routines();
  code_.nops(isa::kPaddingWords);
  code_.resolve(first_word_);
  Words words{code_.items(), out_, abort_, push_, pop_};
  optimize(words, passes_);
  return image(words);
}

base::Result<isa::Image> compile(const Program& program, const Facts& facts, const CompileOptions& options) {
  CompileOptions complete = options;
  if (complete.firmware == nullptr) complete.firmware = arch::nfp::find_firmware("ebpf");
  const std::vector<Refusal> refusals = check_offload(program, facts, {complete.firmware, complete.mtu});
  if (!refusals.empty()) {
    const Refusal& first = refusals.front();
    const std::string where = first.slot == kNoSlot ? program.name : fmt::format("instruction {}", first.slot);
    return make_error(ErrorKind::kUnsupported,
                      first.source.empty() ? where : fmt::format("{} ({})", where, first.source), "[nfp] {}. {}",
                      first.message, first.advice);
  }
  return Lowering(program, facts, complete).run();
}

}  // namespace xnic::compile::target::nfp
