// SPDX-License-Identifier: Apache-2.0
// LLVM's part: the engine's runtime joins the module as bitcode, everything but the entry points becomes internal, the
// usual passes run, and the code generator writes an object. The large code model lets the code stand anywhere: every
// address outside the blob is a 64-bit word.
#include <llvm/Analysis/AliasAnalysis.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetOptions.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/IPO/Internalize.h>

#include <mutex>

#include "compile/target/native/module.hpp"

namespace xnic::compile::target::native {

using base::ErrorKind;
using base::make_error;

base::Result<void> make_machine(Unit& unit) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
  const std::string triple = llvm::sys::getDefaultTargetTriple();
  std::string problem;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(triple, problem);
  if (target == nullptr) return make_error(ErrorKind::kIo, "native", "{}", problem);
  std::string features;
  for (const auto& [name, has] : llvm::sys::getHostCPUFeatures())
    features += (features.empty() ? "" : ",") + std::string(has ? "+" : "-") + name.str();
  unit.machine.reset(target->createTargetMachine(triple, llvm::sys::getHostCPUName(), features, llvm::TargetOptions(),
                                                 llvm::Reloc::Static, llvm::CodeModel::Large,
                                                 llvm::CodeGenOptLevel::Default, true));
  unit.module->setTargetTriple(triple);
  unit.module->setDataLayout(unit.machine->createDataLayout());
  return {};
}

namespace {

// Functions of program and runtime are compiled for the same machine, so that each can be inlined into the other.
void set_attributes(Unit& unit) {
  for (llvm::Function& function : *unit.module) {
    for (const char* name :
         {"target-cpu", "target-features", "tune-cpu", "frame-pointer", "stack-protector-buffer-size"})
      function.removeFnAttr(name);
    if (function.isDeclaration()) continue;
    function.addFnAttr("target-cpu", unit.machine->getTargetCPU());
    function.addFnAttr("target-features", unit.machine->getTargetFeatureString());
    function.addFnAttr(llvm::Attribute::NoUnwind);
    function.removeFnAttr(llvm::Attribute::UWTable);
  }
}

}  // namespace

base::Result<void> link_runtime(Unit& unit) {
  const base::Bytes bytes = unit.request.runtime;
  const llvm::MemoryBufferRef buffer(llvm::StringRef(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                                     "runtime");
  auto runtime = llvm::getLazyBitcodeModule(buffer, unit.context, true);
  if (!runtime) {
    return make_error(ErrorKind::kIo, "native", "the runtime's bitcode cannot be read: {}",
                      llvm::toString(runtime.takeError()));
  }
  (*runtime)->setTargetTriple(unit.module->getTargetTriple());
  (*runtime)->setDataLayout(unit.module->getDataLayout());
  // The loop over packets is wanted although nothing calls it.
  auto* entry = (*runtime)->getFunction(kBatchName);
  if (entry == nullptr) return make_error(ErrorKind::kIo, "native", "the runtime has no {}", kBatchName);
  unit.module->getOrInsertFunction(kBatchName, entry->getFunctionType());
  if (llvm::Linker::linkModules(*unit.module, std::move(*runtime), llvm::Linker::LinkOnlyNeeded))
    return make_error(ErrorKind::kIo, "native", "program and runtime do not fit together");
  llvm::internalizeModule(*unit.module, [](const llvm::GlobalValue& value) {
    return value.getName() == kProgramName || value.getName() == kBatchName ||
           value.getName().starts_with("xnic_callback_");
  });
  set_attributes(unit);
  return {};
}

void optimise(Unit& unit) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graphs;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  llvm::PassBuilder builder(unit.machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graphs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graphs, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(*unit.module, modules);
}

std::vector<char> emit_object(Unit& unit) {
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream out(object);
  llvm::legacy::PassManager passes;
  unit.machine->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::ObjectFile);
  passes.run(*unit.module);
  return {object.begin(), object.end()};
}

}  // namespace xnic::compile::target::native
