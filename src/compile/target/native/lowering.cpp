// SPDX-License-Identifier: Apache-2.0
// Blocks, registers and the way from slot to slot; the instructions are in alu.cpp, memory.cpp and control.cpp.
#include "compile/target/native/lowering.hpp"

#include <fmt/format.h>

#include "arch/ebpf/context.hpp"

namespace xnic::compile::target::native {

using namespace ebpf;

namespace {

// Where an instruction may go besides the next slot.
std::optional<Slot> target_of(const Instruction& insn) {
  if (const auto* jump = std::get_if<Jump>(&insn)) return jump->target;
  if (const auto* jump = std::get_if<Goto>(&insn)) return jump->target;
  if (const auto* jump = std::get_if<MayGoto>(&insn)) return jump->target;
  return std::nullopt;
}

bool uses_may_goto(const Program& program, Slot first, Slot end) {
  for (Slot slot = first; slot < end; ++slot)
    if (std::holds_alternative<MayGoto>(program.insns[slot])) return true;
  return false;
}

}  // namespace

Lowering::Lowering(Unit& unit, llvm::Function* function, Slot first, Slot end)
    : unit_(unit), function_(function), first_(first), end_slot_(end), b_(unit.context) {}

bool Lowering::reached(Slot slot) const {
  if (slot >= end_slot_) return false;
  return unit_.request.facts == nullptr || unit_.request.facts->insns[slot].reached;
}

const RegFact* Lowering::fact(Reg reg) const {
  if (unit_.request.facts == nullptr) return nullptr;
  return &unit_.request.facts->insns[slot_].regs[static_cast<size_t>(index(reg))];
}

base::Unexpected Lowering::unsupported(const std::string& why) const {
  return base::make_error(base::ErrorKind::kUnsupported, fmt::format("insn {}", slot_), "{}", why);
}

Lowering::Value* Lowering::get(Reg reg) { return b_.CreateLoad(b_.getInt64Ty(), regs_[size_t(index(reg))]); }

void Lowering::set(Reg reg, Value* value) {
  b_.CreateStore(b_.CreateZExt(value, b_.getInt64Ty()), regs_[size_t(index(reg))]);
}

Lowering::Value* Lowering::low(Value* value, Width width) {
  return width == Width::k64 ? value : b_.CreateTrunc(value, b_.getInt32Ty());
}

Lowering::Value* Lowering::operand(const Operand& operand, Width width) {
  if (const Reg* reg = std::get_if<Reg>(&operand)) return low(get(*reg), width);
  const Imm imm = std::get<Imm>(operand);
  return width == Width::k64 ? b_.getInt64(uint64_t(int64_t{imm})) : b_.getInt32(uint32_t(imm));
}

// A block for each slot that control can enter from elsewhere than the slot before it.
void Lowering::find_leaders() {
  const auto& insns = unit_.request.program->insns;
  const auto add = [&](Slot slot) {
    if (slot < end_slot_) blocks_.try_emplace(slot, nullptr);
  };
  add(first_);
  for (Slot slot = first_; slot < end_slot_; ++slot) {
    const auto target = target_of(insns[slot]);
    if (!target) continue;
    add(*target);
    add(slot + 1);
  }
  for (auto& [slot, block] : blocks_)
    block = llvm::BasicBlock::Create(unit_.context, "s" + std::to_string(slot), function_);
}

// What is outside the subprogram or never reached is a dead end.
llvm::BasicBlock* Lowering::block_at(Slot slot) {
  const auto found = blocks_.find(slot);
  if (found != blocks_.end() && reached(slot)) return found->second;
  auto* dead = llvm::BasicBlock::Create(unit_.context, "dead", function_);
  new llvm::UnreachableInst(unit_.context, dead);
  return dead;
}

void Lowering::read_bounds() {
  const auto read = [&](llvm::AllocaInst* variable, ContextOffset field) {
    if (variable != nullptr) b_.CreateStore(b_.CreateIntToPtr(context_field(field), unit_.pointer()), variable);
  };
  read(data_, kCtxData);
  read(end_, kCtxDataEnd);
  read(meta_, kCtxDataMeta);
}

// Registers and stack are zero, as in every engine: a program that reads what it never wrote sees the same everywhere.
void Lowering::prologue() {
  auto* entry = llvm::BasicBlock::Create(unit_.context, "entry", function_, &function_->getEntryBlock());
  b_.SetInsertPoint(entry);
  for (size_t i = 0; i < kRegCount; ++i) {
    regs_[i] = b_.CreateAlloca(b_.getInt64Ty(), nullptr, "r" + std::to_string(i));
    b_.CreateStore(b_.getInt64(0), regs_[i]);
  }
  const Facts* facts = unit_.request.facts;
  uint64_t stack_bytes = kStackBytes;
  for (size_t i = 0; facts != nullptr && i < facts->stack_bytes.size(); ++i)
    if (unit_.request.program->subprograms[i].first == first_) stack_bytes = (facts->stack_bytes[i] + 7u) / 8 * 8;
  auto* type = llvm::ArrayType::get(b_.getInt8Ty(), stack_bytes);
  stack_ = b_.CreateAlloca(type, nullptr, "stack");
  stack_->setAlignment(llvm::Align(16));
  b_.CreateMemSet(stack_, b_.getInt8(0), stack_bytes, llvm::Align(16));
  stack_end_ = b_.CreateConstGEP1_64(b_.getInt8Ty(), stack_, stack_bytes);
  data_ = b_.CreateAlloca(unit_.pointer(), nullptr, "data");
  end_ = b_.CreateAlloca(unit_.pointer(), nullptr, "data_end");
  meta_ = b_.CreateAlloca(unit_.pointer(), nullptr, "data_meta");
  if (uses_may_goto(*unit_.request.program, first_, end_slot_)) {
    constexpr uint32_t kMaxLoops = 8u * 1024 * 1024;  // kernel BPF_MAX_LOOPS
    may_goto_ = b_.CreateAlloca(b_.getInt32Ty(), nullptr, "may_goto_left");
    b_.CreateStore(b_.getInt32(kMaxLoops), may_goto_);
  }
  run_ = function_->getArg(0);
  packet_ = function_->getArg(1);
  for (unsigned i = 1; i <= 5; ++i) set(static_cast<Reg>(i), function_->getArg(i + 1));
  b_.CreateStore(b_.CreatePtrToInt(stack_end_, b_.getInt64Ty()), regs_[size_t(index(kFramePointer))]);
  read_bounds();
  b_.CreateBr(block_at(first_));
}

base::Result<void> Lowering::translate_block(Slot slot) {
  const auto& insns = unit_.request.program->insns;
  b_.SetInsertPoint(blocks_.at(slot));
  if (!reached(slot)) {
    b_.CreateUnreachable();
    return {};
  }
  for (slot_ = slot; slot_ < end_slot_;) {
    if (!reached(slot_)) break;
    XNIC_TRY(std::visit([this](const auto& insn) { return translate(insn); }, insns[slot_]));
    if (b_.GetInsertBlock()->getTerminator() != nullptr) return {};
    slot_ += is_wide(insns[slot_]) ? 2 : 1;
    if (blocks_.contains(slot_)) {
      b_.CreateBr(block_at(slot_));
      return {};
    }
  }
  b_.CreateUnreachable();  // the verifier saw that no path gets here
  return {};
}

base::Result<void> Lowering::run() {
  find_leaders();
  prologue();
  for (const auto& [slot, block] : std::map(blocks_)) XNIC_TRY(translate_block(slot));
  return {};
}

}  // namespace xnic::compile::target::native
