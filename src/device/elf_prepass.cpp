// SPDX-License-Identifier: Apache-2.0
// The pre-pass. libbpf >= 1.0 takes a function for a program only if its symbol has type FUNC and is global, and
// refuses "maps" sections; a quarter of the objects in the field are older than that. What changes here: symbols of
// functions, and map definitions (legacy_maps.cpp). An object that needs nothing is passed on byte for byte.
#include "device/elf_prepass.hpp"

#include <algorithm>
#include <cctype>

#include "device/elf_object.hpp"
#include "device/elf_screen.hpp"
#include "device/legacy_maps.hpp"

namespace xnic::device {
namespace {

constexpr uint64_t kInsnBytes = 8;

// Symbols of one code section that are functions in the old style: without a type. Global ones; when there is none, the
// one at the start that is no jump label.
std::vector<size_t> untyped_functions(const ElfObject& object, size_t section) {
  std::vector<size_t> global, at_start;
  for (size_t s = 1; s < object.symbols.size(); ++s) {
    const auto& symbol = object.symbols[s];
    if (symbol.entry.st_shndx != section || symbol.type() != STT_NOTYPE || symbol.name.empty()) continue;
    if (symbol.entry.st_value % kInsnBytes != 0) continue;
    bool is_label = symbol.name.starts_with(".L") || symbol.name.starts_with("LBB");
    if (symbol.bind() != STB_LOCAL)
      global.push_back(s);
    else if (symbol.entry.st_value == 0 && !is_label && at_start.empty())
      at_start.push_back(s);
  }
  return global.empty() ? at_start : global;
}

// A function name for a section that has no symbol at all.
std::string name_from_section(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

// Gives functions of the section their type. True if something changed.
bool type_functions(ElfObject& object, size_t section) {
  bool typed = std::any_of(object.symbols.begin(), object.symbols.end(), [&](const ElfSymbol& symbol) {
    return symbol.entry.st_shndx == section && symbol.type() == STT_FUNC;
  });
  if (typed) return false;
  auto functions = untyped_functions(object, section);
  if (functions.empty()) {
    ElfSymbol added;
    added.name = name_from_section(object.sections[section].name);
    added.entry.st_shndx = static_cast<Elf64_Half>(section);
    functions.push_back(object.symbols.size());
    object.symbols.push_back(added);
  }
  for (size_t s : functions) object.symbols[s].set(STB_GLOBAL, STT_FUNC);
  return true;
}

// Functions without a size (assembly) end where the next one starts.
bool size_functions(ElfObject& object, size_t section) {
  std::vector<size_t> functions;
  for (size_t s = 1; s < object.symbols.size(); ++s)
    if (object.symbols[s].entry.st_shndx == section && object.symbols[s].type() == STT_FUNC) functions.push_back(s);
  std::sort(functions.begin(), functions.end(),
            [&](size_t a, size_t b) { return object.symbols[a].entry.st_value < object.symbols[b].entry.st_value; });
  bool changed = false;
  for (size_t i = 0; i < functions.size(); ++i) {
    auto& entry = object.symbols[functions[i]].entry;
    uint64_t end = i + 1 < functions.size() ? object.symbols[functions[i + 1]].entry.st_value
                                            : object.sections[section].data.size();
    if (entry.st_size != 0 || end <= entry.st_value) continue;
    entry.st_size = end - entry.st_value;
    changed = true;
  }
  return changed;
}

// Entry functions declared static are programs like others. Those in .text are subprograms and stay.
bool publish_functions(ElfObject& object, size_t section) {
  if (object.sections[section].name == ".text") return false;
  bool changed = false;
  for (auto& symbol : object.symbols) {
    if (symbol.entry.st_shndx != section || symbol.type() != STT_FUNC || symbol.bind() != STB_LOCAL) continue;
    symbol.set(STB_GLOBAL, STT_FUNC);
    changed = true;
  }
  return changed;
}

}  // namespace

base::Result<std::vector<uint8_t>> modernise_object(base::Bytes elf, const std::string& name) {
  XNIC_ASSIGN(auto object, ElfObject::parse(elf, name));
  bool changed = false;
  for (size_t i = 1; i < object.sections.size(); ++i) {
    if (!object.sections[i].is_code() || object.sections[i].data.empty() || object.symbol_section == 0) continue;
    changed |= type_functions(object, i);
    changed |= size_functions(object, i);
    changed |= publish_functions(object, i);
  }
  if (has_legacy_maps(object)) {
    XNIC_TRY(convert_legacy_maps(object, name));
    changed = true;
  }
  XNIC_TRY(screen_object(object, name));
  if (!changed) return std::vector<uint8_t>(elf.begin(), elf.end());
  object.header.e_machine = EM_BPF;
  return object.write();
}

}  // namespace xnic::device
