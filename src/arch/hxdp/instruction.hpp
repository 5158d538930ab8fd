// SPDX-License-Identifier: Apache-2.0
// The lane operations as values: eBPF's, and forms beyond it. Each form says what it costs in hardware.
//
// Meaning of a row. All lanes read registers, memory and packet bounds as they were before the row. Then the effects
// commit in lane order, lane 0 first: register writes, stores, calls. When the branch or exit of lane k is taken, the
// effects of the lanes above k do not happen. So the first taken branch of a row wins, and of two stores to one byte
// the one in the higher lane stays. A row without a taken branch or exit goes on in the next row.
//
// Registers hold 64 bits. An address is one too; only the machine knows where its memories lie, so programs get
// addresses from Address, from calls and by adding to them.
#pragma once

#include <cstdint>
#include <variant>

#include "arch/ebpf/instruction.hpp"
#include "arch/hxdp/machine.hpp"

namespace xnic::arch::hxdp {

using ebpf::AtomicOp;
using ebpf::JumpOp;
using ebpf::MapIndex;
using ebpf::Width;

using Reg = uint8_t;  // 0..15
using Imm = int32_t;  // sign-extended to 64 bits where the width is 64
using Operand = std::variant<Reg, Imm>;
using Row = uint32_t;

struct Nop {
  bool operator==(const Nop&) const = default;
};

// dst = a op b. Width k32 works on the low halves and clears the upper half of dst. Shifts use the low 6 (5) bits of
// b; division by zero gives 0, remainder by zero gives a (RFC 9669 §4.1); kReverseSub is b - a.
// Cost: eBPF's ALU; the third operand is one more 4-bit field, read through a port that stores have anyway. kReverseSub
// (negation when b is 0) swaps the inputs of the subtractor.
enum class AluOp : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kOr,
  kAnd,
  kLsh,
  kRsh,
  kMod,
  kXor,
  kArsh,
  kSdiv,
  kSmod,
  kReverseSub
};
inline constexpr int kAluOps = 14;
struct Alu {
  AluOp op;
  Width width;
  Reg dst;
  Reg a;
  Operand b;
  bool operator==(const Alu&) const = default;
};
struct Move {  // dst = src; width k32: the low half, zero-extended (an immediate as well)
  Width width;
  Reg dst;
  Operand src;
  bool operator==(const Move&) const = default;
};
// dst = low half of a, with imm as its upper half. With Move it makes any 64-bit constant. Cost: wires.
struct MoveHigh {
  Reg dst;
  Reg a;
  Imm imm;
  bool operator==(const MoveHigh&) const = default;
};
struct SignExtend {  // dst = low `bits` (8, 16, 32) of src, sign-extended to the width (cpu v4's movsx)
  Width width;
  uint8_t bits;
  Reg dst;
  Reg src;
  bool operator==(const SignExtend&) const = default;
};
struct Swap {  // dst = low `bits` (16, 32, 64) of src in the opposite byte order, the rest zero
  uint8_t bits;
  Reg dst;
  Reg src;
  bool operator==(const Swap&) const = default;
};
// One's complement sum for Internet checksums: s = low 32 bits of a + b; s = (s & 0xffff) + (s >> 16), twice; dst = the
// low 16 bits of s, inverted if `invert`. Cost: two 17-bit carry chains behind the adder, about 40 LUT a lane.
struct FoldSum {
  bool invert;
  Reg dst;
  Reg a;
  Operand b;
  bool operator==(const FoldSum&) const = default;
};
// dst = (condition on a and b, 64 bits) ? value : dst. dst is read as well. Cost: the branch comparator's output gates
// the lane's write enable; no port is added, for the value is an immediate or the register in the free field.
struct Select {
  JumpOp op;
  Reg dst;
  Reg a;
  Reg value;
  Imm b;  // 16 bits, sign-extended
  bool operator==(const Select&) const = default;
};

// Where an address comes from, or a memory operand's base.
enum class Space : uint8_t {
  kRegister,     // a base register (memory operands only): the bytes at register + offset, in whatever memory
  kPacket,       // data
  kPacketEnd,    // data_end (Address only)
  kPacketMeta,   // data_meta (Address only)
  kPacketBytes,  // data_end - data, a number (Address only)
  kStack,        // lowest byte of the stack: offsets 0..511; eBPF's r10 is 512
  kContext,      // struct xdp_md
  kMapValue,     // first value of an array map (global data)
  kMap,          // the map itself (Address only; what helpers take as a map)
};
inline constexpr int kSpaces = 9;
// dst = base + offset. Cost: an input of the write-back multiplexer for each base register of the packet selector.
struct Address {
  Space space;
  Reg dst;
  MapIndex map;  // kMapValue, kMap; else 0
  Imm offset;
  bool operator==(const Address&) const = default;
};

