// SPDX-License-Identifier: Apache-2.0
// Four threads on one map. Values carry a copy of their key, so that a value under the wrong key or a torn one shows;
// keys that nobody deletes must always be found. Runs under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/rng.hpp"
#include "exec/maps/map.hpp"
#include "exec/maps/ringbuf.hpp"

namespace xnic::exec::maps {
namespace {

constexpr uint32_t kThreads = 4;
constexpr auto kRun = std::chrono::milliseconds(400);

std::shared_ptr<Map> make(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0) {
  arch::ebpf::MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  spec.flags = flags;
  MapOptions options;
  options.cpus = kThreads;
  int error = 0;
  auto map = Map::create(spec, options, error);
  EXPECT_EQ(error, 0);
  return map;
}

template <class Body>
void run_threads(Body body) {
  std::vector<std::thread> threads;
  auto end = std::chrono::steady_clock::now() + kRun;
  for (uint32_t cpu = 0; cpu < kThreads; ++cpu)
    threads.emplace_back([=] {
      base::Rng rng(cpu + 1);
      while (std::chrono::steady_clock::now() < end)
        for (int i = 0; i < 200; ++i) body(cpu, rng);
    });
  for (auto& thread : threads) thread.join();
}

// Keys below 16 stay for ever; the others come and go. The table is small, so chains are shared and elements reused.
void stress_hash(uint32_t type, uint32_t entries, bool may_be_full) {
  auto map = make(type, 8, 16, entries);
  std::atomic<uint64_t> missing{0}, wrong{0}, refused{0};
  auto put = [&](uint64_t key, uint64_t salt, uint32_t cpu) {
    uint64_t value[2] = {key, salt};
    return map->update(&key, value, 0, cpu);
  };
  for (uint64_t key = 0; key < 16; ++key) ASSERT_EQ(put(key, 0, 0), 0);
  run_threads([&](uint32_t cpu, base::Rng& rng) {
    uint64_t key = rng.below(60);
    switch (rng.below(4)) {
      case 0: {
        int error = put(key, rng.next(), cpu);
        if (error != 0 && !(error == -E2BIG && may_be_full && key >= 16)) refused.fetch_add(1);
        break;
      }
      case 1:
        if (key >= 16) map->erase(&key);
        break;
      case 2: {
        uint64_t next = 0;
        int error = map->host_next_key(&key, &next);
        if (error == 0 && next >= 60) wrong.fetch_add(1);
        break;
      }
      default: {
        void* found = map->lookup(&key, cpu);
        if (found == nullptr && key < 16) missing.fetch_add(1);
      }
    }
  });
  EXPECT_EQ(missing, 0u);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(refused, 0u);
  // At rest every value belongs to its key, and the count is that of the iteration.
  uint64_t key = 0, count = 0;
  for (int error = map->host_next_key(nullptr, &key); error == 0; error = map->host_next_key(&key, &key)) {
    ++count;
    uint64_t value[2 * kThreads];
    ASSERT_EQ(map->host_lookup(&key, value, 0), 0);
    if (!arch::ebpf::is_percpu(type)) {
      EXPECT_EQ(value[0], key);
    }
  }
  EXPECT_EQ(map->entries(), count);
}

TEST(ConcurrentMaps, AHashNeverLosesAKeyThatStays) { stress_hash(arch::ebpf::kMapHash, 64, false); }
TEST(ConcurrentMaps, AFullHashRefusesOnlyNewKeys) { stress_hash(arch::ebpf::kMapHash, 24, true); }
TEST(ConcurrentMaps, APercpuHashNeverLosesAKeyThatStays) { stress_hash(arch::ebpf::kMapPercpuHash, 64, false); }

TEST(ConcurrentMaps, AnLruHashNeverRefusesAnInsert) {
  for (uint32_t type : {arch::ebpf::kMapLruHash, arch::ebpf::kMapLruPercpuHash})
    for (uint32_t entries : {1u, 3u, 300u}) {
      auto map = make(type, 8, 16, entries);
      std::atomic<uint64_t> refused{0};
      run_threads([&](uint32_t cpu, base::Rng& rng) {
        uint64_t key = rng.below(1000), value[2] = {key, rng.next()};
        if (rng.chance(1, 2)) {
          if (map->update(&key, value, 0, cpu) != 0) refused.fetch_add(1);
        } else if (rng.chance(1, 8)) {
          map->erase(&key);
        } else {
          map->lookup(&key, cpu);
        }
      });
      EXPECT_EQ(refused, 0u);
      EXPECT_LE(map->entries(), entries);
    }
}

TEST(ConcurrentMaps, ATrieNeverLosesAPrefixThatStays) {
  auto map = make(arch::ebpf::kMapLpmTrie, 8, 8, 300, arch::ebpf::kNoPrealloc);
  uint8_t wide[8] = {8, 0, 0, 0, 10, 0, 0, 0};  // 10/8
  uint64_t value = 1;
  ASSERT_EQ(map->update(wide, &value, 0, 0), 0);
  std::atomic<uint64_t> missing{0}, failed{0};
  run_threads([&](uint32_t cpu, base::Rng& rng) {
    uint8_t key[8] = {static_cast<uint8_t>(rng.range(9, 32)),
                      0,
                      0,
                      0,
                      10,
                      static_cast<uint8_t>(rng.below(4) * 0x50),
                      static_cast<uint8_t>(rng.below(2)),
                      static_cast<uint8_t>(rng.below(2))};
    uint64_t any = rng.next();
    if (rng.chance(1, 3)) {
      int error = map->update(key, &any, 0, cpu);
      if (error != 0 && error != -ENOSPC) failed.fetch_add(1);
    } else if (rng.chance(1, 3)) {
      map->erase(key);
    } else if (rng.chance(1, 4)) {
      uint8_t next[8];
      map->host_next_key(key, next);
    } else if (map->lookup(key, cpu) == nullptr) {
      missing.fetch_add(1);
    }
  });
  EXPECT_EQ(missing, 0u);
  EXPECT_EQ(failed, 0u);
}

TEST(ConcurrentMaps, AQueueDeliversEachValueOnce) {
  auto map = make(arch::ebpf::kMapQueue, 0, 8, 64);
  std::atomic<uint64_t> pushed{0}, popped{0};
  run_threads([&](uint32_t, base::Rng& rng) {
    uint64_t value = rng.next() >> 8;
    if (rng.chance(1, 2)) {
      if (map->push(&value, 0) == 0) pushed.fetch_add(value);
    } else if (map->pop(&value) == 0) {
      popped.fetch_add(value);
    }
  });
  for (uint64_t value = 0; map->pop(&value) == 0;) popped.fetch_add(value);
  EXPECT_EQ(pushed, popped);
}

TEST(ConcurrentMaps, ARingBufferDeliversEachSampleOnce) {
  auto map = make(arch::ebpf::kMapRingbuf, 0, 0, 4096);
  auto& ring = dynamic_cast<RingbufMap&>(*map);
  std::atomic<uint64_t> sent{0}, received{0};
  auto consume = [&] {
    auto* read = reinterpret_cast<uint64_t*>(ring.storage());
    uint64_t at = __atomic_load_n(read, __ATOMIC_RELAXED);
    while (at < ring.query(RingbufMap::kProducerPosition)) {
      uint8_t* record = ring.storage() + 8192 + (at & 4095);
      uint32_t length = __atomic_load_n(reinterpret_cast<uint32_t*>(record), __ATOMIC_ACQUIRE);
      if ((length >> 31) != 0) break;
      if ((length >> 30 & 1) == 0) received.fetch_add(base::load<uint64_t>(record + 8));
      at += ((length & 0x3fffffff) + 15) / 8 * 8;
      __atomic_store_n(read, at, __ATOMIC_RELEASE);
    }
  };
  run_threads([&](uint32_t cpu, base::Rng& rng) {
    if (cpu == 0) return consume();
    uint64_t words[8] = {rng.next() >> 8};
    void* sample = ring.reserve(rng.range(8, 64));
    if (sample == nullptr) return;
    std::memcpy(sample, words, 8);
    bool discard = rng.chance(1, 8);
    if (!discard) sent.fetch_add(words[0]);
    ring.commit(sample, 0, discard);
  });
  consume();
  EXPECT_EQ(sent, received);
}

}  // namespace
}  // namespace xnic::exec::maps
