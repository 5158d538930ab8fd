// SPDX-License-Identifier: Apache-2.0
// Reads the object with libelf. The functions of the section call one another by pc-relative displacements, which stay
// right when a jump to `main` is put before the first slot.
#include "xnic-bpf-plugin/elf_program.hpp"

#include <gelf.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

namespace xnic::bpf_plugin {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

struct Main {
  size_t section = 0;
  uint64_t offset = 0;  // bytes from the section's start
};

std::optional<Main> find_main(Elf* elf) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    Elf_Data* data = nullptr;
    if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB || !(data = elf_getdata(section, nullptr))) {
      continue;
    }
    GElf_Sym symbol;
    for (int i = 0; gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name != nullptr && std::string_view(name) == "main") return Main{symbol.st_shndx, symbol.st_value};
    }
  }
  return std::nullopt;
}

bool has_relocations(Elf* elf, size_t target) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (!gelf_getshdr(section, &header)) continue;
    const bool relocates = header.sh_type == SHT_REL || header.sh_type == SHT_RELA;
    if (relocates && header.sh_info == target && header.sh_size != 0) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<arch::ebpf::RawInsn>> program_in_elf(base::Bytes object) {
  using arch::ebpf::RawInsn;
  elf_version(EV_CURRENT);
  std::vector<char> copy(object.begin(), object.end());  // libelf wants it writable
  std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_memory(copy.data(), copy.size()), elf_end);
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF) return make_error(ErrorKind::kBadInput, "object", "is no ELF file");
  const auto entry = find_main(elf.get());
  if (!entry) return make_error(ErrorKind::kBadInput, "object", "has no function main");
  if (has_relocations(elf.get(), entry->section)) {
    return make_error(ErrorKind::kUnsupported, "object", "has relocations; load it with xnic instead");
  }
  Elf_Scn* section = elf_getscn(elf.get(), entry->section);
  Elf_Data* data = section ? elf_getdata(section, nullptr) : nullptr;
  if (data == nullptr || data->d_buf == nullptr || data->d_size % sizeof(RawInsn) != 0 ||
      entry->offset % sizeof(RawInsn) != 0 || entry->offset >= data->d_size) {
    return make_error(ErrorKind::kBadInput, "object", "the section of main holds no whole instructions");
  }
  std::vector<RawInsn> program(data->d_size / sizeof(RawInsn));
  std::memcpy(program.data(), data->d_buf, data->d_size);
  if (entry->offset != 0) {
    program.insert(program.begin(), {0x06, 0, 0, 0, static_cast<int32_t>(entry->offset / sizeof(RawInsn))});  // gotol
  }
  return program;
}

}  // namespace xnic::bpf_plugin
