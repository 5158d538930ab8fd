// SPDX-License-Identifier: Apache-2.0
// Map types by their bpf(2) numbers (include/uapi/linux/bpf.h, enum bpf_map_type), and the flags of BPF_MAP_CREATE.
#pragma once

#include <cstdint>
#include <string_view>

#include "arch/ebpf/program.hpp"

namespace xnic::arch::ebpf {

enum MapTypeNumber : MapType {
  kMapUnspec = 0,
  kMapHash = 1,
  kMapArray = 2,
  kMapProgArray = 3,
  kMapPerfEventArray = 4,
  kMapPercpuHash = 5,
  kMapPercpuArray = 6,
  kMapStackTrace = 7,
  kMapCgroupArray = 8,
  kMapLruHash = 9,
  kMapLruPercpuHash = 10,
  kMapLpmTrie = 11,
  kMapArrayOfMaps = 12,
  kMapHashOfMaps = 13,
  kMapDevmap = 14,
  kMapSockmap = 15,
  kMapCpumap = 16,
  kMapXskmap = 17,
  kMapSockhash = 18,
  kMapCgroupStorage = 19,
  kMapReuseportSockarray = 20,
  kMapPercpuCgroupStorage = 21,
  kMapQueue = 22,
  kMapStack = 23,
  kMapSkStorage = 24,
  kMapDevmapHash = 25,
  kMapStructOps = 26,
  kMapRingbuf = 27,
  kMapInodeStorage = 28,
  kMapTaskStorage = 29,
  kMapBloomFilter = 30,
  kMapUserRingbuf = 31,
  kMapCgrpStorage = 32,
  kMapArena = 33,
};

enum MapFlag : uint32_t {
  kNoPrealloc = 1u << 0,
  kNoCommonLru = 1u << 1,
  kNumaNode = 1u << 2,
  kRdonly = 1u << 3,  // for the host
  kWronly = 1u << 4,
  kStackBuildId = 1u << 5,
  kZeroSeed = 1u << 6,
  kRdonlyProg = 1u << 7,
  kWronlyProg = 1u << 8,
  kClone = 1u << 9,
  kMmapable = 1u << 10,
  kPreserveElems = 1u << 11,
  kInnerMap = 1u << 12,
};

struct MapTypeInfo {
  MapType type;
  std::string_view name;  // as bpftool prints it: "lru_percpu_hash"
  bool supported;         // by the card
  std::string_view note;  // why not, or remarks for the feature matrix
};

// Null when Linux 6.18 has no such type.
const MapTypeInfo* find_map_type(MapType type);

constexpr bool is_percpu(MapType type) {
  return type == kMapPercpuHash || type == kMapPercpuArray || type == kMapLruPercpuHash;
}

}  // namespace xnic::arch::ebpf
