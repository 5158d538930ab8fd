// SPDX-License-Identifier: Apache-2.0
// Fields by name, operands in their two encodings, then one function a form and direction.
//
// Unrestricted operands have 10 bits, restricted ones 8. Each instruction reads one source through the port of bank A
// and one through that of bank B; registers of a bank need its port, so operands that stand the other way round are
// exchanged and the swap bit says so. Everything else can use either port. decode() accepts a word only if encode()
// gives it back: no bit is passed over.
#include "arch/nfp/codec.hpp"

#include <array>
#include <bit>

namespace xnic::arch::nfp {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

struct Field {
  unsigned low;
  unsigned bits;
  constexpr uint64_t max() const { return (uint64_t{1} << bits) - 1; }
  constexpr uint64_t put(uint64_t value) const { return (value & max()) << low; }
  constexpr uint64_t get(uint64_t word) const { return word >> low & max(); }
};

// Shared by most forms.
constexpr Field kWriteBoth{41, 1}, kSourceExtension{42, 1}, kDestinationExtension{43, 1};
constexpr Field kWideA{0, 10}, kWideB{10, 10};
constexpr Field kNarrowA{0, 8}, kNarrowB{10, 8}, kImmediateBit7{18, 1};
constexpr Field kDefer{20, 2}, kTargetLow{22, 13}, kTargetHigh{40, 1};
constexpr Field kShiftKind{8, 2}, kShiftAmount{28, 5}, kNarrowSwap{19, 1}, kBankB{36, 1};
// Of one form.
constexpr Field kAluDst{20, 10}, kAluSwap{30, 1}, kAluOp{31, 5};
constexpr Field kShiftDst{20, 8}, kShiftOp{33, 3};
constexpr Field kFieldClear{20, 1}, kFieldMask{24, 4};
constexpr Field kImmedHigh{20, 8}, kImmedWidth{29, 2}, kImmedInvert{31, 1}, kImmedShift{33, 2};
constexpr Field kCondition{0, 5}, kEventPipe{8, 2}, kSignalState{14, 4};
constexpr Field kBitValue{18, 1};
constexpr Field kByteNumber{8, 2}, kByteEqual{19, 1};
constexpr Field kJumpHigh{22, 9};
constexpr Field kMulStep{20, 3}, kMulBankB{23, 1}, kMulType{31, 2};
constexpr Field kCmdSwap{8, 2}, kCmdToken{18, 2}, kCmdXferLow{20, 5}, kCmdLength{25, 3}, kCmdSignal{28, 4},
    kCmdTarget{32, 7}, kCmdXferHigh{40, 1}, kCmdIndirect{41, 1}, kCmdMode{42, 3};
constexpr Field kCsrWrite{21, 1}, kCsrAddress{22, 11};

// Each form is told by fixed bits: word & mask == base.
struct Form {
  uint64_t base;
  uint64_t mask;
  constexpr bool matches(uint64_t word) const { return (word & mask) == base; }
};
constexpr Form kCommandForm{0, 0x008000000000}, kShiftForm{0x008000000000, 0x00e000000000},
    kAluForm{0x00a000000000, 0x00e000000000}, kImmedForm{0x00f000000000, 0x01f900000000},
    kFieldForm{0x00c000000000, 0x01fa00e00000}, kCsrForm{0x00fc00000000, 0x01fe00100000},
    kBranchForm{0x00d800000020, 0x00f8000c3ce0}, kByteForm{0x00c800000000, 0x00f800000000},
    kBitForm{0x00d000000000, 0x00f800080300}, kJumpForm{0x00e800000000, 0x00ff80000000},
    kMultiplyForm{0x00f800000000, 0x00fe3f000000};
constexpr uint64_t kNoSignalState = 2;

template <class... Args>
base::Unexpected bad(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorKind::kBadInput, "NFP instruction", format, std::forward<Args>(args)...);
}
template <class... Args>
base::Unexpected unknown(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(ErrorKind::kUnsupported, "NFP instruction", format, std::forward<Args>(args)...);
}

// --- Operands ---

enum class Kind : uint8_t { kWide, kNarrow, kNarrowByte };  // kNarrowByte: immediates have an eighth bit
constexpr bool wide(Kind kind) { return kind == Kind::kWide; }
constexpr uint64_t kWideNothing = 0x300, kNarrowNothing = 0x020;
constexpr uint64_t nothing(Kind kind) { return wide(kind) ? kWideNothing : kNarrowNothing; }

