// SPDX-License-Identifier: Apache-2.0
// What each operation answers, as a table that needs no kernel: numbers read from Linux 6.18 by the parity tests.
#include <gtest/gtest.h>

#include <cerrno>

#include "exec/maps/map.hpp"

namespace xnic::exec::maps {
namespace {

using namespace arch::ebpf;

enum class Operation {
  kUpdate,
  kUpdateNoExist,
  kUpdateExist,
  kUpdateBadFlag,
  kUpdateLock,
  kLookup,
  kErase,
  kTake,
  kNext
};

struct Row {
  uint32_t type;
  uint32_t key_bytes;
  uint32_t value_bytes;
  uint32_t flags;
  Operation operation;
  uint32_t key;  // key 1 is stored before where the type allows it; the map has 2 entries
  int expected;
};

constexpr int kNotSupported = -524;

constexpr Row kTable[] = {
    {kMapArray, 4, 8, 0, Operation::kUpdate, 1, 0},
    {kMapArray, 4, 8, 0, Operation::kUpdate, 2, -E2BIG},
    {kMapArray, 4, 8, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapArray, 4, 8, 0, Operation::kUpdateExist, 0, 0},
    {kMapArray, 4, 8, 0, Operation::kUpdateBadFlag, 1, -EINVAL},
    {kMapArray, 4, 8, 0, Operation::kUpdateLock, 1, -EINVAL},
    {kMapArray, 4, 8, 0, Operation::kLookup, 2, -ENOENT},
    {kMapArray, 4, 8, 0, Operation::kErase, 1, -EINVAL},
    {kMapArray, 4, 8, 0, Operation::kTake, 1, kNotSupported},
    {kMapArray, 4, 8, 0, Operation::kNext, 1, -ENOENT},
    {kMapArray, 4, 8, 0, Operation::kNext, 7, 0},
    {kMapPercpuArray, 4, 8, 0, Operation::kUpdate, 2, -E2BIG},
    {kMapPercpuArray, 4, 8, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapPercpuArray, 4, 8, 0, Operation::kErase, 1, -EINVAL},
    {kMapHash, 4, 8, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapHash, 4, 8, 0, Operation::kUpdateExist, 9, -ENOENT},
    {kMapHash, 4, 8, 0, Operation::kUpdateBadFlag, 1, -EINVAL},
    {kMapHash, 4, 8, 0, Operation::kUpdateLock, 1, -EINVAL},
    {kMapHash, 4, 8, 0, Operation::kLookup, 9, -ENOENT},
    {kMapHash, 4, 8, 0, Operation::kErase, 9, -ENOENT},
    {kMapHash, 4, 8, 0, Operation::kErase, 1, 0},
    {kMapHash, 4, 8, 0, Operation::kTake, 1, 0},
    {kMapHash, 4, 8, 0, Operation::kTake, 9, -ENOENT},
    {kMapHash, 4, 8, 0, Operation::kNext, 9, 0},
    {kMapPercpuHash, 4, 8, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapPercpuHash, 4, 8, 0, Operation::kTake, 1, 0},
    {kMapLruHash, 4, 8, 0, Operation::kUpdateExist, 9, -ENOENT},
    {kMapLruHash, 4, 8, 0, Operation::kErase, 9, -ENOENT},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kUpdateExist, 9, -ENOENT},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kUpdate, 33, -EINVAL},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kErase, 33, -EINVAL},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kErase, 9, -ENOENT},
    {kMapLpmTrie, 8, 8, kNoPrealloc, Operation::kTake, 1, kNotSupported},
    {kMapQueue, 0, 8, 0, Operation::kUpdateNoExist, 0, -EINVAL},
    {kMapQueue, 0, 8, 0, Operation::kErase, 0, -EINVAL},
    {kMapQueue, 0, 8, 0, Operation::kNext, 0, -EINVAL},
    {kMapStack, 0, 8, 0, Operation::kTake, 0, 0},
    {kMapBloomFilter, 0, 8, 0, Operation::kUpdateExist, 0, -EINVAL},
    {kMapBloomFilter, 0, 8, 0, Operation::kErase, 0, -EOPNOTSUPP},
    {kMapBloomFilter, 0, 8, 0, Operation::kTake, 0, kNotSupported},
    {kMapBloomFilter, 0, 8, 0, Operation::kNext, 0, -EOPNOTSUPP},
    {kMapProgArray, 4, 4, 0, Operation::kUpdate, 1, -EBADF},
    {kMapProgArray, 4, 4, 0, Operation::kUpdate, 2, -E2BIG},
    {kMapProgArray, 4, 4, 0, Operation::kUpdateExist, 1, -EINVAL},
    {kMapProgArray, 4, 4, 0, Operation::kErase, 1, -ENOENT},
    {kMapProgArray, 4, 4, 0, Operation::kErase, 2, -E2BIG},
    {kMapPerfEventArray, 4, 4, 0, Operation::kLookup, 1, kNotSupported},
    {kMapDevmap, 4, 4, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapDevmap, 4, 4, 0, Operation::kUpdate, 2, -E2BIG},
    {kMapDevmap, 4, 4, 0, Operation::kErase, 2, -EINVAL},
    {kMapDevmapHash, 4, 4, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapDevmapHash, 4, 4, 0, Operation::kErase, 9, -ENOENT},
    {kMapCpumap, 4, 4, 0, Operation::kUpdateNoExist, 1, -EEXIST},
    {kMapCpumap, 4, 4, 0, Operation::kErase, 2, -EINVAL},
    {kMapXskmap, 4, 4, 0, Operation::kLookup, 1, -EOPNOTSUPP},
    {kMapSockmap, 4, 8, 0, Operation::kUpdate, 1, -EOPNOTSUPP},
    {kMapSockmap, 4, 8, 0, Operation::kUpdateLock, 1, -EINVAL},
    {kMapSockmap, 4, 8, 0, Operation::kLookup, 1, -ENOENT},
    {kMapSockmap, 4, 4, 0, Operation::kLookup, 1, -ENOSPC},
    {kMapSockmap, 4, 4, 0, Operation::kErase, 1, -EINVAL},
    {kMapSockmap, 4, 4, 0, Operation::kTake, 1, kNotSupported},
    {kMapSockmap, 4, 4, 0, Operation::kNext, 0, 0},
    {kMapSockmap, 4, 4, 0, Operation::kNext, 1, -ENOENT},
    {kMapSockhash, 8, 8, 0, Operation::kUpdate, 1, -EOPNOTSUPP},
    {kMapSockhash, 8, 8, 0, Operation::kLookup, 1, -ENOENT},
    {kMapSockhash, 8, 4, 0, Operation::kLookup, 1, -ENOSPC},
    {kMapSockhash, 8, 4, 0, Operation::kErase, 1, -ENOENT},
    {kMapSockhash, 8, 4, 0, Operation::kNext, 1, -ENOENT},
    {kMapRingbuf, 0, 0, 0, Operation::kUpdate, 0, kNotSupported},
    {kMapRingbuf, 0, 0, 0, Operation::kNext, 0, kNotSupported},
};

