// SPDX-License-Identifier: Apache-2.0
// The 64-bit word of a lane. decode() accepts exactly what encode() makes: it encodes its result again and compares,
// so every unused field must be zero without a rule for each.
#include "arch/hxdp/codec.hpp"

namespace xnic::arch::hxdp {

namespace {

using ebpf::Overloaded;

enum Code : uint8_t {
  kNop = 0x00,
  kAluImm64 = 0x10,  // + AluOp, 14 of each
  kAluImm32 = 0x20,
  kAluReg64 = 0x30,
  kAluReg32 = 0x40,
  kMoveImm64 = 0x50,
  kMoveImm32 = 0x51,
  kMoveReg64 = 0x52,
  kMoveReg32 = 0x53,
  kMoveHigh = 0x54,
  kSignExtend = 0x55,
  kSwap = 0x56,
  kFoldImm = 0x57,
  kFoldReg = 0x58,
  kSelect = 0x59,
  kAddress = 0x60,
  kLoad = 0x70,
  kStore = 0x71,
  kAdd = 0x72,
  kAtomic = 0x73,
  kStoreImm = 0x74,  // + Space, by register, packet, …
  kAddImm = 0x84,
  kBranchImm64 = 0x90,  // + JumpOp, 11 of each
  kBranchImm32 = 0xa0,
  kBranchReg64 = 0xb0,
  kBranchReg32 = 0xc0,
  kPacketLess = 0xd0,
  kPacketAtLeast = 0xd1,
  kGoto = 0xd2,
  kCall = 0xe0,
  kCallExit = 0xe1,
  kExit = 0xe2,
  kExitRegister = 0xe3,
};

struct Word {
  uint8_t opcode = 0;
  uint8_t dst = 0;
  uint8_t src = 0;
  uint16_t off = 0;
  uint32_t imm = 0;
  uint64_t pack() const {
    return uint64_t{imm} << 32 | uint64_t{off} << 16 | uint64_t(src & 15) << 12 | uint64_t(dst & 15) << 8 | opcode;
  }
};
Word unpack(uint64_t word) {
  return {uint8_t(word), uint8_t(word >> 8 & 15), uint8_t(word >> 12 & 15), uint16_t(word >> 16), uint32_t(word >> 32)};
}

// imm of memory forms: size code in bits 0..2, flags in 3..7, space in 8..11, and above that the map or other fields.
uint32_t size_code(uint8_t bytes) { return bytes == 8 ? 3 : bytes == 6 ? 4 : bytes == 4 ? 2 : bytes == 2 ? 1 : 0; }
uint8_t bytes_of(uint32_t code) {
  constexpr uint8_t kBytes[] = {1, 2, 4, 8, 6, 0, 0, 0};
  return kBytes[code & 7];
}
enum Flag : uint32_t { kSigned = 8, kBig = 16, kSpeculative = 32, kFetch = 64 };
uint32_t memory_bits(const Memory& m) { return size_code(m.bytes) | uint32_t(m.space) << 8 | m.map << 12; }
Memory memory_from(const Word& w, Reg base) {
  return {Space(w.imm >> 8 & 15), base, w.imm >> 12 & 0xfff, bytes_of(w.imm), int16_t(w.off)};
}
bool immediate(const Operand& operand) { return std::holds_alternative<Imm>(operand); }
uint32_t imm_of(const Operand& operand) { return static_cast<uint32_t>(std::get<Imm>(operand)); }
Reg reg_of(const Operand& operand) { return std::get<Reg>(operand); }

Word word_of(const Alu& o) {
  const bool imm = immediate(o.b);
  const uint8_t base = o.width == Width::k64 ? (imm ? kAluImm64 : kAluReg64) : (imm ? kAluImm32 : kAluReg32);
  Word w{uint8_t(base + uint8_t(o.op)), o.dst, o.a};
  imm ? void(w.imm = imm_of(o.b)) : void(w.off = reg_of(o.b));
  return w;
}
Word word_of(const Move& o) {
  const bool wide = o.width == Width::k64;
  if (immediate(o.src)) return {wide ? kMoveImm64 : kMoveImm32, o.dst, 0, 0, imm_of(o.src)};
  return {wide ? kMoveReg64 : kMoveReg32, o.dst, reg_of(o.src)};
}
Word word_of(const FoldSum& o) {
  const uint16_t invert = o.invert ? 0x100 : 0;
  if (immediate(o.b)) return {kFoldImm, o.dst, o.a, invert, imm_of(o.b)};
  return {kFoldReg, o.dst, o.a, uint16_t(invert | reg_of(o.b))};
}
Word word_of(const Load& o) {
  const uint32_t flags =
      (o.sign_extend ? kSigned : 0u) | (o.big_endian ? kBig : 0u) | (o.speculative ? kSpeculative : 0u);
  return {kLoad, o.dst, o.from.base, uint16_t(o.from.offset), memory_bits(o.from) | flags};
}
Word word_of(const Store& o) {
  if (immediate(o.src))
    return {uint8_t(kStoreImm + uint8_t(o.to.space)), o.to.base, uint8_t(size_code(o.to.bytes)), uint16_t(o.to.offset),
            imm_of(o.src)};
  return {kStore, o.to.base, reg_of(o.src), uint16_t(o.to.offset), memory_bits(o.to) | (o.big_endian ? kBig : 0u)};
}
Word word_of(const AddMemory& o) {
  if (immediate(o.src))
    return {uint8_t(kAddImm + uint8_t(o.to.space)), o.to.base, uint8_t(size_code(o.to.bytes)), uint16_t(o.to.offset),
            imm_of(o.src)};
  return {kAdd, o.to.base, reg_of(o.src), uint16_t(o.to.offset), memory_bits(o.to)};
}
Word word_of(const Atomic& o) {
  const uint32_t more = uint32_t(o.op) << 16 | uint32_t(o.dst) << 20 | uint32_t(o.expected) << 24;
  return {kAtomic, o.to.base, o.src, uint16_t(o.to.offset), size_code(o.to.bytes) | (o.fetch ? kFetch : 0u) | more};
}
Word word_of(const Branch& o) {
  const bool imm = immediate(o.b);
  const uint8_t base =
      o.width == Width::k64 ? (imm ? kBranchImm64 : kBranchReg64) : (imm ? kBranchImm32 : kBranchReg32);
  Word w{uint8_t(base + uint8_t(o.op)), o.a, 0, uint16_t(o.target)};
  imm ? void(w.imm = imm_of(o.b)) : void(w.src = reg_of(o.b));
  return w;
}
Word word_of(const Nop&) { return {}; }
Word word_of(const MoveHigh& o) { return {kMoveHigh, o.dst, o.a, 0, uint32_t(o.imm)}; }
Word word_of(const SignExtend& o) { return {kSignExtend, o.dst, o.src, o.bits, o.width == Width::k32 ? 1u : 0u}; }
Word word_of(const Swap& o) { return {kSwap, o.dst, o.src, o.bits}; }
Word word_of(const Select& o) {
  return {kSelect, o.dst, o.a, uint16_t(uint16_t(o.op) << 8 | o.value), uint32_t(uint16_t(o.b))};
}
Word word_of(const Address& o) {
  return {kAddress, o.dst, 0, uint16_t(uint32_t(o.space) | o.map << 4), uint32_t(o.offset)};
}
Word word_of(const BranchPacket& o) {
  return {o.at_least ? kPacketAtLeast : kPacketLess, 0, 0, uint16_t(o.target), o.bytes};
}
Word word_of(const Goto& o) { return {kGoto, 0, 0, uint16_t(o.target)}; }
Word word_of(const Call& o) { return {kCall, o.dst, 0, uint16_t(o.has_result), o.site}; }
Word word_of(const CallExit& o) { return {kCallExit, 0, 0, 0, o.site}; }
Word word_of(const Exit& o) { return {kExit, 0, 0, 0, o.verdict}; }
Word word_of(const ExitRegister& o) { return {kExitRegister, 0, o.src}; }

bool in(uint8_t opcode, uint8_t base, int count) { return opcode >= base && opcode < base + count; }

Op alu_from(const Word& w, uint8_t base, Width width, bool imm) {
  return Alu{AluOp(w.opcode - base), width, w.dst, w.src, imm ? Operand(Imm(w.imm)) : Operand(Reg(w.off))};
}
Op branch_from(const Word& w, uint8_t base, Width width, bool imm) {
  return Branch{JumpOp(w.opcode - base), width, w.dst, imm ? Operand(Imm(w.imm)) : Operand(Reg(w.src)), w.off};
}

// The operation that the word stands for, as if all reserved fields were zero; Nop for an unknown opcode.
Op read(const Word& w) {
  if (in(w.opcode, kAluImm64, kAluOps)) return alu_from(w, kAluImm64, Width::k64, true);
  if (in(w.opcode, kAluImm32, kAluOps)) return alu_from(w, kAluImm32, Width::k32, true);
  if (in(w.opcode, kAluReg64, kAluOps)) return alu_from(w, kAluReg64, Width::k64, false);
  if (in(w.opcode, kAluReg32, kAluOps)) return alu_from(w, kAluReg32, Width::k32, false);
  if (in(w.opcode, kBranchImm64, 11)) return branch_from(w, kBranchImm64, Width::k64, true);
  if (in(w.opcode, kBranchImm32, 11)) return branch_from(w, kBranchImm32, Width::k32, true);
  if (in(w.opcode, kBranchReg64, 11)) return branch_from(w, kBranchReg64, Width::k64, false);
  if (in(w.opcode, kBranchReg32, 11)) return branch_from(w, kBranchReg32, Width::k32, false);
  const auto immediate_to = [&](uint8_t base) {
    return Memory{Space(w.opcode - base), w.dst, 0, bytes_of(w.src), int16_t(w.off)};
  };
  if (in(w.opcode, kStoreImm, kSpaces)) return Store{immediate_to(kStoreImm), Imm(w.imm), false};
  if (in(w.opcode, kAddImm, kSpaces)) return AddMemory{immediate_to(kAddImm), Imm(w.imm)};
  switch (w.opcode) {
    case kMoveImm64:
    case kMoveImm32:
      return Move{w.opcode == kMoveImm64 ? Width::k64 : Width::k32, w.dst, Imm(w.imm)};
    case kMoveReg64:
    case kMoveReg32:
      return Move{w.opcode == kMoveReg64 ? Width::k64 : Width::k32, w.dst, Reg(w.src)};
    case kMoveHigh:
      return MoveHigh{w.dst, w.src, Imm(w.imm)};
    case kSignExtend:
      return SignExtend{w.imm ? Width::k32 : Width::k64, uint8_t(w.off), w.dst, w.src};
    case kSwap:
      return Swap{uint8_t(w.off), w.dst, w.src};
    case kFoldImm:
      return FoldSum{(w.off & 0x100) != 0, w.dst, w.src, Imm(w.imm)};
    case kFoldReg:
      return FoldSum{(w.off & 0x100) != 0, w.dst, w.src, Reg(w.off & 15)};
    case kSelect:
      return Select{JumpOp((w.off >> 8) % 11), w.dst, w.src, Reg(w.off & 15), Imm(int16_t(w.imm))};
    case kAddress:
      return Address{Space((w.off & 15) % kSpaces), w.dst, uint32_t(w.off >> 4), Imm(w.imm)};
    case kLoad:
      return Load{w.dst, memory_from(w, w.src), (w.imm & kSigned) != 0, (w.imm & kBig) != 0,
                  (w.imm & kSpeculative) != 0};
    case kStore:
      return Store{memory_from(w, w.dst), Reg(w.src), (w.imm & kBig) != 0};
    case kAdd:
      return AddMemory{memory_from(w, w.dst), Reg(w.src)};
    case kAtomic:
      return Atomic{AtomicOp((w.imm >> 16 & 15) % 6),
                    (w.imm & kFetch) != 0,
                    Memory{Space::kRegister, w.dst, 0, bytes_of(w.imm), int16_t(w.off)},
                    w.src,
                    Reg(w.imm >> 20 & 15),
                    Reg(w.imm >> 24 & 15)};
    case kPacketLess:
    case kPacketAtLeast:
      return BranchPacket{w.opcode == kPacketAtLeast, w.imm, w.off};
    case kGoto:
      return Goto{w.off};
    case kCall:
      return Call{uint16_t(w.imm), (w.off & 1) != 0, w.dst};
    case kCallExit:
      return CallExit{uint16_t(w.imm)};
    case kExit:
      return Exit{w.imm};
    case kExitRegister:
      return ExitRegister{w.src};
    default:
      return Nop{};
  }
}

}  // namespace

uint64_t encode(const Op& op) {
  return std::visit([](const auto& form) { return word_of(form).pack(); }, op);
}

base::Result<Op> decode(uint64_t word) {
  const Op op = read(unpack(word));
  const bool has_size = memory_of(op) == nullptr || memory_of(op)->bytes != 0;
  if (!has_size || encode(op) != word)
    return base::make_error(base::ErrorKind::kBadInput, "hxdp word",
                            "{:#018x} is no operation: unknown opcode {:#04x} or a reserved field is not zero", word,
                            uint8_t(word));
  return op;
}

}  // namespace xnic::arch::hxdp
