// SPDX-License-Identifier: Apache-2.0
// Checks that the bytes are an ELF object for BPF whose section headers lie inside the file.
#include "device/elf_prepass.hpp"

#include <elf.h>

#include <cstring>

namespace xnic::device {

using base::ErrorKind;
using base::make_error;

base::Result<std::vector<uint8_t>> modernise_object(base::Bytes elf, const std::string& name) {
  if (elf.size() < SELFMAG || std::memcmp(elf.data(), ELFMAG, SELFMAG) != 0)
    return make_error(ErrorKind::kBadInput, name, "not an ELF file");
  Elf64_Ehdr header;
  if (elf.size() < sizeof header) return make_error(ErrorKind::kBadInput, name, "ELF file cut off in its header");
  std::memcpy(&header, elf.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_BPF)
    return make_error(ErrorKind::kBadInput, name, "not a little-endian BPF object (build with -target bpfel)");
  if (header.e_shoff > elf.size() || uint64_t{header.e_shnum} * sizeof(Elf64_Shdr) > elf.size() - header.e_shoff)
    return make_error(ErrorKind::kBadInput, name, "ELF file cut off: its section headers lie behind its end");
  return std::vector<uint8_t>(elf.begin(), elf.end());
}

}  // namespace xnic::device