Result<uint64_t> bits_of(const Lm& lm, Kind kind) {
  if (lm.pointer > 3) return bad("there is no local memory pointer {}", lm.pointer);
  const uint64_t low_pointer = lm.pointer & 1;
  if (lm.step != Step::kNone) {
    if (!wide(kind)) return bad("a restricted operand cannot move a local memory pointer");
    if (lm.index != 0) return bad("a moving local memory pointer takes no index");
    return 0x210 | low_pointer << 5 | (lm.step == Step::kDecrement ? 1 : 0);
  }
  const unsigned last = wide(kind) ? 15 : 7;
  if (lm.index > last) return bad("local memory index {} is beyond {}", lm.index, last);
  return wide(kind) ? 0x200 | low_pointer << 5 | lm.index : 0x50 | low_pointer << 3 | lm.index;
}

Result<uint64_t> bits_of(const Immediate& immediate, Kind kind) {
  const uint64_t value = immediate.value;
  if (wide(kind)) return 0x300 | value;
  if (kind == Kind::kNarrow && value > 0x7f) return bad("immediate {} does not fit 7 bits", value);
  return 0x20 | (value & 0x1f) | (value & 0x60) << 1;
}

Result<uint64_t> bits_of(const Operand& operand, Kind kind) {
  if (const auto* gpr = std::get_if<Gpr>(&operand)) {
    if (gpr->number > 31) return bad("there is no register {}", gpr->number);
    return gpr->number;
  }
  if (const auto* memory = std::get_if<Lm>(&operand)) return bits_of(*memory, kind);
  if (const auto* xfer = std::get_if<Transfer>(&operand)) {
    if (xfer->number > 63) return bad("there is no transfer register {}", xfer->number);
    return (wide(kind) ? 0x180 : 0x80) | (xfer->number & 0x1f) | (xfer->number & 0x20) << 1;
  }
  if (const auto* next = std::get_if<Neighbour>(&operand)) {
    if (!wide(kind)) return bad("a restricted operand cannot be a neighbour register");
    if (next->number > 31) return bad("there is no neighbour register {}", next->number);
    return 0x280 | next->number;
  }
  if (const auto* immediate = std::get_if<Immediate>(&operand)) return bits_of(*immediate, kind);
  return 0;
}

bool extended(const Operand& operand) {
  const auto* memory = std::get_if<Lm>(&operand);
  return memory != nullptr && memory->pointer > 1;
}
bool in_bank(const Operand& operand, Bank bank) {
  const auto* gpr = std::get_if<Gpr>(&operand);
  return gpr != nullptr && gpr->bank == bank;
}
bool high_immediate(const Operand& operand) {
  const auto* immediate = std::get_if<Immediate>(&operand);
  return immediate != nullptr && immediate->value > 0x7f;
}

struct Sources {
  uint64_t a = 0, b = 0;
  bool swapped = false;
};

// Two sources to two ports. `left` may be kBoth where it is the destination as well.
Result<Sources> sources_of(const Operand& left, const Operand& right, Kind kind, bool left_is_destination = false) {
  const bool same_kind = left.index() == right.index() && !std::holds_alternative<None>(left);
  if (same_kind && (!std::holds_alternative<Gpr>(left) || std::get<Gpr>(left).bank == std::get<Gpr>(right).bank))
    return bad("both sources need the same port");
  if (in_bank(right, Bank::kBoth) || (in_bank(left, Bank::kBoth) && !left_is_destination))
    return bad("a source is in one bank");
  Sources sources;
  sources.swapped = in_bank(left, Bank::kB) || in_bank(right, Bank::kA);
  XNIC_ASSIGN(sources.a, bits_of(sources.swapped ? right : left, kind));
  XNIC_ASSIGN(sources.b, bits_of(sources.swapped ? left : right, kind));
  return sources;
}

struct Destination {
  uint64_t bits = 0;
  uint64_t flags = 0;  // both banks, extended pointer
  bool bank_b = false;
};

Result<Destination> destination_of(const Operand& dst, Kind kind) {
  if (std::holds_alternative<Immediate>(dst)) return bad("an immediate is no destination");
  Destination result;
  XNIC_ASSIGN(result.bits, bits_of(dst, kind));
  if (std::holds_alternative<None>(dst)) result.bits = nothing(kind);
  result.bank_b = in_bank(dst, Bank::kB);
  result.flags = kWriteBoth.put(in_bank(dst, Bank::kBoth)) | kDestinationExtension.put(extended(dst));
  return result;
}

