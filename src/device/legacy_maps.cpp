// SPDX-License-Identifier: Apache-2.0
// Legacy map definitions -> BTF map definitions.
//
// Before BTF, a map was a struct of numbers in a section "maps" (or one section "maps/NAME" each), one ELF symbol a
// map. libbpf reads maps from a section ".maps" instead, where a map is a variable whose BTF type says everything: a
// struct of pointers to arrays, the number of elements being the value. The conversion gives each map 8 bytes in a new
// section
// ".maps", moves its symbol there, and adds the BTF. All members of the synthetic structs lie at offset 0, which the
// rules of BTF allow, so that 8 bytes hold them.
//
// Forms, by the bytes per definition: 20 the five fields that all have (type, key, value, entries, flags); 24 and 28
// the kernel samples' (inner map's index, NUMA node); 36 iproute2's (id, pinning, inner id, inner index); 40 goebpf's
// (at 24 a pointer to the inner definition, at 32 one to a pin path, both as relocations); 280 gobpf's (pinning, name
// space). Others are taken if what follows the five fields is zero.
#include "device/legacy_maps.hpp"

#include <bpf/btf.h>
#include <linux/bpf.h>
#include <linux/btf.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "arch/ebpf/map_types.hpp"

namespace xnic::device {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

constexpr size_t kFiveFields = 20;
constexpr size_t kIproute2 = 36;
constexpr size_t kGoebpf = 40;
constexpr size_t kGobpf = 280;
constexpr uint32_t kNewBytes = 8;  // of one map in the new section

struct LegacyMap {
  std::string name;
  size_t symbol;  // index
  size_t section;
  uint64_t offset;
  base::Bytes bytes;
  std::optional<size_t> inner;  // index of the map that is the template
  bool pinned = false;
  uint32_t word(size_t index) const { return base::load_le<uint32_t>(bytes.data() + 4 * index); }
  bool is_map_of_maps() const {
    return word(0) == arch::ebpf::kMapArrayOfMaps || word(0) == arch::ebpf::kMapHashOfMaps;
  }
};

bool is_legacy_section(const ElfSection& section) {
  return section.header.sh_type == SHT_PROGBITS && (section.name == "maps" || section.name.starts_with("maps/"));
}

class Converter {
 public:
  Converter(ElfObject& object, const std::string& name) : object_(object), name_(name) {}
  Result<void> run();

 private:
  Result<void> find_maps();
  Result<void> read_form(LegacyMap& map);
  std::optional<size_t> map_at(size_t section, uint64_t offset) const;
  std::optional<size_t> pointed_map(const LegacyMap& map, uint64_t field) const;
  bool has_relocation(const LegacyMap& map, uint64_t field) const;
  Result<void> redirect_section_relocations();
  void move_symbols();
  Result<void> write_btf();
  int add_definition(btf* types, const LegacyMap& map, int integer);

