// SPDX-License-Identifier: Apache-2.0
// The eBPF instruction set (RFC 9669, cpu v1 to v4) as values: one small struct per kind of instruction, collected in
// one variant. A program is a vector of them indexed by *slot* (the 8-byte unit of RFC 9669 §3), so that jump targets,
// line info, the kernel's logs and ours all use the same numbers; the second slot of a 16-byte instruction holds a
// WideTail.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

namespace xnic::arch::ebpf {

// The wire form of one slot, RFC 9669 §3.1, little-endian hosts.
struct RawInsn {
  uint8_t opcode;
  uint8_t dst_reg : 4;
  uint8_t src_reg : 4;
  int16_t offset;
  int32_t imm;
  bool operator==(const RawInsn&) const = default;
};
static_assert(sizeof(RawInsn) == 8);

enum class Reg : uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7, kR8, kR9, kR10 };
inline constexpr int kRegCount = 11;
inline constexpr Reg kFramePointer = Reg::kR10;
constexpr int index(Reg reg) { return static_cast<int>(reg); }

using Slot = uint32_t;      // position in a program, in 8-byte slots
using MapIndex = uint32_t;  // position in Program::maps

enum class Width : uint8_t { k32 = 32, k64 = 64 };
enum class Size : uint8_t { k1 = 1, k2 = 2, k4 = 4, k8 = 8 };  // of a memory access, in bytes
constexpr unsigned bytes(Size size) { return static_cast<unsigned>(size); }

// Right-hand side: a register, or an immediate that is sign-extended to 64 bits when the width is 64.
using Imm = int32_t;
using Operand = std::variant<Reg, Imm>;

enum class BinaryOp : uint8_t { kAdd, kSub, kMul, kDiv, kOr, kAnd, kLsh, kRsh, kMod, kXor, kMov, kArsh, kSdiv, kSmod };
struct Binary {  // dst = dst op src; kMov: dst = src. Width k32 zeroes the upper half. RFC 9669 §4.1
  BinaryOp op;
  Width width;
  Reg dst;
  Operand src;
  bool operator==(const Binary&) const = default;
};
struct MovSx {  // dst = sign_extend(low `bits` of src); bits 8, 16, 32 (32 with Width::k64 only)
  Width width;
  uint8_t bits;
  Reg dst;
  Reg src;
  bool operator==(const MovSx&) const = default;
};
struct Neg {
  Width width;
  Reg dst;
  bool operator==(const Neg&) const = default;
};
enum class SwapKind : uint8_t { kToLe, kToBe, kBswap };
struct Swap {  // byte order of the low `bits` (16, 32, 64) of dst; the rest becomes zero. RFC 9669 §4.2
  SwapKind kind;
  uint8_t bits;
  Reg dst;
  bool operator==(const Swap&) const = default;
};

// The 16-byte instructions, RFC 9669 §5.4.
struct LoadImm64 {
  Reg dst;
  uint64_t value;
  bool operator==(const LoadImm64&) const = default;
};
struct LoadMap {  // dst = the map itself
  Reg dst;
  MapIndex map;
  bool operator==(const LoadMap&) const = default;
};
struct LoadMapValue {  // dst = address of the first value of the (array) map, plus offset
  Reg dst;
  MapIndex map;
  uint32_t offset;
  bool operator==(const LoadMapValue&) const = default;
};
struct LoadFunction {  // dst = a subprogram, to be handed to a helper as its callback
  Reg dst;
  Slot target;
  bool operator==(const LoadFunction&) const = default;
};
struct LoadKernelVariable {  // dst = address of a kernel variable, by BTF id (platform variable of RFC 9669)
  Reg dst;
  uint32_t btf_id;
  uint32_t btf_fd;
  bool operator==(const LoadKernelVariable&) const = default;
};
struct WideTail {  // second slot of a 16-byte instruction; never executed
  bool operator==(const WideTail&) const = default;
};

struct LoadPacket {  // legacy BPF_ABS / BPF_IND: r0 = network-order value of the packet; fails -> exit with 0. RFC 9669
                     // §5.5
  Size size;         // k1, k2, k4
  bool indirect;     // adds src
  Reg src;
  Imm offset;
  bool operator==(const LoadPacket&) const = default;
};
struct Load {
  Size size;
  bool sign_extend;  // cpu v4 ldsx
  Reg dst;
  Reg src;
  int16_t offset;
  bool operator==(const Load&) const = default;
};
struct Store {
  Size size;
  Reg dst;
  int16_t offset;
  Operand src;
  bool operator==(const Store&) const = default;
};
enum class AtomicOp : uint8_t { kAdd, kOr, kAnd, kXor, kXchg, kCmpxchg, kLoadAcquire, kStoreRelease };
struct Atomic {  // on [dst + offset]; load_acquire reads [src + offset] into dst. RFC 9669 §5.3, kernel 6.15 for the
                 // last two
  AtomicOp op;
  bool fetch;  // src (r0 for cmpxchg) receives the old value; always set for kXchg and kCmpxchg
  Size size;   // k4, k8; k1..k8 for load_acquire and store_release
  Reg dst;
  Reg src;
  int16_t offset;
  bool operator==(const Atomic&) const = default;
};

enum class JumpOp : uint8_t { kEq, kGt, kGe, kSet, kNe, kSgt, kSge, kLt, kLe, kSlt, kSle };
struct Jump {
  JumpOp op;
  Width width;
  Reg dst;
  Operand src;
  Slot target;  // taken; otherwise the next slot
  bool operator==(const Jump&) const = default;
};
struct Goto {
  bool wide;  // cpu v4 gotol, 32-bit displacement
  Slot target;
  bool operator==(const Goto&) const = default;
};
struct MayGoto {  // kernel 6.9 BPF_JCOND: jumps to target once a hidden budget is used up, else falls through
  Slot target;
  bool operator==(const MayGoto&) const = default;
};

struct CallHelper {
  uint32_t id;
  bool operator==(const CallHelper&) const = default;
};
struct CallLocal {
  Slot target;
  bool operator==(const CallLocal&) const = default;
};
struct CallKernel {  // kfunc, by BTF id; btf_fd_index selects a module's BTF (0 = vmlinux)
  uint32_t btf_id;
  int16_t btf_fd_index;
  bool operator==(const CallKernel&) const = default;
};
struct CallRegister {  // callx: helper number in a register; conformance suites only, no verifier accepts it
  Reg reg;
  bool operator==(const CallRegister&) const = default;
};
struct Exit {
  bool operator==(const Exit&) const = default;
};

using Instruction = std::variant<Binary, MovSx, Neg, Swap, LoadImm64, LoadMap, LoadMapValue, LoadFunction,
                                 LoadKernelVariable, WideTail, LoadPacket, Load, Store, Atomic, Jump, Goto, MayGoto,
                                 CallHelper, CallLocal, CallKernel, CallRegister, Exit>;

// Slots that the instruction takes: 2 for the wide loads, else 1.
constexpr bool is_wide(const Instruction& insn) {
  return std::holds_alternative<LoadImm64>(insn) || std::holds_alternative<LoadMap>(insn) ||
         std::holds_alternative<LoadMapValue>(insn) || std::holds_alternative<LoadFunction>(insn) ||
         std::holds_alternative<LoadKernelVariable>(insn);
}

// Visitor from lambdas: std::visit(Overloaded{[](const Load&){…}, [](const auto&){…}}, insn).
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

}  // namespace xnic::arch::ebpf