Result<Operand> operand_of(uint64_t bits, Kind kind, Bank bank, bool extension, bool bit7 = false) {
  if (wide(kind)) {
    if (bits < 0x20) return Gpr{bank, static_cast<uint8_t>(bits)};
    if ((bits & 0x3a0) == 0x180) return Transfer{static_cast<uint8_t>((bits & 0x1f) | (bits & 0x40) >> 1)};
    if ((bits & 0x3c0) == 0x200) {
      const auto pointer = static_cast<uint8_t>((bits >> 5 & 1) | (extension ? 2 : 0));
      if ((bits & 0x10) == 0) return Lm{pointer, static_cast<uint8_t>(bits & 15), Step::kNone};
      return Lm{pointer, 0, (bits & 1) != 0 ? Step::kDecrement : Step::kIncrement};
    }
    if ((bits & 0x3e0) == 0x280) return Neighbour{static_cast<uint8_t>(bits & 0x1f)};
    if (bits >= 0x300) return Immediate{static_cast<uint8_t>(bits)};
    return unknown("operand 0x{:x} is not known", bits);
  }
  if (bits < 0x20) return Gpr{bank, static_cast<uint8_t>(bits)};
  if ((bits & 0x20) != 0)
    return Immediate{static_cast<uint8_t>((bits & 0x1f) | (bits & 0xc0) >> 1 | (bit7 ? 0x80 : 0))};
  if ((bits & 0xa0) == 0x80) return Transfer{static_cast<uint8_t>((bits & 0x1f) | (bits & 0x40) >> 1)};
  if ((bits & 0xf0) == 0x50)
    return Lm{static_cast<uint8_t>((bits >> 3 & 1) | (extension ? 2 : 0)), static_cast<uint8_t>(bits & 7), Step::kNone};
  return unknown("restricted operand 0x{:x} is not known", bits);
}

struct Ports {
  Operand left, right;
};
Result<Ports> ports_of(uint64_t a, uint64_t b, Kind kind, bool swapped, bool extension, bool bit7, bool with_left) {
  Ports ports;
  if (with_left) {
    XNIC_ASSIGN(ports.left, operand_of(swapped ? b : a, kind, swapped ? Bank::kB : Bank::kA, extension, bit7));
  }
  XNIC_ASSIGN(ports.right, operand_of(swapped ? a : b, kind, swapped ? Bank::kA : Bank::kB, extension, bit7));
  return ports;
}

Result<Operand> destination(uint64_t bits, Kind kind, bool bank_b, uint64_t word) {
  if (bits == nothing(kind)) return None{};
  const Bank bank = kWriteBoth.get(word) != 0 ? Bank::kBoth : bank_b ? Bank::kB : Bank::kA;
  return operand_of(bits, kind, bank, kDestinationExtension.get(word) != 0);
}

Result<uint64_t> target_of(uint32_t target, unsigned defer, unsigned most) {
  if (target > 0x3fff) return bad("branch target {} is beyond 14 bits", target);
  if (defer > most) return bad("a branch with {} deferred instructions, {} at most", defer, most);
  return kTargetLow.put(target) | kTargetHigh.put(target >> 13) | kDefer.put(defer);
}
uint16_t target_in(uint64_t word) { return static_cast<uint16_t>(kTargetLow.get(word) | kTargetHigh.get(word) << 13); }
uint8_t defer_in(uint64_t word) { return static_cast<uint8_t>(kDefer.get(word)); }

// --- Encoders ---

Result<uint64_t> bits_of(const Alu& insn) {
  const bool one = !reads_left(insn.op);
  if (one != std::holds_alternative<None>(insn.left) || std::holds_alternative<None>(insn.right))
    return bad("the operation reads {}", one ? "its right operand alone" : "two operands");
  XNIC_ASSIGN(const Sources sources, sources_of(insn.left, insn.right, Kind::kWide));
  XNIC_ASSIGN(const Destination dst, destination_of(insn.dst, Kind::kWide));
  return kAluForm.base | kWideA.put(sources.a) | kWideB.put(sources.b) | kAluSwap.put(sources.swapped) |
         kAluDst.put(dst.bits) | kBankB.put(dst.bank_b) | dst.flags |
         kSourceExtension.put(extended(insn.left) || extended(insn.right)) | kAluOp.put(static_cast<uint64_t>(insn.op));
}

