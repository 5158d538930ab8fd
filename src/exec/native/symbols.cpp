// SPDX-License-Identifier: Apache-2.0
// Two sides of one table: what the compiler is told of each map (make_request), and the addresses behind it. Both go by
// map type; the runtime functions they name are in runtime/runtime.cpp.
#include "exec/native/symbols.hpp"

#include <cstddef>
#include <cstring>
#include <string_view>

#include "arch/ebpf/context.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/helpers/inline.hpp"
#include "exec/maps/array.hpp"
#include "exec/maps/hash.hpp"
#include "exec/maps/lpm_trie.hpp"
#include "exec/maps/redirect_maps.hpp"
#include "exec/native/native.hpp"
#include "exec/native/run.hpp"
#include "exec/native/runtime/bitcode.hpp"

namespace xnic::exec::native {
namespace {

using arch::native::Known;
using arch::native::MapUse;
using arch::native::Special;
using arch::native::Symbol;
using maps::Map;

constexpr arch::ebpf::HelperId kLookup = 1, kUpdate = 2, kErase = 3, kRedirectMap = 51;
// Addresses of a map by number. The first is that of the values where they have one (MapUse::fixed_values).
enum Part : uint32_t { kValues, kSlab, kBuckets, kStamps, kCopies, kRoot, kVersion, kDeviceId };
constexpr uint64_t kMostFrozenBytes = 1 << 20;  // more is read where it lies

Known constant(uint64_t value) { return {Known::Kind::kConstant, value}; }
Known address(uint64_t number) { return {Known::Kind::kAddress, number}; }

void describe_array(maps::ArrayMap& map, MapUse& use) {
  const arch::ebpf::MapSpec& spec = map.spec();
  use.fixed_values = true;
  use.one_value = spec.max_entries == 1;
  use.special[kLookup] = {
      "xnic_array_lookup", 1, {address(kValues), constant(map.stride()), constant(spec.max_entries)}};
  if (map.frozen() && (spec.flags & arch::ebpf::kRdonlyProg) != 0 && use.one_value &&
      spec.value_size <= kMostFrozenBytes)
    use.frozen.assign(map.values_base(), map.values_base() + spec.value_size);
}

void describe_percpu_array(maps::PercpuArrayMap& map, MapUse& use) {
  use.special[kLookup] = {"xnic_percpu_array_lookup",
                          1,
                          {address(kValues), constant(map.stride()), constant(map.spec().max_entries),
                           constant(map.cpu_stride()), constant(map.cpus())}};
}

// (map, slab, buckets, mask, key size, seed): the first arguments of the hash look-ups.
std::vector<Known> hash_arguments(const maps::HashTable& table) {
  const maps::HashTable::Parts parts = table.parts();
  return {{Known::Kind::kMap, 0},      address(kSlab),           address(kBuckets),
          constant(parts.bucket_mask), constant(parts.key_size), constant(parts.seed)};
}

void describe_hash(maps::HashMap& map, MapUse& use) {
  Special lookup{"xnic_hash_lookup", 1, hash_arguments(map.table())};
  lookup.known.push_back(constant(map.table().value_offset()));
  lookup.known.push_back(map.lru() ? address(kStamps) : constant(0));
  use.special[kLookup] = std::move(lookup);
}

void describe_percpu_hash(maps::PercpuHashMap& map, MapUse& use) {
  Special lookup{"xnic_percpu_hash_lookup", 1, hash_arguments(map.table())};
  for (const Known known : {address(kCopies), constant(map.stride()), constant(map.cpu_stride()), constant(map.cpus()),
                            map.lru() ? address(kStamps) : constant(0)})
    lookup.known.push_back(known);
  use.special[kLookup] = std::move(lookup);
}

void describe_lpm(maps::LpmTrieMap& map, MapUse& use) {
  const maps::LpmTrieMap::Parts parts = map.parts();
  use.special[kLookup] = {"xnic_lpm_lookup",
                          1,
                          {{Known::Kind::kMap, 0},
                           address(kSlab),
                           address(kRoot),
                           address(kVersion),
                           constant(parts.stride),
                           constant(parts.address_bytes)}};
}

void describe_redirect(Map& map, MapUse& use) {
  const arch::ebpf::MapSpec& spec = map.spec();
  const Known kind = constant(static_cast<uint64_t>(helpers::inlined::redirect_kind(spec.type)));
  if (spec.type == arch::ebpf::kMapDevmapHash) {
    use.special[kLookup] = {"xnic_map_lookup", 1, {{Known::Kind::kMap, 0}}};
    use.special[kRedirectMap] = {"xnic_redirect_map", 2, {{Known::Kind::kMap, 0}, kind, address(kDeviceId)}};
    return;
  }
  const uint64_t shift = spec.type == arch::ebpf::kMapXskmap ? 32 : 0;  // {value, present} and {target, program}
  use.special[kLookup] = {"xnic_slot_lookup", 1, {address(kSlab), constant(spec.max_entries), constant(shift)}};
  use.special[kRedirectMap] = {"xnic_redirect_array",
                               2,
                               {address(kSlab), constant(spec.max_entries), constant(shift), kind, address(kDeviceId)}};
}

MapUse describe(Map& map) {
  MapUse use;
  const arch::ebpf::MapType type = map.spec().type;
  use.special[kUpdate] = {"xnic_map_update", 3, {{Known::Kind::kMap, 0}}};
  use.special[kErase] = {"xnic_map_erase", 1, {{Known::Kind::kMap, 0}}};
  if (helpers::inlined::redirect_kind(type) != RedirectKind::kNone) describe_redirect(map, use);
  switch (type) {
    case arch::ebpf::kMapArray:
      describe_array(static_cast<maps::ArrayMap&>(map), use);
      break;
    case arch::ebpf::kMapPercpuArray:
      describe_percpu_array(static_cast<maps::PercpuArrayMap&>(map), use);
      break;
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapLruHash:
      describe_hash(static_cast<maps::HashMap&>(map), use);
      break;
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruPercpuHash:
      describe_percpu_hash(static_cast<maps::PercpuHashMap&>(map), use);
      break;
    case arch::ebpf::kMapLpmTrie:
      describe_lpm(static_cast<maps::LpmTrieMap&>(map), use);
      break;
    default:
      use.fixed_values = map.values_base() != nullptr;
      break;
  }
  return use;
}

uint64_t number(const void* at) { return reinterpret_cast<uint64_t>(at); }

std::optional<uint64_t> hash_address(const maps::HashTable& table, maps::LruStamps* stamps, uint32_t part) {
  if (part == kSlab) return number(table.parts().slab);
  if (part == kBuckets) return number(table.parts().buckets);
  if (part == kStamps) return number(stamps);
  return std::nullopt;
}

std::optional<uint64_t> lpm_address(const maps::LpmTrieMap& map, uint32_t part) {
  const maps::LpmTrieMap::Parts parts = map.parts();
  if (part == kSlab) return number(parts.nodes);
  if (part == kRoot) return number(parts.root);
  if (part == kVersion) return number(parts.version);
  return std::nullopt;
}

std::optional<uint64_t> map_address(Map& map, uint32_t part) {
  switch (map.spec().type) {
    case arch::ebpf::kMapPercpuArray:
      if (part == kValues) return number(static_cast<maps::PercpuArrayMap&>(map).base(0));
      return std::nullopt;
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapLruHash: {
      auto& hash = static_cast<maps::HashMap&>(map);
      return hash_address(hash.table(), &hash.stamps(), part);
    }
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruPercpuHash: {
      auto& hash = static_cast<maps::PercpuHashMap&>(map);
      return part == kCopies ? number(hash.base(0)) : hash_address(hash.table(), &hash.stamps(), part);
    }
    case arch::ebpf::kMapLpmTrie:
      return lpm_address(static_cast<maps::LpmTrieMap&>(map), part);
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapCpumap:
    case arch::ebpf::kMapXskmap:
      if (part == kSlab) return number(static_cast<maps::RedirectArrayMap&>(map).slots());
      return std::nullopt;
    default:
      if (part == kValues && map.values_base() != nullptr) return number(map.values_base());
      return std::nullopt;
  }
}

// Functions that compiled code calls by name: the engine's, and those of the C library that LLVM makes of loops.
std::optional<uint64_t> runtime_function(std::string_view name) {
  const auto number = [](auto* function) { return reinterpret_cast<uint64_t>(function); };
  if (name == "xnic_adjust_fragments") return number(&xnic_adjust_fragments);
  if (name == "xnic_tail_call") return number(&xnic_tail_call);
  if (name == "xnic_settle") return number(&xnic_settle);
  if (name == "memcpy") return number(static_cast<void* (*)(void*, const void*, size_t)>(&std::memcpy));
  if (name == "memmove") return number(static_cast<void* (*)(void*, const void*, size_t)>(&std::memmove));
  if (name == "memset") return number(static_cast<void* (*)(void*, int, size_t)>(&std::memset));
  if (name == "memcmp" || name == "bcmp")
    return number(static_cast<int (*)(const void*, const void*, size_t)>(&std::memcmp));
  return std::nullopt;
}

}  // namespace

arch::native::Request make_request(const LoadedProgram& program) {
  arch::native::Request request;
  request.program = program.program.get();
  request.facts = program.facts.get();
  for (const auto& map : program.maps) request.maps.push_back(describe(*map));
  using packet::Packet;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
  request.packet = {{{offsetof(Packet, data), sizeof(Packet::data)},
                     {offsetof(Packet, data_end), sizeof(Packet::data_end)},
                     {offsetof(Packet, data_meta), sizeof(Packet::data_meta)},
                     {offsetof(Packet, ingress_ifindex), sizeof(Packet::ingress_ifindex)},
                     {offsetof(Packet, rx_queue), sizeof(Packet::rx_queue)},
                     {offsetof(Packet, egress_ifindex), sizeof(Packet::egress_ifindex)}}};
  request.stopped = {offsetof(Run, stopped), sizeof(Run::stopped)};
#pragma GCC diagnostic pop
  static_assert(arch::ebpf::kCtxDataEnd == 4 && arch::ebpf::kCtxDataMeta == 8 && arch::ebpf::kCtxEgressIfindex == 20);
  request.runtime = runtime::bitcode();
  request.function_tag = helpers::kFunctionTag;
  return request;
}

std::optional<uint64_t> address_of(const Symbol& symbol, const LoadedProgram& program) {
  const auto number = [](auto* at) { return reinterpret_cast<uint64_t>(at); };
  switch (symbol.kind) {
    case Symbol::Kind::kImage:
      return std::nullopt;  // its place is Code's business
    case Symbol::Kind::kHelper:
      if (helpers::HelperFn function = helpers::helper_function(symbol.index)) return number(function);
      return std::nullopt;
    case Symbol::Kind::kMap:
      if (symbol.index < program.maps.size()) return number(program.maps[symbol.index].get());
      return std::nullopt;
    case Symbol::Kind::kAddress:
      if (symbol.part == kDeviceId && symbol.index < program.maps.size())
        return symbol.index < program.map_ids.size() ? program.map_ids[symbol.index] : 0;
      if (symbol.index < program.maps.size()) return map_address(*program.maps[symbol.index], symbol.part);
      return std::nullopt;
    case Symbol::Kind::kRuntime:
      return runtime_function(symbol.name);
  }
  return std::nullopt;
}

}  // namespace xnic::exec::native