  ElfObject& object_;
  std::string name_;
  std::vector<LegacyMap> maps_;
};

Result<void> Converter::find_maps() {
  for (size_t s = 0; s < object_.symbols.size(); ++s) {
    const auto& symbol = object_.symbols[s];
    size_t index = symbol.entry.st_shndx;
    if (index == 0 || index >= object_.sections.size() || !is_legacy_section(object_.sections[index])) continue;
    if ((symbol.type() != STT_OBJECT && symbol.type() != STT_NOTYPE) || symbol.name.empty()) continue;
    maps_.push_back({symbol.name, s, index, symbol.entry.st_value, {}, std::nullopt, false});
  }
  std::sort(maps_.begin(), maps_.end(), [](const LegacyMap& a, const LegacyMap& b) {
    return std::pair(a.section, a.offset) < std::pair(b.section, b.offset);
  });
  for (size_t i = 0; i < maps_.size(); ++i) {
    auto& map = maps_[i];
    const auto& data = object_.sections[map.section].data;
    bool last = i + 1 == maps_.size() || maps_[i + 1].section != map.section;
    uint64_t end = last ? data.size() : maps_[i + 1].offset;
    if (uint64_t size = object_.symbols[map.symbol].entry.st_size) end = std::min(end, map.offset + size);
    if (map.offset > data.size() || end > data.size() || end < map.offset + kFiveFields)
      return make_error(ErrorKind::kBadInput, name_, "map '{}': its definition is cut off", map.name);
    map.bytes = base::Bytes(data).subspan(map.offset, end - map.offset);
  }
  return {};
}

std::optional<size_t> Converter::map_at(size_t section, uint64_t offset) const {
  for (size_t i = 0; i < maps_.size(); ++i)
    if (maps_[i].section == section && maps_[i].offset == offset) return i;
  return std::nullopt;
}

// Calls `visit` with each relocation of section `target`: a reference to the entry, which may be changed.
template <class Visit>
void each_relocation(ElfObject& object, size_t target, Visit visit) {
  for (auto& section : object.sections) {
    if (section.header.sh_type != SHT_REL || section.header.sh_info != target) continue;
    for (size_t at = 0; at + sizeof(Elf64_Rel) <= section.data.size(); at += sizeof(Elf64_Rel)) {
      Elf64_Rel entry;
      std::memcpy(&entry, section.data.data() + at, sizeof entry);
      visit(entry);
      std::memcpy(section.data.data() + at, &entry, sizeof entry);
    }
  }
}

bool Converter::has_relocation(const LegacyMap& map, uint64_t field) const {
  bool found = false;
  each_relocation(object_, map.section, [&](const Elf64_Rel& entry) { found |= entry.r_offset == map.offset + field; });
  return found;
}

// The map that the pointer at byte `field` of the definition points to.
std::optional<size_t> Converter::pointed_map(const LegacyMap& map, uint64_t field) const {
  std::optional<size_t> found;
  each_relocation(object_, map.section, [&](const Elf64_Rel& entry) {
    size_t symbol = ELF64_R_SYM(entry.r_info);
    if (entry.r_offset != map.offset + field || symbol >= object_.symbols.size()) return;
    uint64_t addend = base::load_le<uint64_t>(map.bytes.data() + field);
    const auto& target = object_.symbols[symbol].entry;
    found = map_at(target.st_shndx, target.st_value + addend);
  });
  return found;
}

Result<void> Converter::read_form(LegacyMap& map) {
  auto unknown = [&] {
    return make_error(ErrorKind::kUnsupported, name_,
                      "map '{}': a definition of {} bytes in a form that is not known (known: libbpf, kernel samples, "
                      "iproute2, goebpf, gobpf)",
                      map.name, map.bytes.size());
  };
  auto no_inner = [&] {
    return make_error(ErrorKind::kBadInput, name_, "map '{}': the definition of its inner maps does not exist",
                      map.name);
  };
  if (map.bytes.size() == kIproute2) {
    map.pinned = map.word(6) != 0;
    if (!map.is_map_of_maps()) return {};
    for (size_t i = 0; i < maps_.size(); ++i)
      if (maps_[i].bytes.size() == kIproute2 && maps_[i].word(5) == map.word(7) && map.word(7) != 0) map.inner = i;
    return map.inner ? Result<void>() : no_inner();
  }
  if (map.bytes.size() == kGoebpf) {
    map.pinned = has_relocation(map, 32);
    if (map.is_map_of_maps()) map.inner = pointed_map(map, 24);
    return map.is_map_of_maps() && !map.inner ? no_inner() : Result<void>();
  }
  if (map.bytes.size() == kGobpf) {
    map.pinned = map.word(5) != 0;
    return {};
  }
  auto rest = map.bytes.subspan(kFiveFields);
  if (map.is_map_of_maps() && rest.size() >= 4) {
    size_t inner = map.word(5);  // counted in the order of the section
    if (inner >= maps_.size() || &maps_[inner] == &map) return no_inner();
    map.inner = inner;
    rest = rest.subspan(4);
  }
  bool numa = map.bytes.size() == 28 && (map.word(4) & BPF_F_NUMA_NODE);  // the node is advice; the card has one
  if (!numa && std::any_of(rest.begin(), rest.end(), [](uint8_t byte) { return byte != 0; })) return unknown();
  return {};
}

// Maps declared static are referred to as "section start plus offset in the instruction"; libbpf wants the map's
// symbol.
Result<void> Converter::redirect_section_relocations() {
  for (size_t target = 1; target < object_.sections.size(); ++target) {
    auto& code = object_.sections[target];
    if (!code.is_code()) continue;
    std::optional<uint64_t> lost;
    each_relocation(object_, target, [&](Elf64_Rel& entry) {
      size_t index = ELF64_R_SYM(entry.r_info);
      if (index >= object_.symbols.size() || entry.r_offset + 8 > code.data.size()) return;
      const auto& symbol = object_.symbols[index];
      size_t section = symbol.entry.st_shndx;
      if (symbol.type() != STT_SECTION || section >= object_.sections.size()) return;
      if (!is_legacy_section(object_.sections[section])) return;
      uint8_t* imm = code.data.data() + entry.r_offset + 4;
      auto map = map_at(section, base::load_le<uint32_t>(imm));
      if (!map) {
        lost = entry.r_offset / 8;
        return;
      }
      base::store_le<uint32_t>(imm, 0);
      entry.r_info = ELF64_R_INFO(maps_[*map].symbol, ELF64_R_TYPE(entry.r_info));
    });
    if (lost)
      return make_error(ErrorKind::kBadInput, name_, "section '{}', instruction {}: refers to no map", code.name,
                        *lost);
  }
  return {};
}

void Converter::move_symbols() {
  ElfSection section;
  section.name = ".maps";
  section.header.sh_type = SHT_PROGBITS;
  section.header.sh_flags = SHF_ALLOC | SHF_WRITE;
  section.header.sh_addralign = kNewBytes;
  section.data.resize(maps_.size() * kNewBytes);
  size_t index = object_.sections.size();
  object_.sections.push_back(std::move(section));
  for (size_t i = 0; i < maps_.size(); ++i) {
    auto& symbol = object_.symbols[maps_[i].symbol];
    symbol.set(STB_GLOBAL, STT_OBJECT);
    symbol.entry.st_shndx = static_cast<Elf64_Half>(index);
    symbol.entry.st_value = i * kNewBytes;
    symbol.entry.st_size = kNewBytes;
  }
  for (auto& old : object_.sections)
    if (is_legacy_section(old)) old.name = ".old_" + old.name;
}

// Adds the struct that describes one map; its type id, or a negative error.
int Converter::add_definition(btf* types, const LegacyMap& map, int integer) {
  static constexpr const char* kFields[] = {"type", "key_size", "value_size", "max_entries", "map_flags"};
  std::vector<std::pair<const char*, int>> members;
  auto add_number = [&](const char* field, uint32_t value) {
    int array = btf__add_array(types, integer, integer, value);
    members.emplace_back(field, btf__add_ptr(types, array));
  };
  for (size_t i = 0; i < std::size(kFields); ++i)
    add_number(kFields[i], map.word(i) & (i == 4 ? ~uint32_t{BPF_F_NUMA_NODE} : ~0u));
  if (map.pinned) add_number("pinning", 1);  // LIBBPF_PIN_BY_NAME
  if (map.inner) {
    int definition = add_definition(types, maps_[*map.inner], integer);
    members.emplace_back("values", btf__add_array(types, integer, btf__add_ptr(types, definition), 0));
  }
  int id = btf__add_struct(types, nullptr, kNewBytes);
  for (const auto& [field, type] : members)
    if (int error = btf__add_field(types, field, type, 0, 0)) return error;
  return id;
}

// The compiler's own description of a legacy section (BTF_KIND_DATASEC) no longer fits. Type ids must stay, so it is
// made into an anonymous ENUM64 of as many entries, which has the same size and means nothing.
void neutralise_section_type(btf* types, int name_off) {
  for (uint32_t id = 1; id < btf__type_cnt(types); ++id) {
    auto* type = const_cast<btf_type*>(btf__type_by_id(types, id));
    if (!btf_is_datasec(type)) continue;
    const char* name = btf__name_by_offset(types, type->name_off);
    std::string_view section = name ? name : "";
    if (section != "maps" && !section.starts_with("maps/")) continue;
    uint32_t count = btf_vlen(type);
    type->name_off = 0;
    type->info = BTF_KIND_ENUM64 << 24 | count;
    type->size = 8;
    auto* entries = reinterpret_cast<struct btf_enum64*>(type + 1);
    for (uint32_t i = 0; i < count; ++i) entries[i] = {static_cast<uint32_t>(name_off), i, 0};
  }
}

Result<void> Converter::write_btf() {
  size_t index = object_.find(".BTF");
  btf* raw = nullptr;
  if (index) {
    const auto& data = object_.sections[index].data;
    raw = btf__new(data.data(), static_cast<uint32_t>(data.size()));
  } else {
    raw = btf__new_empty();
  }
  if (!raw) return make_error(ErrorKind::kBadInput, name_, "section '.BTF' is broken");
  std::unique_ptr<btf, void (*)(btf*)> types(raw, btf__free);
  neutralise_section_type(raw, btf__add_str(raw, "legacy_map"));
  int integer = btf__add_int(raw, "int", 4, BTF_INT_SIGNED);
  std::vector<int> variables;
  for (const auto& map : maps_)
    variables.push_back(
        btf__add_var(raw, map.name.c_str(), BTF_VAR_GLOBAL_ALLOCATED, add_definition(raw, map, integer)));
  int section = btf__add_datasec(raw, ".maps", static_cast<uint32_t>(maps_.size()) * kNewBytes);
  bool failed = integer < 0 || section < 0;
  for (size_t i = 0; i < variables.size(); ++i)
    failed |= variables[i] < 0 ||
              btf__add_datasec_var_info(raw, variables[i], static_cast<uint32_t>(i) * kNewBytes, kNewBytes) != 0;
  uint32_t bytes = 0;
  const auto* blob = static_cast<const uint8_t*>(btf__raw_data(raw, &bytes));
  if (failed || !blob) return make_error(ErrorKind::kBadInput, name_, "its maps cannot be described in BTF");
  if (!index) {
    ElfSection added;
    added.name = ".BTF";
    added.header.sh_type = SHT_PROGBITS;
    added.header.sh_addralign = 8;
    index = object_.sections.size();
    object_.sections.push_back(std::move(added));
  }
  object_.sections[index].data.assign(blob, blob + bytes);
  return {};
}

Result<void> Converter::run() {
  if (object_.find(".maps"))
    return make_error(ErrorKind::kUnsupported, name_, "maps in both forms, 'maps' and '.maps'; keep one of them");
  XNIC_TRY(find_maps());
  if (maps_.empty()) return {};
  for (auto& map : maps_) XNIC_TRY(read_form(map));
  for (const auto& map : maps_)
    if (map.inner && maps_[*map.inner].is_map_of_maps())
      return make_error(ErrorKind::kBadInput, name_, "map '{}': inner maps cannot hold maps themselves", map.name);
  XNIC_TRY(redirect_section_relocations());
  XNIC_TRY(write_btf());
  move_symbols();
  return {};
}

}  // namespace

bool has_legacy_maps(const ElfObject& object) {
  return std::any_of(object.sections.begin(), object.sections.end(), is_legacy_section);
}

Result<void> convert_legacy_maps(ElfObject& object, const std::string& name) { return Converter(object, name).run(); }

}  // namespace xnic::device
