// SPDX-License-Identifier: Apache-2.0
// Arithmetic of RFC 9669 §4.1 and §4.2. LLVM leaves shifts by the width, division by zero and the overflow of signed
// division undefined; the forms here never get there.
#include <llvm/IR/Intrinsics.h>

#include "compile/target/native/lowering.hpp"

namespace xnic::compile::target::native {

using namespace ebpf;

// a / 0 = 0, a % 0 = a; division by -1 is a negation, whose remainder is 0.
Lowering::Value* Lowering::divide(Value* a, Value* b, bool remainder, bool is_signed) {
  auto* type = a->getType();
  auto* zero = llvm::ConstantInt::get(type, 0);
  auto* one = llvm::ConstantInt::get(type, 1);
  Value* by_zero = b_.CreateICmpEQ(b, zero);
  Value* safe = b_.CreateSelect(by_zero, one, b);
  Value* result = nullptr;
  if (!is_signed) {
    result = remainder ? b_.CreateURem(a, safe) : b_.CreateUDiv(a, safe);
  } else {
    Value* by_minus_one = b_.CreateICmpEQ(b, llvm::ConstantInt::getSigned(type, -1));
    safe = b_.CreateSelect(by_minus_one, one, safe);
    result = remainder ? b_.CreateSRem(a, safe) : b_.CreateSDiv(a, safe);
    result = b_.CreateSelect(by_minus_one, remainder ? zero : b_.CreateNeg(a), result);
  }
  return b_.CreateSelect(by_zero, remainder ? a : zero, result);
}

Lowering::Value* Lowering::shift(BinaryOp op, Value* a, Value* b) {
  b = b_.CreateAnd(b, a->getType()->getIntegerBitWidth() - 1);
  if (op == BinaryOp::kLsh) return b_.CreateShl(a, b);
  return op == BinaryOp::kRsh ? b_.CreateLShr(a, b) : b_.CreateAShr(a, b);
}

base::Result<void> Lowering::translate(const Binary& insn) {
  Value* b = operand(insn.src, insn.width);
  if (insn.op == BinaryOp::kMov) return set(insn.dst, b), base::Result<void>{};
  Value* a = low(get(insn.dst), insn.width);
  Value* result = nullptr;
  switch (insn.op) {
    case BinaryOp::kAdd:
      result = b_.CreateAdd(a, b);
      break;
    case BinaryOp::kSub:
      result = b_.CreateSub(a, b);
      break;
    case BinaryOp::kMul:
      result = b_.CreateMul(a, b);
      break;
    case BinaryOp::kOr:
      result = b_.CreateOr(a, b);
      break;
    case BinaryOp::kAnd:
      result = b_.CreateAnd(a, b);
      break;
    case BinaryOp::kXor:
      result = b_.CreateXor(a, b);
      break;
    case BinaryOp::kLsh:
    case BinaryOp::kRsh:
    case BinaryOp::kArsh:
      result = shift(insn.op, a, b);
      break;
    case BinaryOp::kDiv:
    case BinaryOp::kMod:
      result = divide(a, b, insn.op == BinaryOp::kMod, false);
      break;
    case BinaryOp::kSdiv:
    case BinaryOp::kSmod:
      result = divide(a, b, insn.op == BinaryOp::kSmod, true);
      break;
    case BinaryOp::kMov:
      break;
  }
  set(insn.dst, result);
  return {};
}

base::Result<void> Lowering::translate(const MovSx& insn) {
  auto* wide = bits(insn.width == Width::k64 ? 64 : 32);
  set(insn.dst, b_.CreateSExt(b_.CreateTrunc(get(insn.src), bits(insn.bits)), wide));
  return {};
}

base::Result<void> Lowering::translate(const Neg& insn) {
  set(insn.dst, b_.CreateNeg(low(get(insn.dst), insn.width)));
  return {};
}

// The host is little-endian: to_le only truncates.
base::Result<void> Lowering::translate(const Swap& insn) {
  Value* value = b_.CreateTrunc(get(insn.dst), bits(insn.bits));
  if (insn.kind != SwapKind::kToLe) value = b_.CreateUnaryIntrinsic(llvm::Intrinsic::bswap, value);
  set(insn.dst, value);
  return {};
}

}  // namespace xnic::compile::target::native
