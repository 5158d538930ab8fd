// SPDX-License-Identifier: Apache-2.0
// The screen, by what libbpf 1.1 (libbpf.c, btf.c) takes on trust:
//  - a function's start plus size may wrap around (bpf_object__add_programs);
//  - a relocation of a 16-byte load writes into the second slot, wherever the first one is (relocate_data);
//  - type ids are followed through modifiers until something else comes (skip_mods_and_typedefs, btf__align_of), so
//  that
//    a missing id is a null pointer and a circle is no end.
// All else that this folder and libbpf check by themselves is left to them.
#include "device/elf_screen.hpp"

#include <cstring>

#include "device/btf.hpp"

namespace xnic::device {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr uint64_t kInsnBytes = 8;
constexpr uint8_t kLoadWide = 0x18;

bool is_function_of(const ElfSymbol& symbol, size_t section) {
  return symbol.entry.st_shndx == section && symbol.type() == STT_FUNC;
}

Result<void> screen_functions(const ElfObject& object, size_t section, const std::string& name) {
  const uint64_t bytes = object.sections[section].data.size();
  for (const ElfSymbol& symbol : object.symbols) {
    if (!is_function_of(symbol, section)) continue;
    const uint64_t start = symbol.entry.st_value;
    const uint64_t size = symbol.entry.st_size;
    if (start % kInsnBytes == 0 && size % kInsnBytes == 0 && start <= bytes && size <= bytes - start) continue;
    return make_error(ErrorKind::kBadInput, name, "function '{}' does not lie inside its section '{}'", symbol.name,
                      object.sections[section].name);
  }
  return {};
}

// Whether the function around `offset`, or the section where there is none, goes on for another slot.
bool has_second_slot(const ElfObject& object, size_t section, uint64_t offset) {
  if (offset + 2 * kInsnBytes > object.sections[section].data.size()) return false;
  for (const ElfSymbol& symbol : object.symbols) {
    if (!is_function_of(symbol, section)) continue;
    const uint64_t end = symbol.entry.st_value + symbol.entry.st_size;
    if (offset >= symbol.entry.st_value && offset < end && offset + 2 * kInsnBytes > end) return false;
  }
  return true;
}

Result<void> screen_relocations(const ElfObject& object, const ElfSection& relocations, const std::string& name) {
  const size_t target = relocations.header.sh_info;
  if (target >= object.sections.size() || relocations.data.size() % sizeof(Elf64_Rel) != 0)
    return make_error(ErrorKind::kBadInput, name, "broken relocation section '{}'", relocations.name);
  const ElfSection& code = object.sections[target];
  if (!code.is_code()) return {};
  for (size_t at = 0; at < relocations.data.size(); at += sizeof(Elf64_Rel)) {
    Elf64_Rel entry;
    std::memcpy(&entry, relocations.data.data() + at, sizeof entry);
    const uint64_t offset = entry.r_offset;
    const bool inside = offset % kInsnBytes == 0 && offset < code.data.size();
    if (!inside || ELF64_R_SYM(entry.r_info) >= object.symbols.size() ||
        (code.data[offset] == kLoadWide && !has_second_slot(object, target, offset)))
      return make_error(ErrorKind::kBadInput, name, "relocation {} of section '{}' points nowhere",
                        at / sizeof(Elf64_Rel), code.name);
  }
  return {};
}

}  // namespace

Result<void> screen_object(const ElfObject& object, const std::string& name) {
  for (size_t i = 1; i < object.sections.size(); ++i) {
    const ElfSection& section = object.sections[i];
    if (section.is_code()) XNIC_TRY(screen_functions(object, i, name));
    if (section.header.sh_type == SHT_REL) XNIC_TRY(screen_relocations(object, section, name));
    if (section.name != ".BTF") continue;
    if (auto walkable = Btf::check_walkable(section.data); !walkable)
      return make_error(ErrorKind::kBadInput, name, "broken BTF: {}", walkable.error().detail);
  }
  return {};
}

}  // namespace xnic::device