int run(Map& map, Operation operation, const void* key) {
  uint64_t value[8] = {1}, next[8] = {};
  switch (operation) {
    case Operation::kUpdate:
      return map.host_update(key, value, kAny);
    case Operation::kUpdateNoExist:
      return map.host_update(key, value, kNoExist);
    case Operation::kUpdateExist:
      return map.host_update(key, value, kExist);
    case Operation::kUpdateBadFlag:
      return map.host_update(key, value, 8);
    case Operation::kUpdateLock:
      return map.host_update(key, value, kLock);
    case Operation::kLookup:
      return map.host_lookup(key, value, 0);
    case Operation::kErase:
      return map.host_erase(key);
    case Operation::kTake:
      return map.host_lookup_and_delete(key, value, 0);
    case Operation::kNext:
      return map.host_next_key(key, next);
  }
  return 1;
}

TEST(MapErrno, EachOperationAnswersAsTheTableSays) {
  for (const Row& row : kTable) {
    MapSpec spec;
    spec.type = row.type;
    spec.key_size = row.key_bytes;
    spec.value_size = row.value_bytes;
    spec.max_entries = row.type == kMapRingbuf ? 4096 : 2;
    spec.flags = row.flags;
    MapOptions options;
    options.cpus = 2;
    int error = 0;
    auto map = Map::create(spec, options, error);
    ASSERT_EQ(error, 0) << "type " << row.type;
    uint32_t stored[2] = {1, 0}, key[2] = {row.key, 0};
    run(*map, Operation::kUpdate, stored);
    EXPECT_EQ(run(*map, row.operation, key), row.expected)
        << "type " << row.type << ", operation " << static_cast<int>(row.operation) << ", key " << row.key;
  }
}

TEST(MapErrno, TypesTheCardLacksAreRefusedByName) {
  for (uint32_t type : {kMapCgroupArray, kMapReuseportSockarray, kMapStackTrace, kMapSkStorage, kMapTaskStorage}) {
    MapSpec spec;
    spec.type = type;
    spec.key_size = spec.value_size = spec.max_entries = 4;
    int error = 0;
    EXPECT_EQ(Map::create(spec, {}, error), nullptr);
    EXPECT_EQ(error, kNotSupported);
    spec.type = 99;
    EXPECT_EQ(Map::create(spec, {}, error), nullptr);
    EXPECT_EQ(error, -EINVAL);
  }
}

}  // namespace
}  // namespace xnic::exec::maps
