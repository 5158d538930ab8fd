// SPDX-License-Identifier: Apache-2.0
// Loads, stores and atomics (RFC 9669 §5). All accesses may be unaligned. Values of maps are shared with other threads:
// where an access is sure to be aligned it is an unordered atomic, which costs nothing and keeps LLVM from reading
// twice what the program reads once.
#include <llvm/IR/Intrinsics.h>

#include "arch/ebpf/context.hpp"
#include "compile/target/native/lowering.hpp"

namespace xnic::compile::target::native {

using namespace ebpf;
using arch::native::MapUse;

bool Lowering::in_own_stack(Reg base) const {
  if (base == kFramePointer) return true;
  const RegFact* f = fact(base);
  const RegFact* own = fact(kFramePointer);
  return f != nullptr && f->type == RegType::kStack && !f->maybe_null && own->type == RegType::kStack &&
         f->frame == own->frame && f->frame != kAnyFrame;
}

// The address base + offset, built on the object that the facts say it lies in.
Lowering::Value* Lowering::address(Reg base, int64_t offset) {
  const auto at = [&](Value* object, uint64_t distance) {
    return b_.CreateGEP(b_.getInt8Ty(), object, b_.getInt64(distance + uint64_t(offset)));
  };
  const RegFact* f = fact(base);
  if (base == kFramePointer) return at(stack_end_, 0);
  if (in_own_stack(base)) {
    if (f->range.is_constant()) return at(stack_end_, f->range.umin);
    Value* distance = b_.CreateSub(get(base), get(kFramePointer));
    return b_.CreateGEP(b_.getInt8Ty(), stack_end_, b_.CreateAdd(distance, b_.getInt64(uint64_t(offset))));
  }
  if (f != nullptr && !f->maybe_null && f->range.is_constant()) {
    if (f->type == RegType::kPacket) return at(b_.CreateLoad(unit_.pointer(), data_), f->range.umin);
    if (f->type == RegType::kPacketMeta) return at(b_.CreateLoad(unit_.pointer(), meta_), f->range.umin);
    if (f->type == RegType::kMapValue && f->map < unit_.request.maps.size() && unit_.request.maps[f->map].one_value)
      return at(unit_.map_address(f->map, 0), f->range.umin);
  }
  return b_.CreateIntToPtr(b_.CreateAdd(get(base), b_.getInt64(uint64_t(offset))), unit_.pointer());
}

bool Lowering::shared_and_aligned(Reg base, int64_t offset, Size size) const {
  const RegFact* f = fact(base);
  if (f == nullptr || f->type != RegType::kMapValue) return false;
  const uint64_t last = bytes(size) - 1;  // values start at multiples of 8
  return (f->range.bits.mask & last) == 0 && ((f->range.bits.value + uint64_t(offset)) & last) == 0;
}

Lowering::Value* Lowering::extend(Value* value, bool sign_extend) {
  return sign_extend ? b_.CreateSExt(value, b_.getInt64Ty()) : b_.CreateZExt(value, b_.getInt64Ty());
}

Lowering::Value* Lowering::plain_load(Value* at, Size size, bool sign_extend, bool shared) {
  auto* load = b_.CreateAlignedLoad(bits(bytes(size) * 8), at, llvm::Align(shared ? bytes(size) : 1));
  if (shared) load->setAtomic(llvm::AtomicOrdering::Unordered);
  return extend(load, sign_extend);
}

// Packet bounds are full pointers, the rest 32-bit numbers. They stay the same throughout a program that cannot move
// them.
Lowering::Value* Lowering::context_field(uint64_t offset) {
  if (offset % 4 != 0 || offset >= kContextBytes) return b_.getInt64(0);  // inside a field: no verifier accepts it
  const arch::native::PacketField field = unit_.request.packet[offset / 4];
  Value* at = b_.CreateConstGEP1_64(b_.getInt8Ty(), packet_, field.offset);
  auto* load = b_.CreateAlignedLoad(bits(field.bytes * 8), at, llvm::Align(field.bytes));
  const bool bound = offset <= kCtxDataMeta;
  if (!bound || (unit_.request.facts != nullptr && !unit_.request.facts->may_change_packet))
    load->setMetadata(llvm::LLVMContext::MD_invariant_load, llvm::MDNode::get(unit_.context, {}));
  return extend(load, false);
}

// The register may point to the context or elsewhere. The context's address is the run's own.
Lowering::Value* Lowering::maybe_context(Value* at, Size size, bool sign_extend) {
  Value* number = b_.CreatePtrToInt(at, b_.getInt64Ty());
  Value* offset = b_.CreateSub(number, b_.CreatePtrToInt(run_, b_.getInt64Ty()));
  auto* other = llvm::BasicBlock::Create(unit_.context, "memory", function_);
  auto* join = llvm::BasicBlock::Create(unit_.context, "loaded", function_);
  auto* choose = b_.CreateSwitch(offset, other, kContextBytes / 4);
  llvm::SmallVector<std::pair<Value*, llvm::BasicBlock*>, 8> results;
  for (uint32_t field = 0; field < kContextBytes; field += 4) {
    auto* block = llvm::BasicBlock::Create(unit_.context, "context", function_);
    choose->addCase(b_.getInt64(field), block);
    b_.SetInsertPoint(block);
    results.emplace_back(context_field(field), block);
    b_.CreateBr(join);
  }
  b_.SetInsertPoint(other);
  results.emplace_back(plain_load(at, size, sign_extend, false), other);
  b_.CreateBr(join);
  b_.SetInsertPoint(join);
  auto* result = b_.CreatePHI(b_.getInt64Ty(), static_cast<unsigned>(results.size()));
  for (const auto& [value, block] : results) result->addIncoming(value, block);
  return result;
}

// A load from a map that nobody can change any more: from a copy in the image, which LLVM folds when the place is
// known.
Lowering::Value* Lowering::frozen_load(Reg base, int64_t offset, Size size) {
  const RegFact* f = fact(base);
  if (f == nullptr || f->type != RegType::kMapValue || f->maybe_null || f->map >= unit_.request.maps.size())
    return nullptr;
  const MapUse& use = unit_.request.maps[f->map];
  if (use.frozen.empty() || !use.one_value) return nullptr;
  Value* copy = unit_.contents_of(f->map);
  Value* distance = b_.getInt64(f->range.umin);
  if (!f->range.is_constant())
    distance = b_.CreateSub(get(base), b_.CreatePtrToInt(unit_.map_address(f->map, 0), b_.getInt64Ty()));
  Value* at = b_.CreateGEP(b_.getInt8Ty(), copy, b_.CreateAdd(distance, b_.getInt64(uint64_t(offset))));
  return b_.CreateAlignedLoad(bits(bytes(size) * 8), at, llvm::Align(1));
}

base::Result<void> Lowering::translate(const Load& insn) {
  if (insn.size == Size::k8 && insn.sign_extend) return unsupported("a load of 8 bytes has nothing to sign-extend");
  const RegFact* f = fact(insn.src);
  if (f != nullptr && f->type == RegType::kContext && !f->maybe_null && f->range.is_constant()) {
    set(insn.dst, context_field(f->range.umin + uint64_t(int64_t{insn.offset})));
    return {};
  }
  if (Value* frozen = frozen_load(insn.src, insn.offset, insn.size)) {
    set(insn.dst, extend(frozen, insn.sign_extend));
    return {};
  }
  Value* at = address(insn.src, insn.offset);
  const bool unknown = f == nullptr || f->type == RegType::kMixed || f->type == RegType::kUnset ||
                       f->type == RegType::kContext || f->type == RegType::kScalar;
  if (unknown && insn.src != kFramePointer)
    set(insn.dst, maybe_context(at, insn.size, insn.sign_extend));
  else
    set(insn.dst, plain_load(at, insn.size, insn.sign_extend, shared_and_aligned(insn.src, insn.offset, insn.size)));
  return {};
}

base::Result<void> Lowering::translate(const Store& insn) {
  Value* value = b_.CreateTrunc(operand(insn.src, Width::k64), bits(bytes(insn.size) * 8));
  const bool shared = shared_and_aligned(insn.dst, insn.offset, insn.size);
  auto* store =
      b_.CreateAlignedStore(value, address(insn.dst, insn.offset), llvm::Align(shared ? bytes(insn.size) : 1));
  if (shared) store->setAtomic(llvm::AtomicOrdering::Unordered);
  return {};
}

base::Result<void> Lowering::translate(const Atomic& insn) {
  using llvm::AtomicOrdering;
  using llvm::AtomicRMWInst;
  auto* type = bits(bytes(insn.size) * 8);
  const llvm::Align align(bytes(insn.size));
  if (insn.op == AtomicOp::kLoadAcquire) {
    auto* load = b_.CreateAlignedLoad(type, address(insn.src, insn.offset), align);
    load->setAtomic(AtomicOrdering::Acquire);
    set(insn.dst, load);
    return {};
  }
  Value* at = address(insn.dst, insn.offset);
  Value* value = b_.CreateTrunc(get(insn.src), type);
  if (insn.op == AtomicOp::kStoreRelease) {
    b_.CreateAlignedStore(value, at, align)->setAtomic(AtomicOrdering::Release);
    return {};
  }
  if (insn.size != Size::k4 && insn.size != Size::k8) return unsupported("this width of atomic does not exist");
  constexpr AtomicOrdering kOrder = AtomicOrdering::SequentiallyConsistent;
  if (insn.op == AtomicOp::kCmpxchg) {
    Value* expected = b_.CreateTrunc(get(Reg::kR0), type);
    set(Reg::kR0, b_.CreateExtractValue(b_.CreateAtomicCmpXchg(at, expected, value, align, kOrder, kOrder), 0));
    return {};
  }
  AtomicRMWInst::BinOp op = AtomicRMWInst::Xchg;
  if (insn.op == AtomicOp::kAdd) op = AtomicRMWInst::Add;
  if (insn.op == AtomicOp::kOr) op = AtomicRMWInst::Or;
  if (insn.op == AtomicOp::kAnd) op = AtomicRMWInst::And;
  if (insn.op == AtomicOp::kXor) op = AtomicRMWInst::Xor;
  Value* old = b_.CreateAtomicRMW(op, at, value, align, kOrder);
  if (insn.fetch) set(insn.src, old);
  return {};
}

// Legacy packet access, RFC 9669 §5.5: network order, from data; what does not fit ends the program with 0. No verified
// XDP program has it; without facts it stands in the entry function, whose end is the program's.
base::Result<void> Lowering::translate(const LoadPacket& insn) {
  if (first_ != 0) return unsupported("a legacy packet load in a subprogram");
  const uint64_t size = bytes(insn.size);
  Value* offset = b_.getInt32(uint32_t(insn.offset));
  if (insn.indirect) offset = b_.CreateAdd(offset, low(get(insn.src), Width::k32));
  Value* data = b_.CreateLoad(unit_.pointer(), data_);
  Value* end = b_.CreateLoad(unit_.pointer(), end_);
  Value* length = b_.CreateSub(b_.CreatePtrToInt(end, b_.getInt64Ty()), b_.CreatePtrToInt(data, b_.getInt64Ty()));
  Value* wide = b_.CreateZExt(offset, b_.getInt64Ty());
  Value* fits = b_.CreateICmpULE(b_.CreateAdd(wide, b_.getInt64(size)), length);
  auto* inside = llvm::BasicBlock::Create(unit_.context, "inside", function_);
  auto* outside = llvm::BasicBlock::Create(unit_.context, "outside", function_);
  b_.CreateCondBr(fits, inside, outside);
  b_.SetInsertPoint(outside);
  leave(b_.getInt64(0));
  b_.SetInsertPoint(inside);
  Value* value =
      b_.CreateAlignedLoad(bits(unsigned(size) * 8), b_.CreateGEP(b_.getInt8Ty(), data, wide), llvm::Align(1));
  if (size > 1) value = b_.CreateUnaryIntrinsic(llvm::Intrinsic::bswap, value);
  set(Reg::kR0, value);
  return {};
}

base::Result<void> Lowering::translate(const LoadImm64& insn) {
  set(insn.dst, b_.getInt64(insn.value));
  return {};
}

base::Result<void> Lowering::translate(const LoadMap& insn) {
  if (insn.map >= unit_.request.maps.size()) return unsupported("there is no such map");
  set(insn.dst, b_.CreatePtrToInt(unit_.map_itself(insn.map), b_.getInt64Ty()));
  return {};
}

base::Result<void> Lowering::translate(const LoadMapValue& insn) {
  if (insn.map >= unit_.request.maps.size()) return unsupported("there is no such map");
  if (!unit_.request.maps[insn.map].fixed_values) return unsupported("the map's values have no fixed address");
  Value* at = b_.CreateConstGEP1_64(b_.getInt8Ty(), unit_.map_address(insn.map, 0), insn.offset);
  set(insn.dst, b_.CreatePtrToInt(at, b_.getInt64Ty()));
  return {};
}

}  // namespace xnic::compile::target::native
