// SPDX-License-Identifier: Apache-2.0
// Jumps, calls and exit (RFC 9669 §4.3). A helper is a call into the engine's runtime; where the runtime has a form for
// the very map that the call names, that one is called, with all that is known of the map as constants.
#include <fmt/format.h>

#include <algorithm>

#include "compile/target/native/lowering.hpp"

namespace xnic::compile::target::native {

using namespace ebpf;

namespace {

constexpr HelperId kTailCall = 12;

const HelperSignature* signature_of(HelperId id) {
  if (const HelperSignature* helper = find_helper(id)) return helper;
  for (const char* name : {"bpf_dynptr_from_xdp", "bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"}) {
    const HelperSignature* function = find_kernel_function(name);
    if (function != nullptr && function->id == id) return function;
  }
  return nullptr;
}

// Helpers that neither keep maps nor lend memory, on whatever map.
bool keeps_nothing(HelperId id) {
  constexpr HelperId kList[] = {2,   3,   5,   7,   8,   23,  28,  42,  44,  51,  54,  65, 69,
                                110, 125, 160, 163, 188, 189, 190, 204, 205, 206, 207, 208};
  return std::find(std::begin(kList), std::end(kList), id) != std::end(kList);
}

bool calls_back(const HelperSignature& signature) {
  for (const ArgType type : signature.args)
    if (type == ArgType::kCallback) return true;
  return false;
}

llvm::CmpInst::Predicate predicate(JumpOp op) {
  using llvm::CmpInst;
  switch (op) {
    case JumpOp::kEq:
      return CmpInst::ICMP_EQ;
    case JumpOp::kGt:
      return CmpInst::ICMP_UGT;
    case JumpOp::kGe:
      return CmpInst::ICMP_UGE;
    case JumpOp::kSet:
    case JumpOp::kNe:
      return CmpInst::ICMP_NE;
    case JumpOp::kSgt:
      return CmpInst::ICMP_SGT;
    case JumpOp::kSge:
      return CmpInst::ICMP_SGE;
    case JumpOp::kLt:
      return CmpInst::ICMP_ULT;
    case JumpOp::kLe:
      return CmpInst::ICMP_ULE;
    case JumpOp::kSlt:
      return CmpInst::ICMP_SLT;
    case JumpOp::kSle:
      return CmpInst::ICMP_SLE;
  }
  return CmpInst::ICMP_EQ;
}

}  // namespace

// A way that the verifier never saw taken is none: so checks that it proved vanish.
void Lowering::branch(Value* condition, Slot taken, Slot not_taken) {
  if (!reached(taken)) {
    b_.CreateBr(block_at(not_taken));
  } else if (!reached(not_taken)) {
    b_.CreateBr(block_at(taken));
  } else {
    b_.CreateCondBr(condition, block_at(taken), block_at(not_taken));
  }
}

base::Result<void> Lowering::translate(const Jump& insn) {
  Value* a = low(get(insn.dst), insn.width);
  Value* b = operand(insn.src, insn.width);
  if (insn.op == JumpOp::kSet) {
    a = b_.CreateAnd(a, b);
    b = llvm::ConstantInt::get(a->getType(), 0);
  }
  branch(b_.CreateICmp(predicate(insn.op), a, b), insn.target, slot_ + 1);
  return {};
}

base::Result<void> Lowering::translate(const Goto& insn) {
  b_.CreateBr(block_at(insn.target));
  return {};
}

base::Result<void> Lowering::translate(const MayGoto& insn) {
  Value* left = b_.CreateLoad(b_.getInt32Ty(), may_goto_);
  auto* on = llvm::BasicBlock::Create(unit_.context, "on", function_);
  b_.CreateCondBr(b_.CreateICmpEQ(left, b_.getInt32(0)), block_at(insn.target), on);
  b_.SetInsertPoint(on);
  b_.CreateStore(b_.CreateSub(left, b_.getInt32(1)), may_goto_);
  b_.CreateBr(block_at(slot_ + 1));
  return {};
}

base::Result<void> Lowering::translate(const Exit&) {
  leave(get(Reg::kR0));
  return {};
}

// A register as an argument: a pointer into a known object is written as such, for LLVM's sake.
Lowering::Value* Lowering::argument(Reg reg) {
  const RegFact* f = fact(reg);
  if (f != nullptr && f->type == RegType::kScalar && f->range.is_constant()) return b_.getInt64(f->range.umin);
  const bool known = f != nullptr && !f->maybe_null &&
                     (f->type == RegType::kStack || f->type == RegType::kPacket || f->type == RegType::kMapValue);
  return known ? b_.CreatePtrToInt(address(reg, 0), b_.getInt64Ty()) : get(reg);
}

Lowering::Value* Lowering::call_helper(HelperId id, const HelperSignature* signature) {
  llvm::SmallVector<Value*, 6> arguments{run_};
  for (unsigned i = 0; i < 5; ++i) {
    const bool used = signature == nullptr || signature->args[i] != ArgType::kNone;
    arguments.push_back(used ? argument(static_cast<Reg>(i + 1)) : llvm::PoisonValue::get(b_.getInt64Ty()));
  }
  return b_.CreateCall(unit_.helper(id), arguments);
}

// A call on one map that the runtime has a form for.
bool Lowering::special_call(const CallHelper& insn) {
  const RegFact* f = fact(Reg::kR1);
  if (f == nullptr || f->type != RegType::kMap || f->map >= unit_.request.maps.size()) return false;
  const auto& special = unit_.request.maps[f->map].special;
  const auto found = special.find(insn.id);
  if (found == special.end()) return false;
  llvm::SmallVector<Value*, 12> arguments{run_};
  for (uint32_t i = 0; i < found->second.arguments; ++i) arguments.push_back(argument(static_cast<Reg>(i + 2)));
  for (const arch::native::Known& known : found->second.known) {
    using Kind = arch::native::Known::Kind;
    if (known.kind == Kind::kConstant) {
      arguments.push_back(b_.getInt64(known.value));
      continue;
    }
    llvm::Constant* at = known.kind == Kind::kMap ? unit_.map_itself(f->map)
                                                  : unit_.map_address(f->map, static_cast<uint32_t>(known.value));
    arguments.push_back(b_.CreatePtrToInt(at, b_.getInt64Ty()));
  }
  llvm::SmallVector<llvm::Type*, 12> types;
  for (Value* argument : arguments) types.push_back(argument->getType());
  auto* type = llvm::FunctionType::get(b_.getInt64Ty(), types, false);
  set(Reg::kR0, b_.CreateCall(unit_.runtime(found->second.function, type), arguments));
  return true;
}

base::Result<void> Lowering::translate(const CallHelper& insn) {
  constexpr HelperId kRedirect = 23, kRedirectMap = 51;
  if (unit_.request.flat) {
    for (const auto& flat : *unit_.request.flat)
      if (flat.helper == insn.id) return flat_call(flat), base::Result<void>{};
    return unsupported(fmt::format("there is no helper {}", insn.id));
  }
  if (insn.id == kTailCall) return tail_call();
  if (insn.id == kRedirect || insn.id == kRedirectMap) unit_.needs |= arch::native::kNeedsRedirect;
  if (special_call(insn)) return {};
  if (!keeps_nothing(insn.id)) unit_.needs |= arch::native::kNeedsKeeping;
  const HelperSignature* signature = signature_of(insn.id);
  if (signature == nullptr) return unsupported(fmt::format("there is no helper {}", insn.id));
  set(Reg::kR0, call_helper(insn.id, signature));
  if (signature->changes_packet || calls_back(*signature)) read_bounds();
  return {};
}

// The engine runs the other program, if there is one, and its result is this function's.
base::Result<void> Lowering::tail_call() {
  unit_.needs = arch::native::kNeedsRedirect | arch::native::kNeedsTailCalls | arch::native::kNeedsKeeping;
  llvm::IRBuilder<> at_entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  auto* result = at_entry.CreateAlloca(b_.getInt64Ty(), nullptr, "tail_result");
  auto* type = llvm::FunctionType::get(
      b_.getInt32Ty(), {unit_.pointer(), unit_.pointer(), b_.getInt64Ty(), b_.getInt64Ty(), unit_.pointer()}, false);
  Value* ran = b_.CreateCall(unit_.runtime(kTailCallName, type), {run_, packet_, get(Reg::kR2), get(Reg::kR3), result});
  auto* done = llvm::BasicBlock::Create(unit_.context, "tail", function_);
  auto* failed = llvm::BasicBlock::Create(unit_.context, "no_tail", function_);
  b_.CreateCondBr(b_.CreateICmpNE(ran, b_.getInt32(0)), done, failed);
  b_.SetInsertPoint(done);
  leave(b_.CreateLoad(b_.getInt64Ty(), result));
  b_.SetInsertPoint(failed);
  set(Reg::kR0, b_.CreateLoad(b_.getInt64Ty(), result));
  return {};
}

base::Result<void> Lowering::translate(const CallLocal& insn) {
  const auto callee = unit_.functions.find(insn.target);
  if (callee == unit_.functions.end()) return unsupported("a call into the middle of a subprogram");
  llvm::SmallVector<Value*, 7> arguments{run_, packet_};
  for (unsigned i = 1; i <= 5; ++i) arguments.push_back(get(static_cast<Reg>(i)));
  set(Reg::kR0, b_.CreateCall(callee->second, arguments));
  if (unit_.request.facts == nullptr || unit_.request.facts->may_change_packet) read_bounds();
  if (unit_.request.flat) leave_if_stopped();
  return {};
}

base::Result<void> Lowering::translate(const CallKernel& insn) {
  return unsupported(fmt::format("kernel function (BTF id {}) is not implemented", insn.btf_id));
}

// The end of the whole program from within a subprogram: everyone above leaves, too.
void Lowering::leave_if_stopped() {
  const arch::native::PacketField field = unit_.request.stopped;
  Value* at = b_.CreateConstGEP1_64(b_.getInt8Ty(), run_, field.offset);
  Value* stopped =
      b_.CreateICmpNE(b_.CreateLoad(bits(field.bytes * 8), at), llvm::ConstantInt::get(bits(field.bytes * 8), 0));
  auto* out = llvm::BasicBlock::Create(unit_.context, "stopped", function_);
  auto* on = llvm::BasicBlock::Create(unit_.context, "on", function_);
  b_.CreateCondBr(stopped, out, on);
  b_.SetInsertPoint(out);
  leave(b_.getInt64(0));
  b_.SetInsertPoint(on);
}

void Lowering::flat_call(const arch::native::Request::Flat& flat) {
  Value* result = call_helper(flat.helper, nullptr);
  set(Reg::kR0, result);
  if (!flat.ends_when_zero) return;
  const arch::native::PacketField field = unit_.request.stopped;
  Value* at = b_.CreateConstGEP1_64(b_.getInt8Ty(), run_, field.offset);
  Value* zero = b_.CreateICmpEQ(result, b_.getInt64(0));
  b_.CreateStore(b_.CreateZExt(zero, bits(field.bytes * 8)), at);
  leave_if_stopped();
}

// By the number in a register; one that no helper has ends the program.
base::Result<void> Lowering::translate(const CallRegister& insn) {
  if (!unit_.request.flat) return unsupported("callx is for conformance suites only");
  auto* unknown = llvm::BasicBlock::Create(unit_.context, "unknown", function_);
  auto* join = llvm::BasicBlock::Create(unit_.context, "called", function_);
  auto* choose = b_.CreateSwitch(low(get(insn.reg), Width::k32), unknown);
  for (const auto& flat : *unit_.request.flat) {
    auto* block = llvm::BasicBlock::Create(unit_.context, "helper", function_);
    choose->addCase(b_.getInt32(flat.helper), block);
    b_.SetInsertPoint(block);
    flat_call(flat);
    b_.CreateBr(join);
  }
  b_.SetInsertPoint(unknown);
  leave(b_.getInt64(0));
  b_.SetInsertPoint(join);
  return {};
}

base::Result<void> Lowering::translate(const LoadKernelVariable&) {
  return unsupported("kernel variables (ksyms) do not exist on the card");
}

base::Result<void> Lowering::translate(const LoadFunction& insn) {
  if (!unit_.functions.contains(insn.target)) return unsupported("a callback in the middle of a subprogram");
  unit_.callbacks.try_emplace(insn.target, "xnic_callback_" + std::to_string(insn.target));
  set(insn.dst, b_.getInt64(unit_.request.function_tag | insn.target));
  return {};
}

}  // namespace xnic::compile::target::native