Result<uint64_t> shift_of(ShiftKind kind, unsigned amount) {
  if (amount > 31) return bad("shift by {}", amount);
  return kShiftKind.put(static_cast<uint64_t>(kind)) |
         kShiftAmount.put(kind == ShiftKind::kLeft && amount != 0 ? 32 - amount : amount);
}

Result<uint64_t> bits_of(const Shift& insn) {
  const bool with_left = reads_left(insn.op, insn.kind);
  if (with_left == std::holds_alternative<None>(insn.left) || std::holds_alternative<None>(insn.right))
    return bad("the shift reads {}", with_left ? "two operands" : "its right operand alone");
  XNIC_ASSIGN(const Sources sources, sources_of(insn.left, insn.right, Kind::kNarrowByte));
  XNIC_ASSIGN(const Destination dst, destination_of(insn.dst, Kind::kNarrow));
  XNIC_ASSIGN(const uint64_t shift, shift_of(insn.kind, insn.amount));
  return kShiftForm.base | shift | kNarrowA.put(sources.a) | kNarrowB.put(sources.b) |
         kNarrowSwap.put(sources.swapped) | kShiftDst.put(dst.bits) | kBankB.put(dst.bank_b) | dst.flags |
         kImmediateBit7.put(high_immediate(insn.left) || high_immediate(insn.right)) |
         kSourceExtension.put(extended(insn.left) || extended(insn.right)) |
         kShiftOp.put(static_cast<uint64_t>(insn.op));
}

Result<uint64_t> bits_of(const LoadField& insn) {
  if (insn.mask == 0 || insn.mask > 15) return bad("byte mask {}", insn.mask);
  if (std::holds_alternative<None>(insn.dst) || std::holds_alternative<None>(insn.src))
    return bad("ld_field of nothing");
  XNIC_ASSIGN(const Destination dst, destination_of(insn.dst, Kind::kNarrow));
  XNIC_ASSIGN(const Sources sources, sources_of(insn.dst, insn.src, Kind::kNarrowByte, true));
  XNIC_ASSIGN(const uint64_t shift, shift_of(insn.kind, insn.amount));
  return kFieldForm.base | shift | kNarrowA.put(sources.a) | kNarrowB.put(sources.b) |
         kNarrowSwap.put(sources.swapped) | dst.flags | kImmediateBit7.put(high_immediate(insn.src)) |
         kSourceExtension.put(extended(insn.dst) || extended(insn.src)) | kFieldMask.put(insn.mask) |
         kFieldClear.put(insn.clear);
}

Result<uint64_t> bits_of(const LoadImmediate& insn) {
  if (insn.shift > 2) return bad("immediate shifted by {} bytes", insn.shift);
  XNIC_ASSIGN(const Destination dst, destination_of(insn.dst, Kind::kWide));
  const uint64_t low = 0x300 | (insn.value & 0xff);
  return kImmedForm.base | kWideA.put(dst.bank_b ? low : dst.bits) | kWideB.put(dst.bank_b ? dst.bits : low) |
         dst.flags | kSourceExtension.put(extended(insn.dst)) | kImmedHigh.put(insn.value >> 8) |
         kImmedWidth.put(static_cast<uint64_t>(insn.width)) | kImmedInvert.put(insn.invert) |
         kImmedShift.put(insn.shift);
}

Result<uint64_t> bits_of(const Branch& insn) {
  const bool always = insn.condition == Condition::kAlways;
  XNIC_ASSIGN(const uint64_t target, target_of(insn.target, insn.defer, always ? 2 : 3));
  return kBranchForm.base | target | kCondition.put(static_cast<uint64_t>(insn.condition)) | kEventPipe.put(!always) |
         kSignalState.put(kNoSignalState);
}

Result<uint64_t> bits_of(const BranchBit& insn) {
  if (insn.bit > 31) return bad("there is no bit {}", insn.bit);
  if (std::holds_alternative<None>(insn.src)) return bad("a bit of nothing");
  XNIC_ASSIGN(const uint64_t target, target_of(insn.target, insn.defer, 3));
  XNIC_ASSIGN(const Sources sources, sources_of(insn.src, imm(insn.bit + 1u), Kind::kNarrow));
  return kBitForm.base | target | kNarrowA.put(sources.a) | kNarrowB.put(sources.b) | kBitValue.put(insn.set) |
         kSourceExtension.put(extended(insn.src));
}

