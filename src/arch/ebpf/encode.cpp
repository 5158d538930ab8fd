// SPDX-License-Identifier: Apache-2.0
// Instructions to wire form, one overload per type: the exact inverse of decode.cpp.
#include <algorithm>

#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/opcodes.hpp"
#include "base/check.hpp"

namespace xnic::arch::ebpf {
namespace {

template <class Code, size_t n, class Op>
Code code_of(const std::pair<Code, Op> (&table)[n], Op op) {
  const auto* at = std::find_if(std::begin(table), std::end(table), [op](const auto& row) { return row.second == op; });
  CHECK(at != std::end(table));
  return at->first;
}

uint8_t opcode_byte(int code, bool from_register, opcode::Class cls) {
  return static_cast<uint8_t>(code << 4 | (from_register ? opcode::kSourceReg : 0) | cls);
}
uint8_t memory_byte(opcode::Mode mode, Size size, opcode::Class cls) {
  return static_cast<uint8_t>(mode | opcode::size_bits(size) | cls);
}
uint8_t number(Reg reg) { return static_cast<uint8_t>(index(reg)); }
opcode::Class alu_class(Width width) { return width == Width::k64 ? opcode::kAlu64 : opcode::kAlu; }

RawInsn with_operand(RawInsn raw, const Operand& operand) {
  if (const Reg* reg = std::get_if<Reg>(&operand)) {
    raw.src_reg = number(*reg) & 0xf;
  } else {
    raw.imm = std::get<Imm>(operand);
  }
  return raw;
}
bool is_register(const Operand& operand) { return std::holds_alternative<Reg>(operand); }

struct Encoder {
  Slot slot;
  int32_t tail_imm = 0;  // imm of the second slot, set by the wide loads

  int32_t displacement(Slot target) const { return static_cast<int32_t>(int64_t{target} - slot - 1); }
  int16_t short_displacement(Slot target) const {
    const int32_t distance = displacement(target);
    CHECK(distance == static_cast<int16_t>(distance));
    return static_cast<int16_t>(distance);
  }
  RawInsn wide(Reg dst, opcode::WideSource kind, uint32_t low, uint32_t high) {
    tail_imm = static_cast<int32_t>(high);
    return {opcode::kWideLoad, number(dst), kind, 0, static_cast<int32_t>(low)};
  }

