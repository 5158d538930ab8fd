// SPDX-License-Identifier: Apache-2.0
// Which helpers may be called with which type of map (kernel check_map_func_compatibility), as one table: helpers that
// only some types take, and types that only some helpers take.
#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>

#include "compile/verify/walk.hpp"

namespace xnic::compile::verify {

using enum Rejection::Kind;

namespace {

struct HelperRule {
  std::string_view helper;
  std::initializer_list<MapType> types;
};

// Helpers that work on these types only.
const HelperRule kHelperRules[] = {
    {"tail_call", {kMapProgArray}},
    {"perf_event_output", {kMapPerfEventArray}},
    {"perf_event_read", {kMapPerfEventArray}},
    {"perf_event_read_value", {kMapPerfEventArray}},
    {"ringbuf_output", {kMapRingbuf}},
    {"ringbuf_reserve", {kMapRingbuf}},
    {"ringbuf_query", {kMapRingbuf}},
    {"ringbuf_reserve_dynptr", {kMapRingbuf}},
    {"user_ringbuf_drain", {kMapUserRingbuf}},
    {"redirect_map", {kMapDevmap, kMapDevmapHash, kMapCpumap, kMapXskmap}},
    {"map_pop_elem", {kMapQueue, kMapStack}},
    {"map_peek_elem", {kMapQueue, kMapStack, kMapBloomFilter}},
    {"map_push_elem", {kMapQueue, kMapStack, kMapBloomFilter}},
    {"map_lookup_percpu_elem", {kMapPercpuArray, kMapPercpuHash, kMapLruPercpuHash}},
    {"for_each_map_elem", {kMapHash, kMapPercpuHash, kMapLruHash, kMapLruPercpuHash, kMapArray, kMapPercpuArray}},
};

struct TypeRule {
  MapType type;
  std::initializer_list<std::string_view> helpers;
};

// Types that are open to these helpers only.
const TypeRule kTypeRules[] = {
    {kMapProgArray, {"tail_call"}},
    {kMapPerfEventArray, {"perf_event_read", "perf_event_output", "perf_event_read_value"}},
    {kMapRingbuf, {"ringbuf_output", "ringbuf_reserve", "ringbuf_query", "ringbuf_reserve_dynptr"}},
    {kMapUserRingbuf, {"user_ringbuf_drain"}},
    {kMapStackTrace, {}},
    {kMapCgroupArray, {}},
    {kMapCgroupStorage, {}},
    {kMapPercpuCgroupStorage, {}},
    {kMapDevmap, {"redirect_map", "map_lookup_elem"}},
    {kMapDevmapHash, {"redirect_map", "map_lookup_elem"}},
    {kMapCpumap, {"redirect_map"}},
    {kMapXskmap, {"redirect_map", "map_lookup_elem"}},
    {kMapSockmap, {"map_lookup_elem", "map_update_elem", "map_delete_elem"}},
    {kMapSockhash, {"map_lookup_elem", "map_update_elem", "map_delete_elem"}},
    {kMapArrayOfMaps, {"map_lookup_elem"}},
    {kMapHashOfMaps, {"map_lookup_elem"}},
    {kMapQueue, {"map_peek_elem", "map_pop_elem", "map_push_elem"}},
    {kMapStack, {"map_peek_elem", "map_pop_elem", "map_push_elem"}},
    {kMapBloomFilter, {"map_peek_elem", "map_push_elem"}},
};

template <class List, class Item>
bool contains(const List& list, const Item& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

bool Walk::check_map_compatible(const CallArguments& call) {
  const MapSpec& spec = *call.map.spec;
  const std::string_view name = call.helper->name;
  const MapTypeInfo* info = find_map_type(spec.type);
  if (!info || !info->supported)
    return reject(kUnsupported, EINVAL, fmt::format("map type {} is not supported", info ? info->name : "unknown"),
                  info ? info->note : "");
  bool allowed = true;
  for (const HelperRule& rule : kHelperRules)
    if (rule.helper == name) allowed &= contains(rule.types, spec.type);
  for (const TypeRule& rule : kTypeRules)
    if (rule.type == spec.type) allowed &= contains(rule.helpers, name);
  if (!allowed)
    return reject(kType, EINVAL,
                  fmt::format("cannot pass map_type {} into func bpf_{}#{}", spec.type, name, call.helper->id),
                  "use the helper with the type of map that it is made for");
  const bool writes =
      name == "map_update_elem" || name == "map_delete_elem" || name == "map_push_elem" || name == "map_pop_elem";
  if (writes && (spec.flags & kRdonlyProg))
    return reject(kMemory, EACCES, "write into map forbidden", "the map is read-only for programs");
  if (name == "map_lookup_elem" && (spec.flags & kWronlyProg))
    return reject(kMemory, EACCES, "read from map forbidden", "the map is write-only for programs");
  return true;
}

}  // namespace xnic::compile::verify
