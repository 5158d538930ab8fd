// SPDX-License-Identifier: Apache-2.0
// Wire form to instructions, one function per instruction class. Three kinds of rules are checked: the opcode exists
// (RFC 9669 appendix A), the fields that it does not use are zero (§3.1), and jumps land on the first slot of an
// instruction. Messages begin with the Linux verifier's words where it has some, so that users can look them up.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "arch/ebpf/codec.hpp"
#include "arch/ebpf/opcodes.hpp"

namespace xnic::arch::ebpf {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;
using Decoded = Result<Instruction>;

class Decoder {
 public:
  Decoder(std::span<const RawInsn> raw, const MapResolver& resolve_map) : raw_(raw), resolve_map_(resolve_map) {}

  Result<std::vector<Instruction>> run();

 private:
  Decoded decode_one();
  Decoded arithmetic();
  Decoded move();
  Decoded byte_swap();
  Decoded jump();
  Decoded jump_always();
  Decoded call();
  Decoded load_class();
  Decoded packet_load();
  Decoded wide_load();
  Decoded map_load(MapReference reference, bool value);
  Decoded load();
  Decoded store();
  Decoded store_register();
  Decoded atomic();
  Result<Slot> target(int64_t displacement) const;
  Result<Operand> operand(std::string_view group) const;

  const RawInsn& insn() const { return raw_[slot_]; }
  bool from_register() const { return (insn().opcode & opcode::kSourceReg) != 0; }
  Width width() const {
    const auto cls = opcode::class_of(insn().opcode);
    return cls == opcode::kAlu64 || cls == opcode::kJmp ? Width::k64 : Width::k32;
  }
  Reg dst() const { return static_cast<Reg>(insn().dst_reg); }
  Reg src() const { return static_cast<Reg>(insn().src_reg); }

  template <class... Args>
  base::Unexpected fail(fmt::format_string<Args...> format, Args&&... args) const {
    return make_error(ErrorKind::kBadInput, fmt::format("insn {} (opcode {:#04x})", slot_, insn().opcode), format,
                      std::forward<Args>(args)...);
  }
  base::Unexpected unknown_opcode() const { return fail("unknown opcode {:02x}", insn().opcode); }
  // The fields named here are not used by the instruction; the first that is not zero makes the error.
  enum Field : unsigned { kDst = 1, kSrc = 2, kOffset = 4, kImm = 8 };
  Result<void> unused(std::string_view group, unsigned fields) const;

