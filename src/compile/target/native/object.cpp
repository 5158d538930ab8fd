// SPDX-License-Identifier: Apache-2.0
// From the ELF object to one blob: sections that occupy memory are laid out one behind the other, relocations inside
// the blob are done here, and those to the outside become fixups. Only the kinds that the large code model makes are
// known; another one is our own bug.
#include <fmt/format.h>
#include <llvm/BinaryFormat/ELF.h>
#include <llvm/Object/ELFObjectFile.h>

#include <map>

#include "base/check.hpp"
#include "compile/target/native/module.hpp"

namespace xnic::compile::target::native {
namespace {

using arch::native::Image;
using arch::native::Symbol;
using base::ErrorKind;
using base::make_error;
using llvm::object::ELF64LEObjectFile;
using llvm::object::ELFSectionRef;

struct Layout {
  Image image;
  std::map<uint64_t, uint32_t> offsets;  // of sections in the blob, by index
  std::map<std::string, uint32_t> symbols;
  uint32_t symbol_of(const Symbol& symbol, const std::string& name) {
    const auto [at, fresh] = symbols.try_emplace(name, static_cast<uint32_t>(image.symbols.size()));
    if (fresh) image.symbols.push_back(symbol);
    return at->second;
  }
};

bool in_memory(const ELFSectionRef& section) {
  return (section.getFlags() & llvm::ELF::SHF_ALLOC) != 0 && section.getSize() != 0 &&
         section.getType() != llvm::ELF::SHT_X86_64_UNWIND && section.getName().get() != ".eh_frame";
}

void place_sections(const ELF64LEObjectFile& object, Layout& layout) {
  std::vector<uint8_t>& blob = layout.image.blob;
  for (const ELFSectionRef section : object.sections()) {
    if (!in_memory(section)) continue;
    const uint64_t unit = std::max<uint64_t>(section.getAlignment().value(), 16);
    CHECK(unit <= arch::native::kImageAlignment);
    blob.resize((blob.size() + unit - 1) / unit * unit, 0xcc);
    layout.offsets[section.getIndex()] = static_cast<uint32_t>(blob.size());
    const llvm::StringRef contents = llvm::cantFail(section.getContents());
    blob.insert(blob.end(), contents.begin(), contents.end());
    blob.resize(layout.offsets[section.getIndex()] + section.getSize());
  }
}

// The place of a symbol that the object defines; nothing: it is outside.
std::optional<uint32_t> place_of(const ELF64LEObjectFile& object, const llvm::object::ELFSymbolRef& symbol,
                                 const Layout& layout) {
  const auto section = llvm::cantFail(symbol.getSection());
  if (section == object.section_end()) return std::nullopt;
  const auto found = layout.offsets.find(section->getIndex());
  CHECK(found != layout.offsets.end());
  return found->second + static_cast<uint32_t>(llvm::cantFail(symbol.getValue()));
}

base::Result<void> relocate(const Unit& unit, const ELF64LEObjectFile& object, uint32_t base,
                            const llvm::object::ELFRelocationRef& relocation, Layout& layout) {
  const uint32_t at = base + static_cast<uint32_t>(relocation.getOffset());
  const int64_t addend = llvm::cantFail(relocation.getAddend());
  const llvm::object::ELFSymbolRef symbol(*relocation.getSymbol());
  const std::optional<uint32_t> place = place_of(object, symbol, layout);
  const std::string name = llvm::cantFail(symbol.getName()).str();
  const uint64_t type = relocation.getType();
  std::vector<uint8_t>& blob = layout.image.blob;
  if (type == llvm::ELF::R_X86_64_64 && place) {
    const uint32_t self = layout.symbol_of({Symbol::Kind::kImage, 0, 0, {}}, "");
    layout.image.fixups.push_back({at, self, int64_t{*place} + addend});
    return {};
  }
  if (type == llvm::ELF::R_X86_64_64) {
    const auto known = unit.symbols.find(name);
    const Symbol meaning = known != unit.symbols.end() ? known->second : Symbol{Symbol::Kind::kRuntime, 0, 0, name};
    layout.image.fixups.push_back({at, layout.symbol_of(meaning, name), addend});
    return {};
  }
  if (place && (type == llvm::ELF::R_X86_64_PC32 || type == llvm::ELF::R_X86_64_PLT32)) {
    base::store(blob.data() + at, static_cast<int32_t>(int64_t{*place} + addend - int64_t{at}));
    return {};
  }
  if (place && type == llvm::ELF::R_X86_64_PC64) {
    base::store(blob.data() + at, int64_t{*place} + addend - int64_t{at});
    return {};
  }
  return make_error(ErrorKind::kUnsupported, "native", "relocation of type {} to {} is not known here", type, name);
}

}  // namespace

base::Result<Image> image_from_object(const Unit& unit, const std::vector<char>& bytes) {
  const llvm::MemoryBufferRef buffer(llvm::StringRef(bytes.data(), bytes.size()), "object");
  auto parsed = ELF64LEObjectFile::create(buffer);
  if (!parsed) return make_error(ErrorKind::kIo, "native", "{}", llvm::toString(parsed.takeError()));
  const ELF64LEObjectFile& object = *parsed;
  Layout layout;
  place_sections(object, layout);
  for (const ELFSectionRef section : object.sections()) {
    const auto target = llvm::cantFail(section.getRelocatedSection());
    if (target == object.section_end()) continue;
    const auto base = layout.offsets.find(target->getIndex());
    if (base == layout.offsets.end()) continue;
    for (const llvm::object::ELFRelocationRef relocation : section.relocations())
      XNIC_TRY(relocate(unit, object, base->second, relocation, layout));
  }
  for (const llvm::object::ELFSymbolRef symbol : object.symbols()) {
    const std::string name = llvm::cantFail(symbol.getName()).str();
    const bool wanted = name == kProgramName || name == kBatchName || name.starts_with("xnic_callback_");
    const auto place = wanted ? place_of(object, symbol, layout) : std::nullopt;
    if (!place) continue;
    if (name == kProgramName) layout.image.program = *place;
    if (name == kBatchName) layout.image.batch = *place;
    if (name.starts_with("xnic_callback_"))
      layout.image.callbacks.push_back({static_cast<ebpf::Slot>(std::stoul(name.substr(14))), *place});
  }
  std::sort(layout.image.callbacks.begin(), layout.image.callbacks.end(),
            [](const auto& a, const auto& b) { return a.slot < b.slot; });
  return std::move(layout.image);
}

}  // namespace xnic::compile::target::native
