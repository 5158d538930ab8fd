// SPDX-License-Identifier: Apache-2.0
// Helpers on maps. The maps do the work; here is only what belongs to the call: which CPU's copy, keeping inner maps
// alive for the run, and walking a map with a callback.
#include <cstring>

#include "arch/ebpf/map_types.hpp"
#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

bool holds_maps(const maps::Map& map) {
  return map.spec().type == arch::ebpf::kMapArrayOfMaps || map.spec().type == arch::ebpf::kMapHashOfMaps;
}
bool is_array(const maps::Map& map) {
  return map.spec().type == arch::ebpf::kMapArray || map.spec().type == arch::ebpf::kMapPercpuArray;
}

uint64_t inner_map(HelperContext& ctx, maps::Map& map, const void* key) {
  std::shared_ptr<maps::Map> inner = map.inner(key);
  if (inner == nullptr) return 0;
  maps::Map* raw = inner.get();
  for (const auto& held : ctx.held_maps) {
    if (held.get() == raw) return address(raw);
  }
  ctx.held_maps.push_back(std::move(inner));
  return address(raw);
}

uint64_t walk_array(HelperContext& ctx, maps::Map& map, uint64_t callback, uint64_t data) {
  for (uint32_t i = 0; i < map.spec().max_entries && !ctx.stopped; ++i) {
    uint32_t key = i;  // the callback gets an address it may read, and a fresh one each time
    void* value = map.lookup(&key, ctx.run->cpu);
    ctx.lent.push_back({address(&key), sizeof key});
    const uint64_t stop = ctx.invoke(ctx, callback, address(&map), address(&key), address(value), data, 0);
    ctx.lent.pop_back();
    if (stop != 0) return i + 1;
  }
  return map.spec().max_entries;
}

// Takes all keys first: the callback may delete the element it is given. `keys` is used as a stack, since a callback
// may walk another map.
uint64_t walk_keys(HelperContext& ctx, maps::Map& map, uint64_t callback, uint64_t data) {
  std::vector<uint8_t>& keys = ctx.state->keys;
  const size_t bottom = keys.size();
  const uint32_t key_size = map.spec().key_size;
  uint64_t count = 0;
  uint8_t key[512];  // the largest key of a hash map that programs can make (MAX_BPF_STACK)
  uint8_t next[512];
  if (key_size > sizeof key) return 0;
  for (const uint8_t* from = nullptr; map.host_next_key(from, next) == 0; from = key) {
    keys.insert(keys.end(), next, next + key_size);
    std::memcpy(key, next, key_size);
    if (++count > map.spec().max_entries) break;  // keys that come and go meanwhile
  }
  uint64_t visited = 0;
  for (uint64_t i = 0; i < count && !ctx.stopped; ++i) {
    std::memcpy(key, keys.data() + bottom + i * key_size, key_size);
    void* value = map.lookup(key, ctx.run->cpu);
    if (value == nullptr) continue;
    ++visited;
    ctx.lent.push_back({address(key), key_size});
    const uint64_t stop = ctx.invoke(ctx, callback, address(&map), address(key), address(value), data, 0);
    ctx.lent.pop_back();
    if (stop != 0) break;
  }
  keys.resize(bottom);
  return visited;
}

}  // namespace

uint64_t map_lookup_elem(HelperContext& ctx, uint64_t map, uint64_t key, uint64_t, uint64_t, uint64_t) {
  if (holds_maps(map_of(map))) [[unlikely]]
    return inner_map(ctx, map_of(map), pointer<void>(key));
  return address(map_of(map).lookup(pointer<void>(key), ctx.run->cpu));
}

uint64_t map_update_elem(HelperContext& ctx, uint64_t map, uint64_t key, uint64_t value, uint64_t flags, uint64_t) {
  return integer(map_of(map).update(pointer<void>(key), pointer<void>(value), flags, ctx.run->cpu));
}

uint64_t map_delete_elem(HelperContext&, uint64_t map, uint64_t key, uint64_t, uint64_t, uint64_t) {
  return integer(map_of(map).erase(pointer<void>(key)));
}

uint64_t map_push_elem(HelperContext&, uint64_t map, uint64_t value, uint64_t flags, uint64_t, uint64_t) {
  return integer(map_of(map).push(pointer<void>(value), flags));
}

uint64_t map_pop_elem(HelperContext&, uint64_t map, uint64_t value, uint64_t, uint64_t, uint64_t) {
  return integer(map_of(map).pop(pointer<void>(value)));
}

uint64_t map_peek_elem(HelperContext&, uint64_t map, uint64_t value, uint64_t, uint64_t, uint64_t) {
  return integer(map_of(map).peek(pointer<void>(value)));
}

uint64_t map_lookup_percpu_elem(HelperContext&, uint64_t map, uint64_t key, uint64_t cpu, uint64_t, uint64_t) {
  const uint32_t wanted = static_cast<uint32_t>(cpu);
  if (wanted >= map_of(map).cpus()) return 0;
  return address(map_of(map).lookup(pointer<void>(key), wanted));
}

// kernel/bpf/bpf_iter.c, bpf_for_each_map_elem: the number of elements visited, including the one that said stop.
uint64_t for_each_map_elem(HelperContext& ctx, uint64_t map, uint64_t callback, uint64_t data, uint64_t flags,
                           uint64_t) {
  if (flags != 0) return fail(EINVAL);
  return is_array(map_of(map)) ? walk_array(ctx, map_of(map), callback, data)
                               : walk_keys(ctx, map_of(map), callback, data);
}

}  // namespace xnic::exec::helpers