Result<uint64_t> bits_of(const BranchByte& insn) {
  if (insn.byte > 3) return bad("there is no byte {}", insn.byte);
  if (std::holds_alternative<None>(insn.src)) return bad("a byte of nothing");
  XNIC_ASSIGN(const uint64_t target, target_of(insn.target, insn.defer, 3));
  XNIC_ASSIGN(const Sources sources, sources_of(insn.src, imm(insn.value), Kind::kNarrowByte));
  return kByteForm.base | target | kNarrowA.put(sources.a) | kNarrowB.put(sources.b) |
         kImmediateBit7.put(insn.value >> 7) | kByteNumber.put(insn.byte) | kByteEqual.put(insn.equal) |
         kSourceExtension.put(extended(insn.src));
}

Result<uint64_t> bits_of(const JumpRegister& insn) {
  if (insn.offset > 0x1ffff) return bad("jump offset {} is beyond 17 bits", insn.offset);
  if (insn.defer > 3) return bad("a branch with {} deferred instructions, 3 at most", insn.defer);
  if (std::holds_alternative<None>(insn.base)) return bad("a jump to nothing");
  XNIC_ASSIGN(const Sources sources, sources_of(insn.base, imm(insn.offset & 0xff), Kind::kWide));
  return kJumpForm.base | kWideA.put(sources.a) | kWideB.put(sources.b) | kDefer.put(insn.defer) |
         kJumpHigh.put(insn.offset >> 8) | kSourceExtension.put(extended(insn.base));
}

bool is_last(MultiplyStep step) { return step == MultiplyStep::kLast || step == MultiplyStep::kLast2; }

Result<uint64_t> bits_of(const Multiply& insn) {
  if (insn.type == MultiplyType::kStart && insn.step != MultiplyStep::k1) return bad("a multiplication starts once");
  const uint64_t fixed = kMultiplyForm.base | kMulStep.put(static_cast<uint64_t>(insn.step)) |
                         kMulType.put(static_cast<uint64_t>(insn.type));
  const bool without_sources = std::holds_alternative<None>(insn.left) && std::holds_alternative<None>(insn.right);
  if (is_last(insn.step)) {
    if (!without_sources) return bad("the last steps of a multiplication have no sources");
    XNIC_ASSIGN(const Destination dst, destination_of(insn.dst, Kind::kWide));
    return fixed | kWideA.put(dst.bits) | kMulBankB.put(dst.bank_b) | dst.flags;
  }
  if (std::holds_alternative<None>(insn.left) || std::holds_alternative<None>(insn.right))
    return bad("a multiplication reads two operands");
  if (!std::holds_alternative<None>(insn.dst)) return bad("only the last steps of a multiplication have a destination");
  XNIC_ASSIGN(const Sources sources, sources_of(insn.left, insn.right, Kind::kWide));
  return fixed | kWideA.put(sources.a) | kWideB.put(sources.b) | kAluSwap.put(sources.swapped) |
         kSourceExtension.put(extended(insn.left) || extended(insn.right));
}

struct CommandCode {
  uint8_t target;
  uint8_t token;
};
constexpr std::array kCommandCodes = {
#define XNIC_NFP_COMMAND(name, target, token, text, text64) CommandCode{target, token},
    XNIC_NFP_COMMANDS(XNIC_NFP_COMMAND)
#undef XNIC_NFP_COMMAND
};

Result<uint64_t> bits_of(const Command& insn) {
  if (insn.xfer > 63 || insn.length > 7 || insn.signal > 15) return bad("a field of the command is too large");
  if (std::holds_alternative<None>(insn.left) || std::holds_alternative<None>(insn.right))
    return bad("an address has two parts");
  XNIC_ASSIGN(const Sources sources, sources_of(insn.left, insn.right, Kind::kNarrow));
  if (sources.swapped) return bad("a command's left operand is in bank A, the right one in bank B");
  if (extended(insn.left) || extended(insn.right)) return bad("a command reaches local memory pointers 0 and 1 only");
  const CommandCode code = kCommandCodes[static_cast<size_t>(insn.op)];
  return kNarrowA.put(sources.a) | kNarrowB.put(sources.b) | kCmdSwap.put(static_cast<uint64_t>(insn.swap)) |
         kCmdToken.put(code.token) | kCmdTarget.put(code.target) | kCmdXferLow.put(insn.xfer) |
         kCmdXferHigh.put(insn.xfer >> 5) | kCmdLength.put(insn.length) | kCmdSignal.put(insn.signal) |
         kCmdIndirect.put(insn.indirect) | kCmdMode.put(static_cast<uint64_t>(insn.mode));
}

