// SPDX-License-Identifier: Apache-2.0
// The opcode byte of RFC 9669 §3 and the special values of its other fields, shared by decode.cpp and encode.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf::opcode {

// Low three bits: instruction class.
enum Class : uint8_t { kLd, kLdx, kSt, kStx, kAlu, kJmp, kJmp32, kAlu64 };
constexpr Class class_of(uint8_t code) { return static_cast<Class>(code & 7); }

// Arithmetic and jumps: bit 3 is the source, the upper four bits the operation.
inline constexpr uint8_t kSourceReg = 0x08;
constexpr uint8_t operation_of(uint8_t code) { return code >> 4; }
enum AluCode : uint8_t { kDivCode = 0x3, kNegCode = 0x8, kModCode = 0x9, kMovCode = 0xb, kEndCode = 0xd };
enum JumpCode : uint8_t { kJaCode = 0x0, kCallCode = 0x8, kExitCode = 0x9, kCondCode = 0xe };

// Loads and stores: bits 3 and 4 are the size, the upper three bits the mode.
constexpr uint8_t mode_of(uint8_t code) { return code & 0xe0; }
enum Mode : uint8_t { kImm = 0x00, kAbs = 0x20, kInd = 0x40, kMem = 0x60, kMemSx = 0x80, kAtomic = 0xc0 };
inline constexpr std::array<Size, 4> kSizes = {Size::k4, Size::k2, Size::k1, Size::k8};
constexpr Size size_of(uint8_t code) { return kSizes[(code >> 3) & 3]; }
constexpr uint8_t size_bits(Size size) {
  return size == Size::k4 ? 0x00 : size == Size::k2 ? 0x08 : size == Size::k1 ? 0x10 : 0x18;
}

inline constexpr uint8_t kWideLoad = 0x18;   // lddw
inline constexpr uint8_t kCallx = 0x8d;      // call through a register, LLVM's encoding
inline constexpr int16_t kSignedDivide = 1;  // offset of sdiv and smod

// src_reg of a wide load, RFC 9669 §5.4.
enum WideSource : uint8_t {
  kWideValue,
  kWideMapFd,
  kWideMapFdValue,
  kWideVariable,
  kWideFunction,
  kWideMapIndex,
  kWideMapIndexValue,
};
// src_reg of a call, RFC 9669 §4.3.
enum CallSource : uint8_t { kCallHelper, kCallLocal, kCallKernel };

// imm of an atomic, RFC 9669 §5.3; the last two are Linux 6.15's.
inline constexpr int32_t kFetch = 0x01;
inline constexpr std::pair<int32_t, AtomicOp> kAtomicCodes[] = {
    {0x00, AtomicOp::kAdd},          {0x40, AtomicOp::kOr},
    {0x50, AtomicOp::kAnd},          {0xa0, AtomicOp::kXor},
    {0xe1, AtomicOp::kXchg},         {0xf1, AtomicOp::kCmpxchg},
    {0x100, AtomicOp::kLoadAcquire}, {0x110, AtomicOp::kStoreRelease},
};
// Read-modify-write operations that exist with and without fetch.
constexpr bool has_plain_form(AtomicOp op) { return op <= AtomicOp::kXor; }
constexpr bool is_ordered_access(AtomicOp op) { return op >= AtomicOp::kLoadAcquire; }

// Operations by code. kSdiv and kSmod share the codes of kDiv and kMod, which a search by code must find first; neg and
// end have their own types.
inline constexpr std::pair<uint8_t, BinaryOp> kBinaryCodes[] = {
    {0x0, BinaryOp::kAdd},  {0x1, BinaryOp::kSub},  {0x2, BinaryOp::kMul}, {0x3, BinaryOp::kDiv},
    {0x4, BinaryOp::kOr},   {0x5, BinaryOp::kAnd},  {0x6, BinaryOp::kLsh}, {0x7, BinaryOp::kRsh},
    {0x9, BinaryOp::kMod},  {0xa, BinaryOp::kXor},  {0xb, BinaryOp::kMov}, {0xc, BinaryOp::kArsh},
    {0x3, BinaryOp::kSdiv}, {0x9, BinaryOp::kSmod},
};
inline constexpr std::pair<uint8_t, JumpOp> kJumpCodes[] = {
    {0x1, JumpOp::kEq}, {0x2, JumpOp::kGt},  {0x3, JumpOp::kGe},  {0x4, JumpOp::kSet},
    {0x5, JumpOp::kNe}, {0x6, JumpOp::kSgt}, {0x7, JumpOp::kSge}, {0xa, JumpOp::kLt},
    {0xb, JumpOp::kLe}, {0xc, JumpOp::kSlt}, {0xd, JumpOp::kSle},
};

}  // namespace xnic::arch::ebpf::opcode
