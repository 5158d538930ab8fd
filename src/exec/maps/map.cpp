// SPDX-License-Identifier: Apache-2.0
// Map: the factory over all types, and what the types share on the host side (kernel/bpf/syscall.c).
#include "exec/maps/map.hpp"

#include "exec/maps/array.hpp"
#include "exec/maps/bloom_filter.hpp"
#include "exec/maps/checks.hpp"
#include "exec/maps/hash.hpp"
#include "exec/maps/lpm_trie.hpp"
#include "exec/maps/perf_event_array.hpp"
#include "exec/maps/queue_stack.hpp"
#include "exec/maps/redirect_maps.hpp"
#include "exec/maps/reference_maps.hpp"
#include "exec/maps/ringbuf.hpp"
#include "exec/maps/socket_maps.hpp"

namespace xnic::exec::maps {

using arch::ebpf::MapSpec;

std::shared_ptr<Map> Map::create(const MapSpec& spec, const MapOptions& options, int& error) {
  error = 0;
  constexpr uint32_t kHostBoth = arch::ebpf::kRdonly | arch::ebpf::kWronly;
  bool extra_allowed = spec.type == arch::ebpf::kMapBloomFilter || spec.type == arch::ebpf::kMapArena;
  if ((spec.map_extra != 0 && !extra_allowed) || (spec.flags & kHostBoth) == kHostBoth || options.cpus == 0) {
    error = -EINVAL;
    return nullptr;
  }
  switch (spec.type) {
    case arch::ebpf::kMapArray:
      return ArrayMap::make(spec, options, error);
    case arch::ebpf::kMapPercpuArray:
      return PercpuArrayMap::make(spec, options, error);
    case arch::ebpf::kMapHash:
    case arch::ebpf::kMapLruHash:
      return HashMap::make(spec, options, error);
    case arch::ebpf::kMapPercpuHash:
    case arch::ebpf::kMapLruPercpuHash:
      return PercpuHashMap::make(spec, options, error);
    case arch::ebpf::kMapProgArray:
      return ProgArrayMap::make(spec, options, error);
    case arch::ebpf::kMapArrayOfMaps:
      return ArrayOfMapsMap::make(spec, options, error);
    case arch::ebpf::kMapHashOfMaps:
      return HashOfMapsMap::make(spec, options, error);
    case arch::ebpf::kMapPerfEventArray:
      return PerfEventArrayMap::make(spec, options, error);
    case arch::ebpf::kMapDevmap:
    case arch::ebpf::kMapCpumap:
    case arch::ebpf::kMapXskmap:
      return RedirectArrayMap::make(spec, options, error);
    case arch::ebpf::kMapDevmapHash:
      return DevmapHashMap::make(spec, options, error);
    case arch::ebpf::kMapLpmTrie:
      return LpmTrieMap::make(spec, options, error);
    case arch::ebpf::kMapQueue:
    case arch::ebpf::kMapStack:
      return QueueStackMap::make(spec, options, error);
    case arch::ebpf::kMapBloomFilter:
      return BloomFilterMap::make(spec, options, error);
    case arch::ebpf::kMapRingbuf:
    case arch::ebpf::kMapUserRingbuf:
      return RingbufMap::make(spec, options, error);
    case arch::ebpf::kMapSockmap:
    case arch::ebpf::kMapSockhash:
      return SocketMap::make(spec, options, error);
    default:
      // A type number that no kernel knows is a bad argument; a known one is something this card lacks.
      error = spec.type == arch::ebpf::kMapUnspec || spec.type > arch::ebpf::kMapArena ? -EINVAL : -kErrNotSupported;
      return nullptr;
  }
}

uint32_t Map::host_value_bytes() const {
  if (arch::ebpf::is_percpu(spec_.type)) return value_stride(spec_.value_size) * options_.cpus;
  return spec_.value_size;
}

// The second freeze is itself a write that the first one forbids.
int Map::freeze() { return frozen_.exchange(true) ? -EPERM : 0; }

// Defaults: what the kernel answers for types that have no such operation. Programs never get so far, since the
// verifier knows which helper goes with which type.
void* Map::lookup(const void*, uint32_t) { return nullptr; }
int Map::update(const void*, const void*, uint64_t, uint32_t) { return -kErrNotSupported; }
int Map::erase(const void*) { return -kErrNotSupported; }
int Map::push(const void*, uint64_t) { return -kErrNotSupported; }
int Map::pop(void*) { return -kErrNotSupported; }
int Map::peek(void*) { return -kErrNotSupported; }
std::shared_ptr<Map> Map::inner(const void*) { return nullptr; }
std::shared_ptr<const LoadedProgram> Map::program(uint32_t) { return nullptr; }
bool Map::owns(const void*, uint64_t) const { return false; }
uint64_t Map::entries() const { return 0; }

int Map::host_lookup(const void* key, void* value, uint64_t flags) {
  ValueCopier copier(spec_);
  if ((flags & ~uint64_t{kLock}) != 0 || (flags != 0 && !copier.has_lock())) return -EINVAL;
  void* at = lookup(key, 0);
  if (at == nullptr) return -ENOENT;
  if (flags != 0)
    copier.out_locked(value, at);
  else
    copier.out(value, at);
  return 0;
}

int Map::host_update(const void* key, const void* value, uint64_t flags) {
  if (frozen()) return -EPERM;
  if ((flags & kLock) != 0 && spec_.spin_lock_offset < 0) return -EINVAL;
  return update(key, value, flags, 0);
}

int Map::host_update_reference(const void*, Reference, const void*, uint64_t) { return -EINVAL; }

int Map::host_erase(const void* key) {
  if (frozen()) return -EPERM;
  return erase(key);
}

int Map::host_lookup_and_delete(const void*, void*, uint64_t flags) {
  if ((flags & ~uint64_t{kLock}) != 0) return -EINVAL;
  if (frozen()) return -EPERM;
  return flags != 0 && spec_.spin_lock_offset < 0 ? -EINVAL : -kErrNotSupported;
}

int Map::host_next_key(const void*, void*) { return -kErrNotSupported; }

}  // namespace xnic::exec::maps