Result<uint64_t> csr_address(unsigned address) {
  if (address % 4 != 0 || address / 4 > kCsrAddress.max()) return bad("there is no local register 0x{:x}", address);
  return kCsrForm.base | kCsrAddress.put(address / 4);
}

Result<uint64_t> bits_of(const CsrWrite& insn) {
  XNIC_ASSIGN(const uint64_t fixed, csr_address(insn.address));
  if (std::holds_alternative<None>(insn.src)) return bad("nothing to write to a local register");
  if (const auto* value = std::get_if<Immediate>(&insn.src))  // an immediate stands at both ports
    return fixed | kCsrWrite.put(1) | kWideA.put(0x300u | value->value) | kWideB.put(0x300u | value->value);
  XNIC_ASSIGN(const Sources sources, sources_of(insn.src, imm(0), Kind::kWide));
  return fixed | kCsrWrite.put(1) | kWideA.put(sources.a) | kWideB.put(sources.b) |
         kSourceExtension.put(extended(insn.src));
}

Result<uint64_t> bits_of(const CsrRead& insn) { return csr_address(insn.address); }

// --- Decoders: they read the fields; decode() checks the rest by encoding again. ---

Result<Instruction> alu_in(uint64_t word) {
  Alu insn{static_cast<AluOp>(kAluOp.get(word)), {}, {}, {}};
  XNIC_ASSIGN(const Ports ports, ports_of(kWideA.get(word), kWideB.get(word), Kind::kWide, kAluSwap.get(word) != 0,
                                          kSourceExtension.get(word) != 0, false, reads_left(insn.op)));
  insn.left = ports.left, insn.right = ports.right;
  XNIC_ASSIGN(insn.dst, destination(kAluDst.get(word), Kind::kWide, kBankB.get(word) != 0, word));
  switch (insn.op) {
    case AluOp::kMove:
    case AluOp::kAdd:
    case AluOp::kNot:
    case AluOp::kAdd16:
    case AluOp::kAnd:
    case AluOp::kAdd8:
    case AluOp::kNotAnd:
    case AluOp::kSubCarry:
    case AluOp::kAndNot:
    case AluOp::kAddCarry:
    case AluOp::kOr:
    case AluOp::kSub:
    case AluOp::kXor:
    case AluOp::kReverseSub:
      return insn;
  }
  return unknown("ALU operation {} is not known", static_cast<int>(insn.op));
}

uint8_t amount_in(uint64_t word) {
  const uint64_t amount = kShiftAmount.get(word);
  const bool left = static_cast<ShiftKind>(kShiftKind.get(word)) == ShiftKind::kLeft;
  return static_cast<uint8_t>(left && amount != 0 ? 32 - amount : amount);
}

Result<Instruction> shift_in(uint64_t word) {
  Shift insn{static_cast<ShiftOp>(kShiftOp.get(word)),
             static_cast<ShiftKind>(kShiftKind.get(word)),
             amount_in(word),
             {},
             {},
             {}};
  if (kShiftOp.get(word) > static_cast<uint64_t>(ShiftOp::kArithmetic)) return unknown("byte_align is not known");
  XNIC_ASSIGN(const Ports ports,
              ports_of(kNarrowA.get(word), kNarrowB.get(word), Kind::kNarrowByte, kNarrowSwap.get(word) != 0,
                       kSourceExtension.get(word) != 0, kImmediateBit7.get(word) != 0, reads_left(insn.op, insn.kind)));
  insn.left = ports.left, insn.right = ports.right;
  XNIC_ASSIGN(insn.dst, destination(kShiftDst.get(word), Kind::kNarrow, kBankB.get(word) != 0, word));
  return insn;
}

Result<Instruction> field_in(uint64_t word) {
  LoadField insn{{},
                 static_cast<uint8_t>(kFieldMask.get(word)),
                 {},
                 static_cast<ShiftKind>(kShiftKind.get(word)),
                 amount_in(word),
                 kFieldClear.get(word) != 0};
  const bool swapped = kNarrowSwap.get(word) != 0;
  const uint64_t a = kNarrowA.get(word), b = kNarrowB.get(word);
  XNIC_ASSIGN(insn.dst, destination(swapped ? b : a, Kind::kNarrow, swapped, word));
  XNIC_ASSIGN(insn.src, operand_of(swapped ? a : b, Kind::kNarrowByte, swapped ? Bank::kA : Bank::kB,
                                   kSourceExtension.get(word) != 0, kImmediateBit7.get(word) != 0));
  return insn;
}

