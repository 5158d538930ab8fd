// SPDX-License-Identifier: Apache-2.0
// An ELF object for BPF as sections and symbols that can be changed and written back. Internal to this folder.
#pragma once

#include <elf.h>

#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"

namespace xnic::device {

struct ElfSection {
  std::string name;
  Elf64_Shdr header{};
  std::vector<uint8_t> data;  // empty for SHT_NOBITS; header.sh_size counts there
  bool is_code() const { return header.sh_type == SHT_PROGBITS && (header.sh_flags & SHF_EXECINSTR); }
};

struct ElfSymbol {
  std::string name;
  Elf64_Sym entry{};
  int type() const { return ELF64_ST_TYPE(entry.st_info); }
  int bind() const { return ELF64_ST_BIND(entry.st_info); }
  void set(int bind, int type) { entry.st_info = static_cast<unsigned char>(ELF64_ST_INFO(bind, type)); }
};

class ElfObject {
 public:
  // Errors: kBadInput, `where` is `name`; every offset and index is checked against the file.
  static base::Result<ElfObject> parse(base::Bytes file, const std::string& name);
  // The whole file anew: sections in their order, string and symbol tables rebuilt.
  std::vector<uint8_t> write() const;

  // Index of the first section with this name, 0 when there is none (section 0 never is one).
  size_t find(const std::string& name) const;

  Elf64_Ehdr header{};
  std::vector<ElfSection> sections;  // by section index
  std::vector<ElfSymbol> symbols;    // of the symbol table, by index; empty when there is none
  size_t symbol_section = 0;         // index of SHT_SYMTAB, 0: none

 private:
  base::Result<void> read_symbols(const std::string& name);
};

}  // namespace xnic::device
