// SPDX-License-Identifier: Apache-2.0
// The words of the kernel's text form, shared by print.cpp and assemble.cpp so that each is the other's inverse.
#pragma once

#include <string_view>
#include <utility>

#include "arch/ebpf/instruction.hpp"

namespace xnic::arch::ebpf::text {

inline constexpr std::pair<BinaryOp, std::string_view> kBinaryWords[] = {
    {BinaryOp::kAdd, "+="},   {BinaryOp::kSub, "-="},   {BinaryOp::kMul, "*="},  {BinaryOp::kDiv, "/="},
    {BinaryOp::kOr, "|="},    {BinaryOp::kAnd, "&="},   {BinaryOp::kLsh, "<<="}, {BinaryOp::kRsh, ">>="},
    {BinaryOp::kMod, "%="},   {BinaryOp::kXor, "^="},   {BinaryOp::kMov, "="},   {BinaryOp::kArsh, "s>>="},
    {BinaryOp::kSdiv, "s/="}, {BinaryOp::kSmod, "s%="},
};
inline constexpr std::pair<JumpOp, std::string_view> kJumpWords[] = {
    {JumpOp::kEq, "=="}, {JumpOp::kGt, ">"},   {JumpOp::kGe, ">="},   {JumpOp::kSet, "&"},
    {JumpOp::kNe, "!="}, {JumpOp::kSgt, "s>"}, {JumpOp::kSge, "s>="}, {JumpOp::kLt, "<"},
    {JumpOp::kLe, "<="}, {JumpOp::kSlt, "s<"}, {JumpOp::kSle, "s<="},
};
inline constexpr std::pair<Size, std::string_view> kSizeWords[] = {
    {Size::k1, "u8"}, {Size::k2, "u16"}, {Size::k4, "u32"}, {Size::k8, "u64"}};
inline constexpr std::pair<Size, std::string_view> kSignedSizeWords[] = {
    {Size::k1, "s8"}, {Size::k2, "s16"}, {Size::k4, "s32"}};
inline constexpr std::pair<SwapKind, std::string_view> kSwapWords[] = {
    {SwapKind::kToLe, "le"}, {SwapKind::kToBe, "be"}, {SwapKind::kBswap, "bswap"}};
// Read-modify-write operations: the form without fetch, and the name of the form with it.
struct AtomicWords {
  AtomicOp op;
  std::string_view assignment;
  std::string_view name;
};
inline constexpr AtomicWords kAtomicWords[] = {
    {AtomicOp::kAdd, "+=", "add"},
    {AtomicOp::kOr, "|=", "or"},
    {AtomicOp::kAnd, "&=", "and"},
    {AtomicOp::kXor, "^=", "xor"},
};

// The word of `value`. Pre: the table has it.
template <class Value, size_t n>
constexpr std::string_view word(const std::pair<Value, std::string_view> (&table)[n], Value value) {
  for (const auto& [known, text] : table) {
    if (known == value) return text;
  }
  return "?";
}

}  // namespace xnic::arch::ebpf::text