// A memory operand. Spaces kRegister, kPacket, kStack, kContext, kMapValue. Cost of the forms without a base register:
// the offset goes to the memory's port past the adder, which shortens the path; kPacket adds `data` there, as the
// packet selector does for every access.
struct Memory {
  Space space;
  Reg base;        // kRegister; else 0
  MapIndex map;    // kMapValue; else 0
  uint8_t bytes;   // 1, 2, 4, 6, 8 (6: the paper's extension)
  int16_t offset;  // unsigned (0..65535 as its bits) for every space but kRegister
  bool operator==(const Memory&) const = default;
};
constexpr uint32_t unsigned_offset(const Memory& memory) { return static_cast<uint16_t>(memory.offset); }

// dst = the bytes, zero- or sign-extended; big_endian reads them in network order (cost: the port's byte rotation
// already permutes bytes, the order is one more select line). A load outside its memory is a fault, which the model
// reports and which ends the program with XDP_ABORTED; a `speculative` one gives 0 instead (cost: an AND with "hit").
// Reading packet bytes that have not arrived holds the row.
struct Load {
  Reg dst;
  Memory from;
  bool sign_extend;
  bool big_endian;
  bool speculative;
  bool operator==(const Load&) const = default;
};
struct Store {  // the low bytes of src; big_endian: in network order (register source only)
  Memory to;
  Operand src;
  bool big_endian;
  bool operator==(const Store&) const = default;
};
// memory += src, 4 or 8 bytes. ID fetches the bytes, the lane's own ALU adds, commit stores: no adder is added, only
// the path from the fetched bytes to the ALU. One row, so it is atomic towards every other row.
struct AddMemory {
  Memory to;
  Operand src;
  bool operator==(const AddMemory&) const = default;
};
// eBPF's atomics on 4 or 8 bytes: memory op= src, dst = the old value if `fetch`; kXchg stores src; kCmpxchg stores src
// if memory equals `expected`. As AddMemory in hardware. kLoadAcquire and kStoreRelease are plain Load and Store here.
struct Atomic {
  AtomicOp op;
  bool fetch;
  Memory to;  // kRegister
  Reg src;
  Reg dst;       // fetch; else 0
  Reg expected;  // kCmpxchg; else 0
  bool operator==(const Atomic&) const = default;
};

struct Branch {  // if a op b goto target
  JumpOp op;
  Width width;
  Reg a;
  Operand b;
  Row target;
  bool operator==(const Branch&) const = default;
};
// The bounds check in one operation: goto target if the packet holds fewer than `bytes` bytes from data (or, with
// `at_least`, if it holds as many). The target is the program's own failing branch, so nothing is lost against the
// checks it replaces. Cost: a comparator of the length register, 16 bits, a lane.
struct BranchPacket {
  bool at_least;
  uint32_t bytes;
  Row target;
  bool operator==(const BranchPacket&) const = default;
};
struct Goto {
  Row target;
  bool operator==(const Goto&) const = default;
};

// Calls a helper with the arguments of a row of the call table (image.hpp). At most one a row. dst = its result, if
// has_result. Cost: the table is 256 x 176 bits of LUT memory read in ID; it replaces the moves into r1..r5.
struct Call {
  uint16_t site;
  bool has_result;
  Reg dst;  // 0 without result
  bool operator==(const Call&) const = default;
};
// Calls and ends the program with the result as verdict (low 32 bits), as `return bpf_redirect_map(…)` does. Cost: the
// helper's result bus also reaches the verdict register.
struct CallExit {
  uint16_t site;
  bool operator==(const CallExit&) const = default;
};
struct Exit {  // the paper's parametrised exit; seen in IF
  uint32_t verdict;
  bool operator==(const Exit&) const = default;
};
struct ExitRegister {  // low 32 bits of src
  Reg src;
  bool operator==(const ExitRegister&) const = default;
};

using Op = std::variant<Nop, Alu, Move, MoveHigh, SignExtend, Swap, FoldSum, Select, Address, Load, Store, AddMemory,
                        Atomic, Branch, BranchPacket, Goto, Call, CallExit, Exit, ExitRegister>;

constexpr bool is_nop(const Op& op) { return std::holds_alternative<Nop>(op); }
constexpr bool is_call(const Op& op) {
  return std::holds_alternative<Call>(op) || std::holds_alternative<CallExit>(op);
}
// Row that the operation may go to, or -1.
int64_t branch_target(const Op& op);
void set_branch_target(Op& op, Row target);
// Register that the operation writes, or -1.
int written_register(const Op& op);
// Memory operand, or null.
const Memory* memory_of(const Op& op);
// Bit r: reads register r (calls read through their call site, which is not seen here).
uint32_t read_registers(const Op& op);
// Ends the program whenever reached, or always goes elsewhere: nothing in a higher lane or the next row is reached.
bool ends_row(const Op& op);

}  // namespace xnic::arch::hxdp