  std::span<const RawInsn> raw_;
  const MapResolver& resolve_map_;
  Slot slot_ = 0;
  std::vector<bool> tail_;  // slots that are the second half of a wide load
};

template <class Code, size_t n, class Op>
std::optional<Op> find_code(const std::pair<Code, Op> (&table)[n], Code code) {
  for (const auto& [known, op] : table) {
    if (known == code) return op;
  }
  return std::nullopt;
}

Result<void> Decoder::unused(std::string_view group, unsigned fields) const {
  auto complain = [&](std::string_view field) { return fail("{} uses reserved fields: {} must be 0", group, field); };
  if ((fields & kDst) && insn().dst_reg != 0) return complain("dst_reg");
  if ((fields & kSrc) && insn().src_reg != 0) return complain("src_reg");
  if ((fields & kOffset) && insn().offset != 0) return complain("offset");
  if ((fields & kImm) && insn().imm != 0) return complain("imm");
  return {};
}

Result<Slot> Decoder::target(int64_t displacement) const {
  const int64_t to = int64_t{slot_} + 1 + displacement;
  if (to < 0 || to >= static_cast<int64_t>(raw_.size())) return fail("jump out of range from insn {} to {}", slot_, to);
  if (tail_[to]) return fail("jump into the middle of ldimm64 insn {}", to - 1);
  return static_cast<Slot>(to);
}

// Right-hand side of arithmetic and conditional jumps; the other of the two fields must be zero.
Result<Operand> Decoder::operand(std::string_view group) const {
  if (from_register()) {
    XNIC_TRY(unused(group, kImm));
    return src();
  }
  XNIC_TRY(unused(group, kSrc));
  return Imm{insn().imm};
}

Decoded Decoder::arithmetic() {
  const uint8_t code = opcode::operation_of(insn().opcode);
  if (code == opcode::kMovCode) return move();
  if (code == opcode::kEndCode) return byte_swap();
  if (code == opcode::kNegCode) {
    if (from_register()) return unknown_opcode();
    XNIC_TRY(unused("BPF_NEG", kSrc | kOffset | kImm));
    return Neg{width(), dst()};
  }
  auto op = find_code(opcode::kBinaryCodes, code);
  if (!op) return unknown_opcode();
  const bool divides = code == opcode::kDivCode || code == opcode::kModCode;
  if (divides && insn().offset == opcode::kSignedDivide) {
    op = *op == BinaryOp::kDiv ? BinaryOp::kSdiv : BinaryOp::kSmod;
  } else if (insn().offset != 0) {
    return fail("BPF_ALU uses reserved fields: offset must be {}", divides ? "0 or 1" : "0");
  }
  XNIC_ASSIGN(auto right, operand("BPF_ALU"));
  return Binary{*op, width(), dst(), right};
}

Decoded Decoder::move() {
  const int16_t bits = insn().offset;
  if (from_register() && bits != 0) {
    const bool known = bits == 8 || bits == 16 || (bits == 32 && width() == Width::k64);
    if (!known) {
      return fail("BPF_MOV uses reserved fields: offset must be 0, 8{}",
                  width() == Width::k64 ? ", 16 or 32" : " or 16");
    }
    XNIC_TRY(unused("BPF_MOV", kImm));
    return MovSx{width(), static_cast<uint8_t>(bits), dst(), src()};
  }
  XNIC_TRY(unused("BPF_MOV", kOffset));
  XNIC_ASSIGN(auto right, operand("BPF_MOV"));
  return Binary{BinaryOp::kMov, width(), dst(), right};
}

Decoded Decoder::byte_swap() {
  if (width() == Width::k64 && from_register()) return unknown_opcode();
  XNIC_TRY(unused("BPF_END", kSrc | kOffset));
  const int32_t bits = insn().imm;
  if (bits != 16 && bits != 32 && bits != 64) return fail("BPF_END uses reserved fields: imm must be 16, 32 or 64");
  const SwapKind kind = width() == Width::k64 ? SwapKind::kBswap : from_register() ? SwapKind::kToBe : SwapKind::kToLe;
  return Swap{kind, static_cast<uint8_t>(bits), dst()};
}

Decoded Decoder::jump() {
  const uint8_t code = opcode::operation_of(insn().opcode);
  if (insn().opcode == opcode::kCallx) {
    XNIC_TRY(unused("BPF_CALL", kSrc | kOffset | kImm));
    return CallRegister{dst()};
  }
  const bool plain = !from_register() && width() == Width::k64;  // forms that only class JMP with source K has
  if (code == opcode::kJaCode) return from_register() ? unknown_opcode() : jump_always();
  if (code == opcode::kCallCode) return plain ? call() : unknown_opcode();
  if (code == opcode::kExitCode) {
    if (!plain) return unknown_opcode();
    XNIC_TRY(unused("BPF_EXIT", kDst | kSrc | kOffset | kImm));
    return Exit{};
  }
  if (code == opcode::kCondCode) {
    if (!plain) return unknown_opcode();
    XNIC_TRY(unused("BPF_JCOND", kDst | kSrc | kImm));
    XNIC_ASSIGN(Slot to, target(insn().offset));
    return MayGoto{to};
  }
  const auto op = find_code(opcode::kJumpCodes, code);
  if (!op) return unknown_opcode();
  XNIC_ASSIGN(auto right, operand("BPF_JMP/JMP32"));
  XNIC_ASSIGN(Slot to, target(insn().offset));
  return Jump{*op, width(), dst(), right, to};
}

Decoded Decoder::jump_always() {
  const bool wide = width() == Width::k32;  // class JMP32: gotol, its displacement is in imm
  XNIC_TRY(unused("BPF_JA", kDst | kSrc | (wide ? kOffset : kImm)));
  XNIC_ASSIGN(Slot to, target(wide ? insn().imm : insn().offset));
  return Goto{wide, to};
}

Decoded Decoder::call() {
  XNIC_TRY(unused("BPF_CALL", kDst));
  switch (insn().src_reg) {
    case opcode::kCallHelper:
      XNIC_TRY(unused("BPF_CALL", kOffset));
      return CallHelper{static_cast<uint32_t>(insn().imm)};
    case opcode::kCallLocal: {
      XNIC_TRY(unused("BPF_CALL", kOffset));
      XNIC_ASSIGN(Slot to, target(insn().imm));
      return CallLocal{to};
    }
    case opcode::kCallKernel:
      return CallKernel{static_cast<uint32_t>(insn().imm), insn().offset};
    default:
      return fail("BPF_CALL uses reserved fields: src_reg must be 0, 1 or 2");
  }
}

Decoded Decoder::load_class() {
  if (insn().opcode == opcode::kWideLoad) return wide_load();
  const uint8_t mode = opcode::mode_of(insn().opcode);
  if ((mode == opcode::kAbs || mode == opcode::kInd) && opcode::size_of(insn().opcode) != Size::k8)
    return packet_load();
  return unknown_opcode();
}

Decoded Decoder::packet_load() {
  const bool indirect = opcode::mode_of(insn().opcode) == opcode::kInd;
  XNIC_TRY(unused("BPF_LD_[ABS|IND]", kDst | kOffset | (indirect ? 0u : kSrc)));
  return LoadPacket{opcode::size_of(insn().opcode), indirect, src(), insn().imm};
}

Decoded Decoder::wide_load() {
  if (slot_ + 1 == raw_.size()) return fail("invalid bpf_ld_imm64 insn: the second slot is missing");
  const RawInsn& second = raw_[slot_ + 1];
  if (second.opcode != 0 || second.dst_reg != 0 || second.src_reg != 0 || second.offset != 0) {
    return fail("invalid bpf_ld_imm64 insn: only imm of the second slot may be set");
  }
  XNIC_TRY(unused("BPF_LD_IMM64", kOffset));
  const auto low = static_cast<uint32_t>(insn().imm);
  const auto high = static_cast<uint32_t>(second.imm);
  const uint8_t kind = insn().src_reg;
  const bool uses_high = kind == opcode::kWideValue || kind == opcode::kWideMapFdValue ||
                         kind == opcode::kWideVariable || kind == opcode::kWideMapIndexValue;
  if (!uses_high && high != 0) return fail("unrecognized bpf_ld_imm64 insn: imm of the second slot must be 0");
  switch (kind) {
    case opcode::kWideValue:
      return LoadImm64{dst(), uint64_t{high} << 32 | low};
    case opcode::kWideMapFd:
    case opcode::kWideMapIndex:
      return map_load({insn().imm, kind == opcode::kWideMapIndex}, false);
    case opcode::kWideMapFdValue:
    case opcode::kWideMapIndexValue:
      return map_load({insn().imm, kind == opcode::kWideMapIndexValue}, true);
    case opcode::kWideVariable:
      return LoadKernelVariable{dst(), low, high};
    case opcode::kWideFunction: {
      XNIC_ASSIGN(Slot to, target(insn().imm));
      return LoadFunction{dst(), to};
    }
    default:
      return fail("unrecognized bpf_ld_imm64 insn: src_reg must be 0 to 6");
  }
}

Decoded Decoder::map_load(MapReference reference, bool value) {
  auto map = resolve_map_(reference);
  if (!map) return fail("{}", map.error().message());
  if (value) return LoadMapValue{dst(), *map, static_cast<uint32_t>(raw_[slot_ + 1].imm)};
  return LoadMap{dst(), *map};
}

Decoded Decoder::load() {
  const uint8_t mode = opcode::mode_of(insn().opcode);
  const Size size = opcode::size_of(insn().opcode);
  const bool sign_extend = mode == opcode::kMemSx;
  if ((mode != opcode::kMem && !sign_extend) || (sign_extend && size == Size::k8)) return unknown_opcode();
  XNIC_TRY(unused("BPF_LDX", kImm));
  return Load{size, sign_extend, dst(), src(), insn().offset};
}

Decoded Decoder::store() {
  if (opcode::mode_of(insn().opcode) != opcode::kMem) return unknown_opcode();
  XNIC_TRY(unused("BPF_ST", kSrc));
  return Store{opcode::size_of(insn().opcode), dst(), insn().offset, Imm{insn().imm}};
}

Decoded Decoder::store_register() {
  const uint8_t mode = opcode::mode_of(insn().opcode);
  if (mode == opcode::kAtomic) return atomic();
  if (mode != opcode::kMem) return unknown_opcode();
  XNIC_TRY(unused("BPF_STX", kImm));
  return Store{opcode::size_of(insn().opcode), dst(), insn().offset, src()};
}

Decoded Decoder::atomic() {
  const Size size = opcode::size_of(insn().opcode);
  const int32_t code = insn().imm;
  auto op = find_code(opcode::kAtomicCodes, code);
  bool fetch = op && (*op == AtomicOp::kXchg || *op == AtomicOp::kCmpxchg);
  if (!op) {  // not a form without fetch; with it?
    op = (code & opcode::kFetch) ? find_code(opcode::kAtomicCodes, code & ~opcode::kFetch) : std::nullopt;
    if (!op || !opcode::has_plain_form(*op))
      return fail("BPF_ATOMIC uses invalid atomic opcode {:02x}", uint32_t(code));
    fetch = true;
  }
  const bool word = size == Size::k4 || size == Size::k8;
  if (!word && !opcode::is_ordered_access(*op)) return fail("invalid atomic operand size");
  return Atomic{*op, fetch, size, dst(), src(), insn().offset};
}

Decoded Decoder::decode_one() {
  for (uint8_t reg : {uint8_t{insn().dst_reg}, uint8_t{insn().src_reg}}) {
    if (reg >= kRegCount) return fail("R{} is invalid", reg);
  }
  switch (opcode::class_of(insn().opcode)) {
    case opcode::kAlu:
    case opcode::kAlu64:
      return arithmetic();
    case opcode::kJmp:
    case opcode::kJmp32:
      return jump();
    case opcode::kLd:
      return load_class();
    case opcode::kLdx:
      return load();
    case opcode::kSt:
      return store();
    case opcode::kStx:
      return store_register();
  }
  return unknown_opcode();
}

Result<std::vector<Instruction>> Decoder::run() {
  // Which slots are tails must be known before the first jump is checked.
  tail_.assign(raw_.size(), false);
  for (size_t i = 0; i + 1 < raw_.size(); ++i) {
    if (raw_[i].opcode == opcode::kWideLoad) tail_[++i] = true;
  }
  std::vector<Instruction> insns;
  insns.reserve(raw_.size());
  for (slot_ = 0; slot_ < raw_.size(); ++slot_) {
    if (tail_[slot_]) {
      insns.emplace_back(WideTail{});
      continue;
    }
    auto decoded = decode_one();
    if (!decoded) return base::Unexpected(std::move(decoded.error()));
    insns.push_back(*decoded);
  }
  return insns;
}

}  // namespace

Result<std::vector<Instruction>> decode(std::span<const RawInsn> raw, const MapResolver& resolve_map) {
  if (raw.empty()) return make_error(ErrorKind::kBadInput, "program", "has no instructions");
  if (raw.size() > std::numeric_limits<int32_t>::max()) {
    return make_error(ErrorKind::kLimit, "program", "has {} slots, more than a displacement can span", raw.size());
  }
  return Decoder(raw, resolve_map).run();
}

}  // namespace xnic::arch::ebpf
