// SPDX-License-Identifier: Apache-2.0
// Placement decodes each word that has a relocation, puts the address in, and encodes it again.
#include "arch/nfp/image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "arch/nfp/text.hpp"
#include "base/check.hpp"

namespace xnic::arch::nfp {
namespace {

uint32_t target_of(const Image& image, const Placement& placement, Relocation relocation, uint32_t target) {
  switch (relocation) {
    case Relocation::kOut:
      return placement.start + uint32_t{image.out};
    case Relocation::kAbort:
      return placement.start + uint32_t{image.abort};
    case Relocation::kPushRegisters:
      return placement.start + uint32_t{image.push_registers};
    case Relocation::kPopRegisters:
      return placement.start + uint32_t{image.pop_registers};
    case Relocation::kNextPacket:
      return placement.next_packet;
    case Relocation::kHelper:
      return placement.helpers + target - kPlaceholder;
    case Relocation::kNone:
    case Relocation::kBranch:
    case Relocation::kImmediate:
      break;
  }
  return placement.start + target;
}

}  // namespace

const ebpf::LineInfo* Image::line_at(uint32_t slot) const {
  if (slot == kNoInstruction) return nullptr;
  const auto after = std::upper_bound(lines.begin(), lines.end(), slot,
                                      [](uint32_t s, const ebpf::LineInfo& line) { return s < line.slot; });
  return after == lines.begin() ? nullptr : &*std::prev(after);
}

base::Result<std::vector<uint64_t>> place(const Image& image, const Placement& placement) {
  std::vector<uint64_t> words = image.words;
  for (size_t i = 0; i < words.size(); ++i) {
    const Relocation relocation = image.relocations[i];
    if (relocation == Relocation::kNone) continue;
    XNIC_ASSIGN(const uint64_t bits, without_ecc(words[i]));
    XNIC_ASSIGN(Instruction insn, decode(bits));
    const auto moved = [&](uint32_t target) { return target_of(image, placement, relocation, target); };
    const auto fits = [&](uint32_t target, uint32_t last) { return moved(target) <= last; };
    bool good = true;
    if (auto* branch = std::get_if<Branch>(&insn)) {
      good = fits(branch->target, 0x3fff);
      branch->target = static_cast<uint16_t>(moved(branch->target));
    } else if (auto* bit = std::get_if<BranchBit>(&insn)) {
      good = fits(bit->target, 0x3fff);
      bit->target = static_cast<uint16_t>(moved(bit->target));
    } else if (auto* value = std::get_if<LoadImmediate>(&insn)) {
      good = fits(value->value, 0xffff);
      value->value = static_cast<uint16_t>(moved(value->value));
    } else {
      CHECK(false);
    }
    if (!good)
      return base::make_error(base::ErrorKind::kLimit, image.program, "word {} cannot reach its target from {}", i,
                              placement.start);
    XNIC_ASSIGN(const uint64_t again, encode(insn));
    words[i] = with_ecc(again);
  }
  return words;
}

std::string listing(const Image& image) {
  std::string text;
  const ebpf::LineInfo* shown = nullptr;
  for (size_t i = 0; i < image.words.size(); ++i) {
    const ebpf::LineInfo* line = image.line_at(image.slots[i]);
    if (line != nullptr && line != shown) text += fmt::format("; {}:{}: {}\n", line->file, line->line, line->text);
    if (line != nullptr) shown = line;
    const auto bits = without_ecc(image.words[i]);
    CHECK(bits.has_value());
    const auto insn = decode(*bits);
    CHECK(insn.has_value());
    text += fmt::format("{:>6}  {:013x}  {}\n", fmt::format(".{}", i), image.words[i], to_text(*insn));
  }
  return text;
}

}  // namespace xnic::arch::nfp
