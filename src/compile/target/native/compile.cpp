// SPDX-License-Identifier: Apache-2.0
// The stages: declare every subprogram, lower each, join the engine's runtime, optimise, emit an object, lay it out.
#include "compile/target/native/lowering.hpp"
#include "compile/target/native/native.hpp"

#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include "arch/ebpf/context.hpp"
#include "base/check.hpp"

namespace xnic::compile::target::native {
namespace {

using namespace ebpf;

// First slot and end of each subprogram. Programs without a table (conformance suites) may lie in any order, the parts
// of one function among another's: then each reaches as far as its jumps lead.
std::map<Slot, Slot> subprograms_of(const Program& program) {
  std::map<Slot, Slot> list;
  for (const Subprogram& sub : program.subprograms) list[sub.first] = sub.end;
  if (!list.empty()) return list;
  const auto end = static_cast<Slot>(program.insns.size());
  list[0] = end;
  for (const Instruction& insn : program.insns) {
    if (const auto* call = std::get_if<CallLocal>(&insn)) list[call->target] = end;
    if (const auto* load = std::get_if<LoadFunction>(&insn)) list[load->target] = end;
  }
  return list;
}

void declare(Unit& unit, Slot first) {
  std::vector<llvm::Type*> types(7, unit.word());
  types[0] = types[1] = unit.pointer();
  auto* type = llvm::FunctionType::get(unit.word(), types, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, "xnic_sub_" + std::to_string(first),
                                          *unit.module);
  unit.functions[first] = function;
}

// i64 xnic_program(run, packet): the entry, with the context (the run's address) in r1; or the packet's address and
// length in r1 and r2 (Request::flat).
void make_program(Unit& unit) {
  auto* type = llvm::FunctionType::get(unit.word(), {unit.pointer(), unit.pointer()}, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, kProgramName, *unit.module);
  llvm::IRBuilder<> b(llvm::BasicBlock::Create(unit.context, "entry", function));
  std::vector<llvm::Value*> arguments{function->getArg(0), function->getArg(1),
                                      b.CreatePtrToInt(function->getArg(0), unit.word())};
  arguments.resize(7, b.getInt64(0));
  if (unit.request.flat) {
    const auto field = [&](ContextOffset offset) {
      auto* at = b.CreateConstGEP1_64(b.getInt8Ty(), function->getArg(1), unit.request.packet[offset / 4].offset);
      return b.CreateLoad(unit.word(), at);
    };
    arguments[2] = field(kCtxData);
    arguments[3] = b.CreateSub(field(kCtxDataEnd), arguments[2]);
  }
  b.CreateRet(b.CreateCall(unit.functions.at(0), arguments));
}

// i64 xnic_callback_SLOT(run, packet, r1..r5) for each subprogram that is given to a helper.
void make_callbacks(Unit& unit) {
  for (const auto& [slot, name] : unit.callbacks) {
    llvm::Function* inner = unit.functions.at(slot);
    auto* outer =
        llvm::Function::Create(inner->getFunctionType(), llvm::GlobalValue::ExternalLinkage, name, *unit.module);
    llvm::IRBuilder<> b(llvm::BasicBlock::Create(unit.context, "entry", outer));
    std::vector<llvm::Value*> arguments;
    for (llvm::Argument& argument : outer->args()) arguments.push_back(&argument);
    b.CreateRet(b.CreateCall(inner, arguments));
  }
}

// Short programs become part of the loop over packets, where a call would be much of their time; of long ones that
// would only be a second copy to compile.
void inline_short_program(Unit& unit) {
  constexpr size_t kShortSlots = 256;
  if (unit.request.program->insns.size() > kShortSlots) return;
  unit.functions.at(0)->addFnAttr(llvm::Attribute::AlwaysInline);
  unit.module->getFunction(kProgramName)->addFnAttr(llvm::Attribute::AlwaysInline);
}

base::Result<void> build(Unit& unit) {
  XNIC_TRY(make_machine(unit));
  const auto subprograms = subprograms_of(*unit.request.program);
  for (const auto& [first, end] : subprograms) declare(unit, first);
  for (const auto& [first, end] : subprograms) XNIC_TRY(Lowering(unit, unit.functions.at(first), first, end).run());
  make_program(unit);
  make_callbacks(unit);
  inline_short_program(unit);
  new llvm::GlobalVariable(*unit.module, llvm::Type::getInt32Ty(unit.context), true, llvm::GlobalValue::ExternalLinkage,
                           llvm::ConstantInt::get(llvm::Type::getInt32Ty(unit.context), unit.needs), kNeedsName);
  std::string problem;
  llvm::raw_string_ostream out(problem);
  if (llvm::verifyModule(*unit.module, &out))
    return base::make_error(base::ErrorKind::kUnsupported, unit.request.program->name, "LLVM refuses the module: {}",
                            problem);
  XNIC_TRY(link_runtime(unit));
  optimise(unit);
  return {};
}

}  // namespace

base::Result<arch::native::Image> compile(const arch::native::Request& request) {
  Unit unit(request);
  XNIC_TRY(build(unit));
  return image_from_object(unit, emit_object(unit));
}

base::Result<std::string> show_ir(const arch::native::Request& request) {
  Unit unit(request);
  XNIC_TRY(build(unit));
  std::string text;
  llvm::raw_string_ostream out(text);
  unit.module->print(out, nullptr);
  return text;
}

}  // namespace xnic::compile::target::native
