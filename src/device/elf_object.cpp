// SPDX-License-Identifier: Apache-2.0
// Reading and writing ELF64 relocatable objects of BPF, little-endian. All section contents are copied out, so that
// sections may grow; writing lays them out one behind the other. Section indexes never change, new sections go to the
// end. Program headers (objects for BPF have none) are dropped.
#include "device/elf_object.hpp"

#include <algorithm>
#include <cstring>

namespace xnic::device {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

// The NUL-terminated string at `offset`, empty when it lies outside.
std::string string_at(const std::vector<uint8_t>& table, uint32_t offset) {
  if (offset >= table.size()) return "";
  const char* start = reinterpret_cast<const char*>(table.data()) + offset;
  return {start, strnlen(start, table.size() - offset)};
}

uint32_t add_string(std::vector<uint8_t>& table, const std::string& text) {
  if (text.empty()) return 0;
  uint32_t offset = static_cast<uint32_t>(table.size());
  table.insert(table.end(), text.begin(), text.end());
  table.push_back(0);
  return offset;
}

Result<Elf64_Ehdr> read_header(base::Bytes file, const std::string& name) {
  Elf64_Ehdr header;
  if (file.size() < SELFMAG || std::memcmp(file.data(), ELFMAG, SELFMAG) != 0)
    return make_error(ErrorKind::kBadInput, name, "not an ELF file");
  if (file.size() < sizeof header) return make_error(ErrorKind::kBadInput, name, "ELF file cut off in its header");
  std::memcpy(&header, file.data(), sizeof header);
  bool is_bpf =
      header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_BPF;
  // Compilers before LLVM 3.9 wrote machine 0.
  bool is_old_bpf =
      header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine == EM_NONE;
  if (!is_bpf && !is_old_bpf)
    return make_error(ErrorKind::kBadInput, name, "an ELF file, but not a little-endian BPF object");
  if (header.e_type != ET_REL)
    return make_error(ErrorKind::kBadInput, name, "a BPF file, but not a relocatable object");
  if (header.e_shnum == 0 || header.e_shentsize != sizeof(Elf64_Shdr))
    return make_error(ErrorKind::kBadInput, name, "ELF file without section headers");
  if (header.e_shoff > file.size() || uint64_t{header.e_shnum} * sizeof(Elf64_Shdr) > file.size() - header.e_shoff)
    return make_error(ErrorKind::kBadInput, name, "ELF file cut off: its section headers lie behind its end");
  if (header.e_shstrndx >= header.e_shnum)
    return make_error(ErrorKind::kBadInput, name, "ELF file without section names");
  return header;
}

}  // namespace

Result<ElfObject> ElfObject::parse(base::Bytes file, const std::string& name) {
  ElfObject object;
  XNIC_ASSIGN(object.header, read_header(file, name));
  object.sections.resize(object.header.e_shnum);
  for (size_t i = 0; i < object.sections.size(); ++i) {
    auto& section = object.sections[i];
    std::memcpy(&section.header, file.data() + object.header.e_shoff + i * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr));
    if (section.header.sh_type == SHT_NOBITS || section.header.sh_type == SHT_NULL) continue;
    if (section.header.sh_offset > file.size() || section.header.sh_size > file.size() - section.header.sh_offset)
      return make_error(ErrorKind::kBadInput, name, "ELF file cut off: section {} lies behind its end", i);
    auto data = file.subspan(section.header.sh_offset, section.header.sh_size);
    section.data.assign(data.begin(), data.end());
  }
  const auto& names = object.sections[object.header.e_shstrndx].data;
  for (auto& section : object.sections) section.name = string_at(names, section.header.sh_name);
  XNIC_TRY(object.read_symbols(name));
  return object;
}

Result<void> ElfObject::read_symbols(const std::string& name) {
  for (size_t i = 1; i < sections.size(); ++i) {
    const auto& section = sections[i];
    if (section.header.sh_type != SHT_SYMTAB) continue;
    if (section.header.sh_link >= sections.size() || section.data.size() % sizeof(Elf64_Sym) != 0)
      return make_error(ErrorKind::kBadInput, name, "ELF file with a broken symbol table");
    symbol_section = i;
    symbols.resize(section.data.size() / sizeof(Elf64_Sym));
    for (size_t s = 0; s < symbols.size(); ++s) {
      std::memcpy(&symbols[s].entry, section.data.data() + s * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
      symbols[s].name = string_at(sections[section.header.sh_link].data, symbols[s].entry.st_name);
    }
    return {};
  }
  return {};
}

size_t ElfObject::find(const std::string& name) const {
  for (size_t i = 1; i < sections.size(); ++i)
    if (sections[i].name == name) return i;
  return 0;
}

std::vector<uint8_t> ElfObject::write() const {
  auto out = sections;
  // Strings are rebuilt; where section names and symbol names share a table, both go into it.
  size_t symbol_names = symbol_section ? out[symbol_section].header.sh_link : 0;
  out[header.e_shstrndx].data.assign(1, 0);
  if (symbol_names) out[symbol_names].data.assign(1, 0);
  if (symbol_section) {
    auto& table = out[symbol_section];
    table.data.resize(symbols.size() * sizeof(Elf64_Sym));
    uint32_t locals = 0;
    for (size_t s = 0; s < symbols.size(); ++s) {
      Elf64_Sym entry = symbols[s].entry;
      entry.st_name = add_string(out[symbol_names].data, symbols[s].name);
      std::memcpy(table.data.data() + s * sizeof entry, &entry, sizeof entry);
      if (symbols[s].bind() == STB_LOCAL) locals = static_cast<uint32_t>(s) + 1;
    }
    table.header.sh_info = locals;
  }
  for (auto& section : out) section.header.sh_name = add_string(out[header.e_shstrndx].data, section.name);

  Elf64_Ehdr file_header = header;
  file_header.e_phoff = 0;
  file_header.e_phnum = 0;
  file_header.e_shnum = static_cast<Elf64_Half>(out.size());
  std::vector<uint8_t> file(sizeof file_header);
  for (auto& section : out) {
    if (section.header.sh_type == SHT_NULL) continue;
    uint64_t alignment = std::clamp<uint64_t>(section.header.sh_addralign, 8, 4096);
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    section.header.sh_offset = file.size();
    if (section.header.sh_type == SHT_NOBITS) continue;
    section.header.sh_size = section.data.size();
    file.insert(file.end(), section.data.begin(), section.data.end());
  }
  file.resize((file.size() + 7) / 8 * 8);
  file_header.e_shoff = file.size();
  for (const auto& section : out) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&section.header);
    file.insert(file.end(), bytes, bytes + sizeof section.header);
  }
  std::memcpy(file.data(), &file_header, sizeof file_header);
  return file;
}

}  // namespace xnic::device
