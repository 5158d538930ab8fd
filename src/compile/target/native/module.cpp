// SPDX-License-Identifier: Apache-2.0
// The outside world as a module sees it: everything external is declared once, under a name of our own, and noted with
// what it stands for.
#include "compile/target/native/module.hpp"

namespace xnic::compile::target::native {

using arch::native::Symbol;

Unit::Unit(const arch::native::Request& the_request)
    : request(the_request), module(std::make_unique<llvm::Module>("xnic", context)) {}

llvm::Constant* Unit::declare(const Symbol& symbol, const std::string& name) {
  symbols.try_emplace(name, symbol);
  if (auto* known = module->getNamedGlobal(name)) return known;
  auto* variable = new llvm::GlobalVariable(*module, llvm::Type::getInt8Ty(context), false,
                                            llvm::GlobalValue::ExternalLinkage, nullptr, name);
  variable->setAlignment(llvm::Align(8));
  return variable;
}

llvm::Constant* Unit::map_itself(ebpf::MapIndex map) {
  return declare({Symbol::Kind::kMap, map, 0, {}}, "xnic_map_" + std::to_string(map));
}

llvm::Constant* Unit::map_address(ebpf::MapIndex map, uint32_t part) {
  return declare({Symbol::Kind::kAddress, map, part, {}},
                 "xnic_map_" + std::to_string(map) + "_" + std::to_string(part));
}

llvm::GlobalVariable* Unit::contents_of(ebpf::MapIndex map) {
  llvm::GlobalVariable*& copy = contents[map];
  if (copy != nullptr) return copy;
  const std::vector<uint8_t>& bytes = request.maps[map].frozen;
  auto* data = llvm::ConstantDataArray::get(context, llvm::ArrayRef<uint8_t>(bytes));
  copy = new llvm::GlobalVariable(*module, data->getType(), true, llvm::GlobalValue::InternalLinkage, data,
                                  "xnic_contents_" + std::to_string(map));
  copy->setAlignment(llvm::Align(64));
  return copy;
}

llvm::FunctionCallee Unit::helper(ebpf::HelperId id) {
  std::vector<llvm::Type*> types(6, word());
  types[0] = pointer();
  const std::string name = "xnic_helper_" + std::to_string(id);
  symbols.try_emplace(name, Symbol{Symbol::Kind::kHelper, id, 0, {}});
  return module->getOrInsertFunction(name, llvm::FunctionType::get(word(), types, false));
}

llvm::FunctionCallee Unit::runtime(const std::string& name, llvm::FunctionType* type) {
  symbols.try_emplace(name, Symbol{Symbol::Kind::kRuntime, 0, 0, name});
  return module->getOrInsertFunction(name, type);
}

}  // namespace xnic::compile::target::native
