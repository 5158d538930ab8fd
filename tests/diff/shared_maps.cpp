// SPDX-License-Identifier: Apache-2.0
// Words are of 8 bytes, as wide as the widest atomic: two 4-byte counters in one word add up rightly as long as the
// lower one does not wrap.
#include "shared_maps.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_set>

#include "arch/ebpf/facts.hpp"
#include "compare.hpp"

namespace xnic::tests {
namespace {

using namespace arch::ebpf;
using exec::LoadedProgram;
using exec::maps::Map;

void add_map(Map& map, std::optional<MapIndex> index, std::vector<SharedMap>& all) {
  if (!map.spec().inner) {
    if (has_contents_of_its_own(map)) all.push_back({&map, index});
    return;
  }
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size);
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (const auto inner = map.inner(key.data())) add_map(*inner, {}, all);
  }
}

// Whether the register may point into a value of the map.
bool may_point(const RegFact& fact, MapIndex map) {
  return fact.type == RegType::kMixed || (fact.type == RegType::kMapValue && fact.map == map);
}

// Whether the instruction does anything to the map or its values but look them up and add to them.
bool does_more(const Instruction& insn, const InsnFacts& facts, MapIndex map) {
  const auto points = [&](Reg reg) { return may_point(facts.regs[size_t(index(reg))], map); };
  if (const auto* load = std::get_if<Load>(&insn)) return points(load->src);
  if (const auto* store = std::get_if<Store>(&insn)) return points(store->dst);
  if (const auto* atomic = std::get_if<Atomic>(&insn))
    return (atomic->op != AtomicOp::kAdd || atomic->fetch) && (points(atomic->dst) || points(atomic->src));
  if (const auto* call = std::get_if<CallHelper>(&insn)) {
    constexpr uint32_t kLookupElement = 1, kLookupPercpuElement = 195;
    const RegFact& first = facts.regs[1];
    const bool of_map = first.type == RegType::kMixed || (first.type == RegType::kMap && first.map == map);
    if (of_map && call->id != kLookupElement && call->id != kLookupPercpuElement) return true;
    return points(Reg::kR1) || points(Reg::kR2) || points(Reg::kR3) || points(Reg::kR4) || points(Reg::kR5);
  }
  return std::holds_alternative<CallKernel>(insn);
}

base::Bytes bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

std::string_view text(const std::vector<uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls visit(key, value) for every entry.
template <class F>
void for_each_entry(Map& map, F&& visit) {
  std::vector<uint8_t> key(map.spec().key_size), next(map.spec().key_size), value(map.host_value_bytes());
  for (const uint8_t* after = nullptr; map.host_next_key(after, next.data()) == 0; after = key.data()) {
    key = next;
    if (map.host_lookup(key.data(), value.data(), 0) == 0) visit(std::string(text(key)), text(value));
  }
}

uint64_t word(std::string_view value, size_t at) {
  uint64_t result = 0;
  if (at < value.size()) std::memcpy(&result, value.data() + at, std::min<size_t>(8, value.size() - at));
  return result;
}

// One entry of the merge. `old`: its value before, empty when it was not there.
void merge_entry(const std::string& key, const std::string& old, bool was_there, const std::vector<MapChanges>& alone,
                 Merged& result) {
  std::vector<const std::string*> values;
  size_t removed = 0;
  for (const MapChanges& one : alone) {
    const auto found = one.find(key);
    if (found == one.end()) continue;
    if (found->second) values.push_back(&*found->second);
    removed += !found->second;
  }
  result.met |= removed > 1 || (removed > 0 && !values.empty()) || (!was_there && values.size() > 1);
  if (removed > 0) {
    result.changes[key] = std::nullopt;
    return;
  }
  std::string value = *values.front();
  for (size_t at = 0; at < value.size(); at += 8) {
    uint64_t sum = word(old, at);
    size_t writers = 0;
    for (const std::string* one : values) {
      const uint64_t change = word(*one, at) - word(old, at);
      sum += change;
      writers += change != 0;
    }
    result.met |= writers > 1;
    std::memcpy(value.data() + at, &sum, std::min<size_t>(8, value.size() - at));
  }
  if (!was_there || value != old) result.changes[key] = std::move(value);
}

}  // namespace

std::vector<SharedMap> shared_maps(const LoadedProgram& program) {
  std::vector<SharedMap> all;
  for (MapIndex i = 0; i < program.maps.size(); ++i) add_map(*program.maps[i], i, all);
  return all;
}

bool only_adds(const LoadedProgram& program, MapIndex map) {
  if (program.facts == nullptr) return false;
  for (size_t slot = 0; slot < program.program->insns.size(); ++slot) {
    const InsnFacts& facts = program.facts->insns[slot];
    if (facts.reached && does_more(program.program->insns[slot], facts, map)) return false;
  }
  return true;
}

MapContents map_contents(Map& map) {
  MapContents all;
  for_each_entry(map, [&](std::string key, std::string_view value) { all.emplace(std::move(key), value); });
  return all;
}

MapChanges changes_since(const MapContents& before, Map& map) {
  MapChanges changes;
  std::unordered_set<std::string> left;  // of the entries before
  for_each_entry(map, [&](std::string key, std::string_view value) {
    const auto old = before.find(key);
    if (old == before.end() || old->second != value) changes.emplace(key, value);
    if (old != before.end()) left.insert(std::move(key));
  });
  if (left.size() == before.size()) return changes;
  for (const auto& [key, value] : before)
    if (!left.contains(key)) changes.emplace(key, std::nullopt);
  return changes;
}

Merged merge(const MapContents& before, const std::vector<MapChanges>& alone) {
  Merged result;
  std::set<std::string> keys;
  for (const MapChanges& one : alone)
    for (const auto& [key, value] : one) keys.insert(key);
  for (const std::string& key : keys) {
    const auto old = before.find(key);
    merge_entry(key, old == before.end() ? std::string() : old->second, old != before.end(), alone, result);
  }
  return result;
}

std::string difference(const MapChanges& expected, const MapChanges& found) {
  constexpr int kTold = 4;
  std::string told;
  int count = 0;
  const auto tell = [&](const MapChanges& one, const MapChanges& other, std::string_view whose) {
    for (const auto& [key, value] : one) {
      const auto there = other.find(key);
      if (there != other.end() && there->second == value) continue;
      if (++count <= kTold)
        told += fmt::format("  {} [{}] = {}\n", whose, hex(bytes(key)), value ? hex(bytes(*value)) : "nothing");
    }
  };
  tell(expected, found, "expected");
  tell(found, expected, "found");
  return count > kTold ? told + fmt::format("  and {} more\n", count - kTold) : told;
}

}  // namespace xnic::tests