Result<Instruction> immed_in(uint64_t word) {
  const bool in_b = kWideB.get(word) < 0x300;
  const uint64_t low = in_b ? kWideA.get(word) : kWideB.get(word);
  LoadImmediate insn{{},
                     static_cast<uint16_t>(kImmedHigh.get(word) << 8 | (low & 0xff)),
                     static_cast<ImmediateWidth>(kImmedWidth.get(word)),
                     kImmedInvert.get(word) != 0,
                     static_cast<uint8_t>(kImmedShift.get(word))};
  if (kImmedWidth.get(word) > 2) return unknown("immediate of width {}", kImmedWidth.get(word));
  XNIC_ASSIGN(insn.dst, destination(in_b ? kWideB.get(word) : kWideA.get(word), Kind::kWide, in_b, word));
  return insn;
}

Result<Instruction> branch_in(uint64_t word) {
  const uint64_t condition = kCondition.get(word);
  if (condition > 11 && condition != 24) return unknown("branch condition {} is not known", condition);
  return Branch{static_cast<Condition>(condition), target_in(word), defer_in(word)};
}

// The operand beside an immediate, and the immediate.
struct Beside {
  Operand operand;
  uint8_t value;
};
Result<Beside> beside(uint64_t a, uint64_t b, Kind kind, bool extension, bool bit7) {
  const bool in_a = wide(kind) ? a < 0x300 : (a & 0x20) == 0;
  XNIC_ASSIGN(const Operand operand, operand_of(in_a ? a : b, kind, in_a ? Bank::kA : Bank::kB, extension, bit7));
  XNIC_ASSIGN(const Operand value, operand_of(in_a ? b : a, kind, Bank::kA, false, bit7));
  const auto* immediate = std::get_if<Immediate>(&value);
  if (immediate == nullptr) return unknown("an immediate is missing");
  return Beside{operand, immediate->value};
}
Result<Beside> narrow_beside(uint64_t word, bool bit7) {
  return beside(kNarrowA.get(word), kNarrowB.get(word), bit7 ? Kind::kNarrowByte : Kind::kNarrow,
                kSourceExtension.get(word) != 0, bit7);
}

Result<Instruction> bit_in(uint64_t word) {
  XNIC_ASSIGN(const Beside it, narrow_beside(word, false));
  return BranchBit{it.operand, static_cast<uint8_t>(it.value - 1), kBitValue.get(word) != 0, target_in(word),
                   defer_in(word)};
}

Result<Instruction> byte_in(uint64_t word) {
  XNIC_ASSIGN(const Beside it, narrow_beside(word, kImmediateBit7.get(word) != 0));
  return BranchByte{it.operand,      static_cast<uint8_t>(kByteNumber.get(word)),
                    it.value,        kByteEqual.get(word) != 0,
                    target_in(word), defer_in(word)};
}

Result<Instruction> jump_in(uint64_t word) {
  XNIC_ASSIGN(const Beside it,
              beside(kWideA.get(word), kWideB.get(word), Kind::kWide, kSourceExtension.get(word) != 0, false));
  return JumpRegister{it.operand, static_cast<uint32_t>(kJumpHigh.get(word) << 8 | it.value), defer_in(word)};
}

Result<Instruction> multiply_in(uint64_t word) {
  Multiply insn{
      static_cast<MultiplyType>(kMulType.get(word)), static_cast<MultiplyStep>(kMulStep.get(word)), {}, {}, {}};
  if (kMulStep.get(word) > 5) return unknown("multiplication step {} is not known", kMulStep.get(word));
  if (is_last(insn.step)) {
    XNIC_ASSIGN(insn.dst, destination(kWideA.get(word), Kind::kWide, kMulBankB.get(word) != 0, word));
    return insn;
  }
  XNIC_ASSIGN(const Ports ports, ports_of(kWideA.get(word), kWideB.get(word), Kind::kWide, kAluSwap.get(word) != 0,
                                          kSourceExtension.get(word) != 0, false, true));
  insn.left = ports.left, insn.right = ports.right;
  return insn;
}

