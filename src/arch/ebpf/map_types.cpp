// SPDX-License-Identifier: Apache-2.0
// The map types of Linux 6.18, dense by number, with bpftool's names and what the card does with each.
#include "arch/ebpf/map_types.hpp"

#include <iterator>

namespace xnic::arch::ebpf {
namespace {

constexpr std::string_view kNoSockets = "holds sockets of the host";
constexpr std::string_view kNeverASocket = "always empty: the card has no sockets";
constexpr std::string_view kNoCgroups = "belongs to cgroups of the host";
constexpr std::string_view kNoObjects = "is attached to kernel objects of the host";

constexpr MapTypeInfo kTypes[] = {
    {kMapHash, "hash", true, ""},
    {kMapArray, "array", true, ""},
    {kMapProgArray, "prog_array", true, "tail calls"},
    {kMapPerfEventArray, "perf_event_array", true, ""},
    {kMapPercpuHash, "percpu_hash", true, ""},
    {kMapPercpuArray, "percpu_array", true, ""},
    {kMapStackTrace, "stack_trace", false, "records stacks of host tasks"},
    {kMapCgroupArray, "cgroup_array", false, kNoCgroups},
    {kMapLruHash, "lru_hash", true, ""},
    {kMapLruPercpuHash, "lru_percpu_hash", true, ""},
    {kMapLpmTrie, "lpm_trie", true, ""},
    {kMapArrayOfMaps, "array_of_maps", true, ""},
    {kMapHashOfMaps, "hash_of_maps", true, ""},
    {kMapDevmap, "devmap", true, ""},
    {kMapSockmap, "sockmap", true, kNeverASocket},
    {kMapCpumap, "cpumap", true, ""},
    {kMapXskmap, "xskmap", true, ""},
    {kMapSockhash, "sockhash", true, kNeverASocket},
    {kMapCgroupStorage, "cgroup_storage", false, kNoCgroups},
    {kMapReuseportSockarray, "reuseport_sockarray", false, kNoSockets},
    {kMapPercpuCgroupStorage, "percpu_cgroup_storage", false, kNoCgroups},
    {kMapQueue, "queue", true, ""},
    {kMapStack, "stack", true, ""},
    {kMapSkStorage, "sk_storage", false, kNoSockets},
    {kMapDevmapHash, "devmap_hash", true, ""},
    {kMapStructOps, "struct_ops", false, kNoObjects},
    {kMapRingbuf, "ringbuf", true, ""},
    {kMapInodeStorage, "inode_storage", false, kNoObjects},
    {kMapTaskStorage, "task_storage", false, kNoObjects},
    {kMapBloomFilter, "bloom_filter", true, ""},
    {kMapUserRingbuf, "user_ringbuf", true, ""},
    {kMapCgrpStorage, "cgrp_storage", false, kNoCgroups},
    {kMapArena, "arena", false, "shares sparse host memory with a process"},
};

constexpr bool dense() {
  for (MapType i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i].type != i + 1) return false;
  }
  return true;
}
static_assert(dense() && std::size(kTypes) == kMapArena);

}  // namespace

const MapTypeInfo* find_map_type(MapType type) {
  return type >= 1 && type <= std::size(kTypes) ? &kTypes[type - 1] : nullptr;
}

}  // namespace xnic::arch::ebpf
