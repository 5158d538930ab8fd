// SPDX-License-Identifier: Apache-2.0
// A program on its way through LLVM: the module with its declarations of everything outside, and the steps that work on
// it. Internal to this folder; the only header that names LLVM types together with lowering.hpp.
#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arch/native/request.hpp"
#include "base/result.hpp"

namespace xnic::compile::target::native {

namespace ebpf = arch::ebpf;

// Names of what the engine's runtime and the compiled program call each other by.
inline constexpr const char* kProgramName = "xnic_program";  // i64 (run, packet)
inline constexpr const char* kBatchName = "xnic_batch";      // of the runtime; calls kProgramName
inline constexpr const char* kNeedsName = "xnic_needs";      // arch::native::Needs
inline constexpr const char* kTailCallName = "xnic_tail_call";

// Symbols of this module that stand for something outside are declared once; their names carry what they mean.
struct Unit {
  explicit Unit(const arch::native::Request& request);

  const arch::native::Request& request;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
  std::map<std::string, arch::native::Symbol> symbols;       // by LLVM name
  std::map<ebpf::Slot, llvm::Function*> functions;           // subprograms by first slot
  std::map<ebpf::Slot, std::string> callbacks;               // functions that helpers may call back
  uint32_t needs = 0;                                        // arch::native::Needs
  std::map<ebpf::MapIndex, llvm::GlobalVariable*> contents;  // copies of what can't change

  llvm::Type* word() { return llvm::Type::getInt64Ty(context); }
  llvm::PointerType* pointer() { return llvm::PointerType::getUnqual(context); }

  // The address of something outside, as a pointer constant.
  llvm::Constant* address_of(const arch::native::Symbol& symbol, const std::string& name);
  llvm::Constant* map_itself(ebpf::MapIndex map);
  llvm::Constant* map_address(ebpf::MapIndex map, uint32_t part);
  // Pre: the map's contents cannot change.
  llvm::GlobalVariable* contents_of(ebpf::MapIndex map);
  // A helper: the runtime's own form if it has one, else the engine's. i64 (run, i64 x 5).
  llvm::FunctionCallee helper(ebpf::HelperId id);
  llvm::FunctionCallee runtime(const std::string& name, llvm::FunctionType* type);

 private:
  llvm::Constant* declare(const arch::native::Symbol& symbol, const std::string& name);
};

// optimise.cpp
base::Result<void> make_machine(Unit& unit);
base::Result<void> link_runtime(Unit& unit);
void optimise(Unit& unit);
std::vector<char> emit_object(Unit& unit);

// object.cpp: lays the object's sections out as one blob.
base::Result<arch::native::Image> image_from_object(const Unit& unit, const std::vector<char>& object);

}  // namespace xnic::compile::target::native