Result<Instruction> command_in(uint64_t word) {
  Command insn{};
  size_t op = 0;
  while (op < kCommandCodes.size() &&
         (kCommandCodes[op].target != kCmdTarget.get(word) || kCommandCodes[op].token != kCmdToken.get(word)))
    ++op;
  if (op == kCommandCodes.size())
    return unknown("command 0x{:x} with token {} is not known", kCmdTarget.get(word), kCmdToken.get(word));
  if (const uint64_t mode = kCmdMode.get(word); mode != 0 && mode != 1 && mode != 4)
    return unknown("address mode {} is not known", mode);
  insn.op = static_cast<CommandOp>(op);
  insn.mode = static_cast<AddressMode>(kCmdMode.get(word));
  insn.xfer = static_cast<uint8_t>(kCmdXferLow.get(word) | kCmdXferHigh.get(word) << 5);
  insn.length = static_cast<uint8_t>(kCmdLength.get(word));
  insn.signal = static_cast<uint8_t>(kCmdSignal.get(word));
  insn.swap = static_cast<Swap>(kCmdSwap.get(word));
  insn.indirect = kCmdIndirect.get(word) != 0;
  XNIC_ASSIGN(const Ports ports,
              ports_of(kNarrowA.get(word), kNarrowB.get(word), Kind::kNarrow, false, false, false, true));
  insn.left = ports.left, insn.right = ports.right;
  return insn;
}

Result<Instruction> csr_in(uint64_t word) {
  const auto address = static_cast<uint16_t>(kCsrAddress.get(word) * 4);
  if (kCsrWrite.get(word) == 0) return CsrRead{address};
  const uint64_t a = kWideA.get(word), b = kWideB.get(word);
  if (a >= 0x300 && b == a) return CsrWrite{address, Immediate{static_cast<uint8_t>(a)}};
  XNIC_ASSIGN(const Beside it, beside(a, b, Kind::kWide, kSourceExtension.get(word) != 0, false));
  return CsrWrite{address, it.operand};
}

Result<Instruction> form_in(uint64_t word) {
  if (kCommandForm.matches(word)) return command_in(word);
  if (kShiftForm.matches(word)) return shift_in(word);
  if (kAluForm.matches(word)) return alu_in(word);
  if (kImmedForm.matches(word)) return immed_in(word);
  if (kFieldForm.matches(word)) return field_in(word);
  if (kCsrForm.matches(word)) return csr_in(word);
  if (kBranchForm.matches(word)) return branch_in(word);
  if (kByteForm.matches(word)) return byte_in(word);
  if (kBitForm.matches(word)) return bit_in(word);
  if (kJumpForm.matches(word)) return jump_in(word);
  if (kMultiplyForm.matches(word)) return multiply_in(word);
  return unknown("word 0x{:x} is not known", word);
}

// Bit k of the check is the parity of the word's bits under mask k (drivers/net/ethernet/netronome/nfp/nfp_asm.c).
constexpr std::array<uint64_t, kEccBits> kEccMasks = {0x0ff800007fff, 0x11f801ff801f, 0x1e387e0781e1, 0x17cb8e388e22,
                                                      0x1af5b2c93244, 0x1f56d5525488, 0x0daf69a46910};

}  // namespace

Result<uint64_t> encode(const Instruction& insn) {
  return std::visit([](const auto& form) { return bits_of(form); }, insn);
}

Result<Instruction> decode(uint64_t bits) {
  if (bits >> kInstructionBits != 0) return bad("word 0x{:x} has more than 45 bits", bits);
  XNIC_ASSIGN(Instruction insn, form_in(bits));
  const Result<uint64_t> again = encode(insn);
  if (!again || *again != bits) return unknown("word 0x{:x} has bits set that its form does not use", bits);
  return insn;
}

uint64_t ecc_of(uint64_t bits) {
  uint64_t check = 0;
  for (unsigned k = 0; k < kEccBits; ++k) check |= uint64_t{std::popcount(bits & kEccMasks[k]) & 1u} << k;
  return check;
}

Result<uint64_t> without_ecc(uint64_t word) {
  const uint64_t bits = word & ((uint64_t{1} << kInstructionBits) - 1);
  if (with_ecc(bits) != word) return bad("word 0x{:x} fails its error check", word);
  return bits;
}

}  // namespace xnic::arch::nfp
