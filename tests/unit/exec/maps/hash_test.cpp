// SPDX-License-Identifier: Apache-2.0
// Hash maps as programs see them: addresses, replacement, iteration while deleting, eviction.
#include "exec/maps/hash.hpp"

#include <gtest/gtest.h>

#include <set>

namespace xnic::exec::maps {
namespace {

using arch::ebpf::MapSpec;

std::shared_ptr<Map> make(uint32_t type, uint32_t entries, uint32_t cpus = 1, uint32_t value = 8) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = 4;
  spec.value_size = value;
  spec.max_entries = entries;
  MapOptions options;
  options.cpus = cpus;
  int error = 0;
  auto map = Map::create(spec, options, error);
  EXPECT_EQ(error, 0);
  return map;
}

int put(Map& map, uint32_t key, uint64_t value, uint64_t flags = 0, uint32_t cpu = 0) {
  return map.update(&key, &value, flags, cpu);
}
uint64_t* get(Map& map, uint32_t key, uint32_t cpu = 0) { return static_cast<uint64_t*>(map.lookup(&key, cpu)); }

TEST(HashMap, AFullMapStillReplacesButRefusesNewKeys) {
  auto map = make(arch::ebpf::kMapHash, 3);
  for (uint32_t key = 0; key < 3; ++key) EXPECT_EQ(put(*map, key, key), 0);
  EXPECT_EQ(put(*map, 9, 9), -E2BIG);
  for (uint64_t round = 0; round < 1000; ++round) EXPECT_EQ(put(*map, 1, round), 0);
  EXPECT_EQ(*get(*map, 1), 999u);
  EXPECT_EQ(map->entries(), 3u);
  uint32_t key = 0;
  EXPECT_EQ(map->erase(&key), 0);
  EXPECT_EQ(put(*map, 9, 9), 0);
}

TEST(HashMap, APointerFromLookupKeepsTheOldValueWhenTheKeyIsReplaced) {
  auto map = make(arch::ebpf::kMapHash, 3);
  put(*map, 1, 10);
  uint64_t* old = get(*map, 1);
  put(*map, 1, 20);
  EXPECT_EQ(*old, 10u);
  EXPECT_EQ(*get(*map, 1), 20u);
  EXPECT_TRUE(map->owns(old, 8));
  EXPECT_FALSE(map->owns(old, 9));
  EXPECT_FALSE(map->owns(reinterpret_cast<uint8_t*>(old) - 1, 1));
}

TEST(HashMap, IterationVisitsEachKeyOnceAlthoughVisitedKeysAreDeleted) {
  auto map = make(arch::ebpf::kMapHash, 1000);
  for (uint32_t key = 0; key < 1000; ++key) put(*map, key, key);
  std::set<uint32_t> seen;
  uint32_t key = 0, next = 0;
  int error = map->host_next_key(nullptr, &key);
  while (error == 0) {
    EXPECT_TRUE(seen.insert(key).second);
    error = map->host_next_key(&key, &next);
    EXPECT_EQ(map->host_erase(&key), 0);
    key = next;
  }
  EXPECT_EQ(error, -ENOENT);
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ(map->entries(), 0u);
}

TEST(PercpuHashMap, AProgramsInsertZeroesTheOtherCopiesAndItsUpdateKeepsThem) {
  auto map = make(arch::ebpf::kMapPercpuHash, 2, 3);
  EXPECT_EQ(put(*map, 1, 11, 0, 1), 0);
  EXPECT_EQ(*get(*map, 1, 0), 0u);
  EXPECT_EQ(*get(*map, 1, 1), 11u);
  EXPECT_EQ(put(*map, 1, 22, 0, 2), 0);
  uint64_t all[3] = {};
  uint32_t key = 1;
  EXPECT_EQ(map->host_lookup(&key, all, 0), 0);
  EXPECT_EQ(all[0], 0u);
  EXPECT_EQ(all[1], 11u);
  EXPECT_EQ(all[2], 22u);
}

TEST(LruHashMap, NeverRefusesAnInsertAndKeepsWhatIsUsed) {
  for (uint32_t type : {uint32_t{arch::ebpf::kMapLruHash}, uint32_t{arch::ebpf::kMapLruPercpuHash}}) {
    auto map = make(type, 100);
    for (uint32_t key = 0; key < 100; ++key) EXPECT_EQ(put(*map, key, key), 0);
    EXPECT_EQ(map->entries(), 100u);
    for (uint32_t key = 100; key < 10000; ++key) {
      for (uint32_t hot = 0; hot < 10; ++hot) ASSERT_NE(get(*map, hot), nullptr) << "a key in use was evicted";
      ASSERT_EQ(put(*map, key, key), 0);
      ASSERT_NE(get(*map, key), nullptr);
      ASSERT_EQ(map->entries(), 100u);
    }
    EXPECT_EQ(get(*map, 50), nullptr);
  }
}

TEST(LruHashMap, AMapOfOneEntryHoldsTheLastKey) {
  auto map = make(arch::ebpf::kMapLruHash, 1);
  for (uint32_t key = 0; key < 50; ++key) EXPECT_EQ(put(*map, key, key), 0);
  EXPECT_NE(get(*map, 49), nullptr);
  EXPECT_EQ(map->entries(), 1u);
}

TEST(HashMap, ALockedUpdateWritesInPlaceAndLeavesTheLockWordAlone) {
  MapSpec spec;
  spec.type = arch::ebpf::kMapHash;
  spec.key_size = 4;
  spec.value_size = 12;
  spec.max_entries = 2;
  spec.spin_lock_offset = 4;
  int error = 0;
  auto map = Map::create(spec, {}, error);
  uint32_t key = 1;
  uint32_t value[3] = {1, 0xdead, 3};
  EXPECT_EQ(map->host_update(&key, value, kLock), 0);
  auto* at = static_cast<uint32_t*>(map->lookup(&key, 0));
  EXPECT_EQ(at[1], 0u);
  value[0] = 7;
  EXPECT_EQ(map->host_update(&key, value, kLock | kExist), 0);
  EXPECT_EQ(map->lookup(&key, 0), at);
  uint32_t read[3] = {9, 9, 9};
  EXPECT_EQ(map->host_lookup(&key, read, kLock), 0);
  EXPECT_EQ(read[0], 7u);
  EXPECT_EQ(read[1], 0u);
  EXPECT_EQ(read[2], 3u);
  EXPECT_EQ(map->host_update(&key, value, kLock | kNoExist), -EEXIST);
}

}  // namespace
}  // namespace xnic::exec::maps