  RawInsn operator()(const Binary& i) const {
    const bool is_signed = i.op == BinaryOp::kSdiv || i.op == BinaryOp::kSmod;
    const int code = code_of(opcode::kBinaryCodes, i.op);
    const int16_t offset = is_signed ? opcode::kSignedDivide : int16_t{0};
    const RawInsn raw{opcode_byte(code, is_register(i.src), alu_class(i.width)), number(i.dst), 0, offset, 0};
    return with_operand(raw, i.src);
  }
  RawInsn operator()(const MovSx& i) const {
    return {opcode_byte(opcode::kMovCode, true, alu_class(i.width)), number(i.dst), number(i.src), i.bits, 0};
  }
  RawInsn operator()(const Neg& i) const {
    return {opcode_byte(opcode::kNegCode, false, alu_class(i.width)), number(i.dst), 0, 0, 0};
  }
  RawInsn operator()(const Swap& i) const {
    const auto cls = i.kind == SwapKind::kBswap ? opcode::kAlu64 : opcode::kAlu;
    return {opcode_byte(opcode::kEndCode, i.kind == SwapKind::kToBe, cls), number(i.dst), 0, 0, i.bits};
  }
  RawInsn operator()(const LoadImm64& i) {
    return wide(i.dst, opcode::kWideValue, static_cast<uint32_t>(i.value), static_cast<uint32_t>(i.value >> 32));
  }
  RawInsn operator()(const LoadMap& i) { return wide(i.dst, opcode::kWideMapIndex, i.map, 0); }
  RawInsn operator()(const LoadMapValue& i) { return wide(i.dst, opcode::kWideMapIndexValue, i.map, i.offset); }
  RawInsn operator()(const LoadFunction& i) {
    return wide(i.dst, opcode::kWideFunction, static_cast<uint32_t>(displacement(i.target)), 0);
  }
  RawInsn operator()(const LoadKernelVariable& i) { return wide(i.dst, opcode::kWideVariable, i.btf_id, i.btf_fd); }
  RawInsn operator()(const WideTail&) const { return {0, 0, 0, 0, tail_imm}; }
  RawInsn operator()(const LoadPacket& i) const {
    const auto mode = i.indirect ? opcode::kInd : opcode::kAbs;
    return {memory_byte(mode, i.size, opcode::kLd), 0, number(i.src), 0, i.offset};
  }
  RawInsn operator()(const Load& i) const {
    const auto mode = i.sign_extend ? opcode::kMemSx : opcode::kMem;
    return {memory_byte(mode, i.size, opcode::kLdx), number(i.dst), number(i.src), i.offset, 0};
  }
  RawInsn operator()(const Store& i) const {
    const auto cls = is_register(i.src) ? opcode::kStx : opcode::kSt;
    return with_operand({memory_byte(opcode::kMem, i.size, cls), number(i.dst), 0, i.offset, 0}, i.src);
  }
  RawInsn operator()(const Atomic& i) const {
    const int32_t fetch = i.fetch ? opcode::kFetch : 0;  // already part of the codes of xchg and cmpxchg
    const int32_t code = code_of(opcode::kAtomicCodes, i.op) | fetch;
    return {memory_byte(opcode::kAtomic, i.size, opcode::kStx), number(i.dst), number(i.src), i.offset, code};
  }
  RawInsn operator()(const Jump& i) const {
    const auto cls = i.width == Width::k64 ? opcode::kJmp : opcode::kJmp32;
    const uint8_t byte = opcode_byte(code_of(opcode::kJumpCodes, i.op), is_register(i.src), cls);
    return with_operand({byte, number(i.dst), 0, short_displacement(i.target), 0}, i.src);
  }
  RawInsn operator()(const Goto& i) const {
    if (i.wide) return {opcode_byte(opcode::kJaCode, false, opcode::kJmp32), 0, 0, 0, displacement(i.target)};
    return {opcode_byte(opcode::kJaCode, false, opcode::kJmp), 0, 0, short_displacement(i.target), 0};
  }
  RawInsn operator()(const MayGoto& i) const {
    return {opcode_byte(opcode::kCondCode, false, opcode::kJmp), 0, 0, short_displacement(i.target), 0};
  }
  static RawInsn call(opcode::CallSource kind, int16_t offset, int32_t imm) {
    return {opcode_byte(opcode::kCallCode, false, opcode::kJmp), 0, kind, offset, imm};
  }
  RawInsn operator()(const CallHelper& i) const { return call(opcode::kCallHelper, 0, static_cast<int32_t>(i.id)); }
  RawInsn operator()(const CallLocal& i) const { return call(opcode::kCallLocal, 0, displacement(i.target)); }
  RawInsn operator()(const CallKernel& i) const {
    return call(opcode::kCallKernel, i.btf_fd_index, static_cast<int32_t>(i.btf_id));
  }
  RawInsn operator()(const CallRegister& i) const { return {opcode::kCallx, number(i.reg), 0, 0, 0}; }
  RawInsn operator()(const Exit&) const { return {opcode_byte(opcode::kExitCode, false, opcode::kJmp), 0, 0, 0, 0}; }
};

}  // namespace

std::vector<RawInsn> encode(std::span<const Instruction> insns) {
  std::vector<RawInsn> raw;
  raw.reserve(insns.size());
  Encoder encoder{};
  for (Slot slot = 0; slot < insns.size(); ++slot) {
    encoder.slot = slot;
    raw.push_back(std::visit(encoder, insns[slot]));
    CHECK(!is_wide(insns[slot]) || (slot + 1 < insns.size() && std::holds_alternative<WideTail>(insns[slot + 1])));
  }
  return raw;
}

}  // namespace xnic::arch::ebpf
