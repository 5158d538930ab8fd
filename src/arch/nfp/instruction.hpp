// SPDX-License-Identifier: Apache-2.0
// The instructions of an NFP-4000 core (micro-engine version 2.8, four contexts) that XDP programs are made of, as
// values: one small struct per form, collected in one variant. Operands stand in the order of the operation; which of
// the two read ports carries which operand is the codec's business.
//
// Facts from the public sources: bit layouts of drivers/net/ethernet/netronome/nfp/nfp_asm.h (Linux) and the names of
// opcodes/nfp-dis.c (binutils). Left out: forms that the driver never emits (absolute and indexed registers, CAM, CRC,
// population count, byte_align, ctx_arb, predicated execution, no_cc).
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

namespace xnic::arch::nfp {

// --- Operands ---

struct None {  // no destination, or a source that the operation does not read
  bool operator==(const None&) const = default;
};
// The register file has two banks with one read port each. kBoth: a destination that both banks receive.
enum class Bank : uint8_t { kA, kB, kBoth };
struct Gpr {
  Bank bank;
  uint8_t number;  // 0..31
  bool operator==(const Gpr&) const = default;
};
enum class Step : uint8_t { kNone, kIncrement, kDecrement };
// Word of local memory at one of four pointers. The index is OR-ed into the pointer's word number; with a step there is
// no index, and the pointer moves by a word after the access.
struct Lm {
  uint8_t pointer = 0;  // 0..3
  uint8_t index = 0;    // 0..15, restricted operands 0..7
  Step step = Step::kNone;
  bool operator==(const Lm&) const = default;
};
struct Transfer {  // read: what a command brought; written: what a command takes away
  uint8_t number;  // 0..63
  bool operator==(const Transfer&) const = default;
};
struct Neighbour {  // next-neighbour register; not in restricted operands
  uint8_t number;   // 0..31
  bool operator==(const Neighbour&) const = default;
};
struct Immediate {
  uint8_t value;  // restricted operands: 0..127, with an eighth bit where the form has one
  bool operator==(const Immediate&) const = default;
};
using Operand = std::variant<None, Gpr, Lm, Transfer, Neighbour, Immediate>;

constexpr Operand gpr_a(unsigned number) { return Gpr{Bank::kA, static_cast<uint8_t>(number)}; }
constexpr Operand gpr_b(unsigned number) { return Gpr{Bank::kB, static_cast<uint8_t>(number)}; }
constexpr Operand gpr_both(unsigned number) { return Gpr{Bank::kBoth, static_cast<uint8_t>(number)}; }
constexpr Operand lm(unsigned pointer, unsigned index) {
  return Lm{static_cast<uint8_t>(pointer), static_cast<uint8_t>(index), Step::kNone};
}
constexpr Operand transfer(unsigned number) { return Transfer{static_cast<uint8_t>(number)}; }
constexpr Operand imm(unsigned value) { return Immediate{static_cast<uint8_t>(value)}; }

// --- Instructions. Enumerators are the field values. ---

enum class AluOp : uint8_t {
  kMove = 0,  // right alone
  kAdd = 1,
  kNot = 4,    // right alone
  kAdd16 = 5,  // left + the low 16 bits of right
  kAnd = 8,
  kAdd8 = 9,
  kNotAnd = 12,    // ~left & right
  kSubCarry = 13,  // left - right - 1 + carry
  kAndNot = 16,    // left & ~right
  kAddCarry = 17,
  kOr = 20,
  kSub = 21,  // carry: no borrow
  kXor = 24,
  kReverseSub = 25,  // right - left
};
struct Alu {  // unrestricted; sets the condition codes
  AluOp op;
  Operand dst, left, right;
  bool operator==(const Alu&) const = default;
};

enum class ShiftOp : uint8_t { kMove = 0, kNot = 1, kAnd = 2, kNotAnd = 3, kAndNot = 4, kOr = 5, kArithmetic = 6 };
enum class ShiftKind : uint8_t { kRotate = 0, kRight = 1, kLeft = 2, kDoubleRight = 3 };
// dst = left op (right shifted); kDoubleRight: the low word of (left:right) >> amount; kArithmetic: right shifted in
// with the sign of the last ALU result. Amount 0 is no shift for kRotate, else it is the left operand's low five bits
// of the ALU instruction before. Restricted, 8-bit immediates.
struct Shift {
  ShiftOp op;
  ShiftKind kind;
  uint8_t amount;  // 0..31
  Operand dst, left, right;
  bool operator==(const Shift&) const = default;
};

// Bytes of `src` (shifted) that `mask` selects go into dst; the others stay, or become zero. Restricted, 8-bit
// immediates.
struct LoadField {
  Operand dst;
  uint8_t mask;  // 4 bits, bit 0 the lowest byte
  Operand src;
  ShiftKind kind;
  uint8_t amount;
  bool clear;
  bool operator==(const LoadField&) const = default;
};

enum class ImmediateWidth : uint8_t { kAll = 0, kByte = 1, kWord = 2 };  // the part of dst that is written
struct LoadImmediate {  // dst = value << 8 * shift, or the complement of that; nothing at all (dst None, 0): the nop
  Operand dst;
  uint16_t value;
  ImmediateWidth width = ImmediateWidth::kAll;
  bool invert = false;
  uint8_t shift = 0;  // bytes, 0..2
  bool operator==(const LoadImmediate&) const = default;
};

enum class Condition : uint8_t {
  kEqual = 0,
  kNotEqual = 1,
  kMinus = 2,
  kPlus = 3,
  kCarry = 4,    // unsigned >=
  kNoCarry = 5,  // unsigned <
  kOverflow = 6,
  kNoOverflow = 7,
  kGreaterEqual = 8,
  kLess = 9,
  kLessEqual = 10,
  kGreater = 11,
  kAlways = 24,
};
// Targets are instruction numbers in the store, 14 bits. `defer` instructions behind a branch run whether or not it is
// taken (at most 3, with kAlways 2).
struct Branch {
  Condition condition;
  uint16_t target;
  uint8_t defer;
  bool operator==(const Branch&) const = default;
};
struct BranchBit {  // restricted, 7-bit immediates
  Operand src;
  uint8_t bit;  // 0..31
  bool set;
  uint16_t target;
  uint8_t defer;
  bool operator==(const BranchBit&) const = default;
};
struct BranchByte {  // restricted
  Operand src;
  uint8_t byte;  // 0..3
  uint8_t value;
  bool equal;
  uint16_t target;
  uint8_t defer;
  bool operator==(const BranchByte&) const = default;
};
struct JumpRegister {  // to base + offset; offset 0 is the return
  Operand base;
  uint32_t offset;  // 17 bits
  uint8_t defer;
  bool operator==(const JumpRegister&) const = default;
};

enum class MultiplyType : uint8_t { kStart = 0, k24x8 = 1, k16x16 = 2, k32x32 = 3 };
enum class MultiplyStep : uint8_t { k1 = 0, k2 = 1, k3 = 2, k4 = 3, kLast = 4, kLast2 = 5 };
// kStart (step k1) and the steps name the operands; kLast writes the low word of the product, kLast2 the high one.
struct Multiply {
  MultiplyType type;
  MultiplyStep step;
  Operand dst;  // kLast and kLast2 only
  Operand left, right;
  bool operator==(const Multiply&) const = default;
};

// Commands to the memories, over the command push-pull bus. X(name, target and action, token, text, text if bit 2 of
// the length is set)
#define XNIC_NFP_COMMANDS(X)                              \
  X(kReadLe, 0x40, 1, "read_le", "read_le")               \
  X(kReadSwapLe, 0x40, 3, "read_swap_le", "read_swap_le") \
  X(kWrite8Swap, 0x42, 2, "write8_swap", "write8_swap")   \
  X(kRead8, 0x43, 1, "read8", "read8")                    \
  X(kAdd, 0x47, 0, "add", "add64")                        \
  X(kAddImmediate, 0x47, 2, "add_imm", "add64_imm")       \
  X(kRead32, 0x5c, 0, "read32", "read32")                 \
  X(kRead32Le, 0x5c, 1, "read32_le", "read32_le")         \
  X(kRead32Swap, 0x5c, 2, "read32_swap", "read32_swap")   \
  X(kWrite32Swap, 0x5f, 2, "write32_swap", "write32_swap")

enum class CommandOp : uint8_t {
#define XNIC_NFP_COMMAND(name, target, token, text, text64) name,
  XNIC_NFP_COMMANDS(XNIC_NFP_COMMAND)
#undef XNIC_NFP_COMMAND
};
// How the two address operands make an address.
enum class AddressMode : uint8_t {
  k40LeftHigh = 0,   // (left << 8) + right
  k40RightHigh = 1,  // (right << 8) + left
  k32 = 4,           // left + right
};
// What the thread does after the command; with a signal it sleeps until the data is there.
enum class Swap : uint8_t { kNow = 0, kAfter1 = 1, kAfter2 = 2, kNever = 3 };
// Bits of the ALU result before an indirect command that replace fields of the command.
inline constexpr uint32_t kOverrideData = 2u << 3;  // bits 16..31 are the data
inline constexpr uint32_t kOverrideLength = 1u << 7;
constexpr uint32_t override_length(uint32_t length) { return kOverrideLength | length << 8; }  // 5 bits

struct Command {  // restricted, 7-bit immediates; left in bank A, right in bank B
  CommandOp op;
  AddressMode mode;
  uint8_t xfer;  // first transfer register, 0..63
  Operand left, right;
  uint8_t length;  // units - 1, 0..7
  uint8_t signal;  // 0..15, 0: none
  Swap swap;
  bool indirect;
  bool operator==(const Command&) const = default;
};

struct CsrWrite {
  uint16_t address;  // multiple of 4
  Operand src;
  bool operator==(const CsrWrite&) const = default;
};
struct CsrRead {  // the LoadImmediate behind it receives the register's value
  uint16_t address;
  bool operator==(const CsrRead&) const = default;
};
inline constexpr uint16_t kCsrLmAddress[4] = {0x64, 0x6c, 0x94, 0x9c};
inline constexpr uint16_t kCsrRandom = 0x148;

using Instruction = std::variant<Alu, Shift, LoadField, LoadImmediate, Branch, BranchBit, BranchByte, JumpRegister,
                                 Multiply, Command, CsrWrite, CsrRead>;

inline constexpr LoadImmediate kNop{None{}, 0};
constexpr bool is_nop(const Instruction& insn) { return insn == Instruction(kNop); }

// True when the form reads its left operand.
constexpr bool reads_left(AluOp op) { return op != AluOp::kMove && op != AluOp::kNot; }
constexpr bool reads_left(ShiftOp op, ShiftKind kind) {
  return kind == ShiftKind::kDoubleRight || (op != ShiftOp::kMove && op != ShiftOp::kNot && op != ShiftOp::kArithmetic);
}

}  // namespace xnic::arch::nfp
