// SPDX-License-Identifier: Apache-2.0
// The rules of maps: what the card can create, and how programs may use the words of values. The memory's atomic engine
// is big-endian while everything else is little-endian, so a word is either counted atomically or read and written by
// programs, never both; the host swaps the bytes of counted words on its way.
#include <fmt/core.h>

#include <cerrno>

#include "arch/ebpf/map_types.hpp"
#include "compile/target/nfp/checker.hpp"

namespace xnic::compile::target::nfp {

using namespace arch::ebpf;

namespace {

constexpr uint32_t round_up_8(uint32_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace

void Checker::check_maps() {
  uint32_t count = 0;
  uint64_t elements = 0;
  for (const MapSpec& map : program_.maps) {
    const size_t before = refusals_.size();
    const auto no = [&](Rule rule, int error, std::string message, std::string advice) {
      refuse(rule, Stage::kMapCreation, error, std::move(message), std::move(advice));
    };
    if (map.type == kMapPerfEventArray) continue;  // stays on the host; events carry its id
    const bool taken = (map.type == kMapArray && firmware_.array_maps) || (map.type == kMapHash && firmware_.hash_maps);
    if (!taken) {
      const MapTypeInfo* info = find_map_type(map.type);
      no(Rule::kMapType, EINVAL, fmt::format("map type {} cannot be offloaded", info ? info->name : "?"),
         "Use a hash or an array.");
    }
    if (taken && map.flags != 0)
      no(Rule::kMapFlags, EINVAL, fmt::format("map flags {:#x} are not supported", map.flags),
         "Create the map without flags (no BPF_F_NO_PREALLOC; constants instead of global data).");
    if (taken) {
      ++count;
      elements += map.max_entries;
      if (count == firmware_.max_maps + 1)
        no(Rule::kMapCount, ENOMEM, fmt::format("too many maps for a device: {} at most", firmware_.max_maps),
           "Join maps with the same key.");
      if (elements > firmware_.max_elements && elements - map.max_entries <= firmware_.max_elements)
        no(Rule::kMapElements, ENOMEM,
           fmt::format("map with too many elements: {}, left: {}", map.max_entries,
                       firmware_.max_elements - (elements - map.max_entries)),
           "Lower max_entries.");
      if (const uint32_t bytes = round_up_8(map.key_size) + round_up_8(map.value_size);
          bytes > firmware_.max_element_bytes)
        no(Rule::kMapElementSize, ENOMEM,
           fmt::format("map elements too large: {}, FW max element size (key+value): {}", bytes,
                       firmware_.max_element_bytes),
           "Split the value over several maps.");
      if (map.key_size > firmware_.max_key_bytes)
        no(Rule::kMapKeySize, ENOMEM,
           fmt::format("map key size {}, FW max is {}", map.key_size, firmware_.max_key_bytes),
           "Hash the key to fewer bytes.");
      if (map.value_size > firmware_.max_value_bytes)
        no(Rule::kMapValueSize, ENOMEM,
           fmt::format("map value size {}, FW max is {}", map.value_size, firmware_.max_value_bytes),
           "Split the value over several maps.");
    }
    for (size_t i = before; i < refusals_.size(); ++i) refusals_[i].source = fmt::format("map {}", map.name);
  }
}

void Checker::mark_word(MapIndex map, int64_t offset, unsigned bytes, WordUse use) {
  for (int64_t word = offset / 4 * 4; word < offset + bytes; word += 4) {
    words_[{map, word}] |= use;
    if (use == kAtomic) first_atomic_.try_emplace({map, word}, slot_);
  }
}

// Reported at the first addition to the word, once a value of a map.
void Checker::check_map_words() {
  std::set<std::pair<MapIndex, uint8_t>> told;
  for (const auto& [word, uses] : words_) {
    if ((uses & kAtomic) == 0) continue;
    slot_ = first_atomic_.at(word);
    const std::string& name = program_.maps.at(word.first).name;
    if ((uses & kRead) != 0 && told.insert({word.first, kRead}).second)
      refuse(Rule::kMapWordUse, Stage::kVerification, EOPNOTSUPP,
             fmt::format("map value use type conflict read vs atomic off: {}", word.second),
             fmt::format("Do not read what is counted atomically: keep the counter of {} in a word of its own.", name));
    if ((uses & kNonZeroUpdate) != 0 && told.insert({word.first, kNonZeroUpdate}).second)
      refuse(
          Rule::kMapWordInitialised, Stage::kVerification, EOPNOTSUPP,
          fmt::format("atomic counter in map value may already be initialized to non-zero value off: {}", word.second),
          fmt::format("Insert values of {} with their counters zero.", name));
  }
}

// True when no instruction stores anything but zero into these bytes of the entry's stack. Coarser than the driver,
// which follows paths: a program may be refused whose other stores never meet the update.
bool Checker::stack_stays_zero(int64_t from, int64_t bytes) const {
  bool stored = false;
  for (Slot slot = 0; slot < program_.insns.size(); ++slot) {
    const InsnFacts& facts = facts_.insns[slot];
    const auto* store = std::get_if<Store>(&program_.insns[slot]);
    if (!facts.reached || store == nullptr) continue;
    const RegFact& base = facts.regs[static_cast<size_t>(index(store->dst))];
    if (base.type != RegType::kStack && base.type != RegType::kMixed) continue;
    const int64_t low = base.range.smin + store->offset;
    const int64_t high = base.range.smax + store->offset + arch::ebpf::bytes(store->size);
    if (high <= from || low >= from + bytes) continue;
    stored = true;
    if (const auto* value = std::get_if<Imm>(&store->src)) {
      if (*value != 0) return false;
    } else {
      const RegFact& source = facts.regs[static_cast<size_t>(index(std::get<Reg>(store->src)))];
      if (source.type != RegType::kScalar || !source.range.is_constant() || source.range.umin != 0) return false;
    }
  }
  return stored;
}

}  // namespace xnic::compile::target::nfp
