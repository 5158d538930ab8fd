// SPDX-License-Identifier: Apache-2.0
// Two sides of one table: what the compiler is told of each map (make_request), and the addresses behind it. Both go by
// map type; the runtime functions they name are in runtime/runtime.cpp.
#include "exec/native/symbols.hpp"

#include <cstddef>
#include <cstring>
#include <string_view>

#include "arch/ebpf/context.hpp"
#include "exec/helpers/helper_context.hpp"
#include "exec/maps/array.hpp"
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

constexpr arch::ebpf::HelperId kLookup = 1;
constexpr uint64_t kMostFrozenBytes = 1 << 20;  // more is read where it lies

Known constant(uint64_t value) { return {Known::Kind::kConstant, value}; }
Known address(uint64_t number) { return {Known::Kind::kAddress, number}; }

void describe_array(maps::ArrayMap& map, MapUse& use) {
  const arch::ebpf::MapSpec& spec = map.spec();
  use.fixed_values = true;
  use.one_value = spec.max_entries == 1;
  use.special[kLookup] = {"xnic_array_lookup", 1, {address(0), constant(map.stride()), constant(spec.max_entries)}};
  if (map.frozen() && (spec.flags & arch::ebpf::kRdonlyProg) != 0 && use.one_value &&
      spec.value_size <= kMostFrozenBytes)
    use.frozen.assign(map.values_base(), map.values_base() + spec.value_size);
}

void describe_percpu_array(maps::PercpuArrayMap& map, MapUse& use) {
  use.special[kLookup] = {"xnic_percpu_array_lookup",
                          1,
                          {address(0), constant(map.stride()), constant(map.spec().max_entries),
                           constant(map.cpu_stride()), constant(map.cpus())}};
}

MapUse describe(Map& map) {
  MapUse use;
  switch (map.spec().type) {
    case arch::ebpf::kMapArray:
      describe_array(static_cast<maps::ArrayMap&>(map), use);
      break;
    case arch::ebpf::kMapPercpuArray:
      describe_percpu_array(static_cast<maps::PercpuArrayMap&>(map), use);
      break;
    default:
      use.fixed_values = map.values_base() != nullptr;
      break;
  }
  return use;
}

std::optional<uint64_t> map_address(Map& map, uint32_t part) {
  const auto number = [](const void* at) { return reinterpret_cast<uint64_t>(at); };
  if (part == 0 && map.spec().type == arch::ebpf::kMapPercpuArray)
    return number(static_cast<maps::PercpuArrayMap&>(map).base(0));
  if (part == 0 && map.values_base() != nullptr) return number(map.values_base());
  return std::nullopt;
}

// Functions that compiled code calls by name: the engine's, and those of the C library that LLVM makes of loops.
std::optional<uint64_t> runtime_function(std::string_view name) {
  const auto number = [](auto* function) { return reinterpret_cast<uint64_t>(function); };
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
      if (symbol.index < program.maps.size()) return map_address(*program.maps[symbol.index], symbol.part);
      return std::nullopt;
    case Symbol::Kind::kRuntime:
      return runtime_function(symbol.name);
  }
  return std::nullopt;
}

}  // namespace xnic::exec::native
