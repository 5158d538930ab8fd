// SPDX-License-Identifier: Apache-2.0
// Differential test: the same random operations on a map of the live kernel and on ours must give the same errno and
// the same values. Keys come from a small range, so that hits, misses, full maps and bad indexes all happen.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/rng.hpp"
#include "exec/maps/map.hpp"
#include "kernel_map.hpp"

namespace xnic::exec::maps {
namespace {

using arch::ebpf::MapSpec;
using test::KernelMap;

#define SKIP_WITHOUT_BPF()     \
  if (!KernelMap::permitted()) \
  GTEST_SKIP() << "bpf(2) is not permitted here, so there is no kernel map to compare with."

MapSpec spec_of(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags = 0, uint64_t extra = 0) {
  MapSpec spec;
  spec.type = type;
  spec.key_size = key;
  spec.value_size = value;
  spec.max_entries = entries;
  spec.flags = flags;
  spec.map_extra = extra;
  return spec;
}

MapOptions options() {
  MapOptions result;
  result.cpus = test::possible_cpus();
  return result;
}

using Buffer = std::vector<uint8_t>;

// A kernel map and ours, side by side; every call compares.
struct Pair {
  explicit Pair(const MapSpec& spec) : kernel(spec), spec(spec) {
    int error = 0;
    ours = Map::create(spec, options(), error);
    EXPECT_EQ(kernel.fd() < 0 ? kernel.fd() : 0, error);
  }
  bool ready() const { return kernel.fd() >= 0 && ours != nullptr; }
  Buffer value_buffer(uint8_t fill) const { return Buffer(ours->host_value_bytes(), fill); }
  static const void* address(const Buffer& key) { return key.empty() ? nullptr : key.data(); }

  int update(const Buffer& key, const Buffer& value, uint64_t flags) {
    int wanted = kernel.update(address(key), value.data(), flags);
    int got = ours->host_update(address(key), value.data(), flags);
    EXPECT_EQ(got, wanted) << "update, flags " << flags;
    return wanted;
  }
  int lookup(const Buffer& key, uint64_t flags) {
    Buffer theirs = value_buffer(0xaa), mine = value_buffer(0xaa);
    int wanted = kernel.lookup(address(key), theirs.data(), flags);
    int got = ours->host_lookup(address(key), mine.data(), flags);
    EXPECT_EQ(got, wanted) << "lookup, flags " << flags;
    if (wanted == 0) {
      EXPECT_EQ(mine, theirs) << "value of lookup";
    }
    return wanted;
  }
  int erase(const Buffer& key) {
    int wanted = kernel.erase(address(key));
    EXPECT_EQ(ours->host_erase(address(key)), wanted) << "erase";
    return wanted;
  }
  int lookup_and_delete(const Buffer& key, uint64_t flags) {
    Buffer theirs = value_buffer(0xaa), mine = value_buffer(0xaa);
    int wanted = kernel.lookup_and_delete(address(key), theirs.data(), flags);
    int got = ours->host_lookup_and_delete(address(key), mine.data(), flags);
    EXPECT_EQ(got, wanted) << "lookup_and_delete, flags " << flags;
    if (wanted == 0) {
      EXPECT_EQ(mine, theirs) << "value of lookup_and_delete";
    }
    return wanted;
  }
  // All keys in the order of each side.
  std::vector<Buffer> kernel_keys() {
    return keys([&](const void* key, void* next) { return kernel.next_key(key, next); });
  }
  std::vector<Buffer> our_keys() {
    return keys([&](const void* key, void* next) { return ours->host_next_key(key, next); });
  }
  template <class Next>
  std::vector<Buffer> keys(Next next) {
    std::vector<Buffer> result;
    Buffer at(spec.key_size);
    int error = next(nullptr, at.data());
    while (error == 0 && result.size() < 100000) {
      result.push_back(at);
      Buffer after(spec.key_size);
      error = next(at.data(), after.data());
      at = after;
    }
    EXPECT_EQ(error, -ENOENT);
    return result;
  }

  KernelMap kernel;
  MapSpec spec;
  std::shared_ptr<Map> ours;
};

struct Mix {
  uint32_t key_range;
  bool ordered;  // keys come in the same order on both sides
  bool deletes = true;
  uint64_t seed = 1;
};

Buffer random_bytes(base::Rng& rng, size_t bytes) {
  Buffer result(bytes);
  for (auto& byte : result) byte = static_cast<uint8_t>(rng.next());
  return result;
}

Buffer key_of(uint64_t number, uint32_t bytes) {
  Buffer key(bytes);
  if (bytes != 0) std::memcpy(key.data(), &number, std::min<size_t>(bytes, sizeof number));
  return key;
}

// The padding of a per-CPU copy is not part of the value: both sides must be given the same zeros there.
Buffer random_value(base::Rng& rng, const Pair& pair) { return random_bytes(rng, pair.ours->host_value_bytes()); }

std::set<std::string> as_set(const std::vector<Buffer>& keys) {
  std::set<std::string> result;
  for (const Buffer& key : keys) result.emplace(key.begin(), key.end());
  return result;
}

void expect_same_keys(Pair& pair, bool ordered) {
  auto mine = pair.our_keys(), theirs = pair.kernel_keys();
  if (ordered) {
    EXPECT_EQ(mine, theirs);
    return;
  }
  EXPECT_EQ(as_set(mine), as_set(theirs));
  EXPECT_EQ(mine.size(), theirs.size());
}

void run_random(const MapSpec& spec, const Mix& mix) {
  Pair pair(spec);
  ASSERT_TRUE(pair.ready());
  base::Rng rng(mix.seed);
  constexpr uint64_t kFlags[] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 8, uint64_t{1} << 40};
  for (int step = 0; step < 4000 && !::testing::Test::HasFailure(); ++step) {
    Buffer key = key_of(rng.below(mix.key_range), spec.key_size);
    uint64_t flags = kFlags[rng.below(std::size(kFlags))];
    switch (rng.below(8)) {
      case 0:
      case 1:
      case 2:
      case 3:
        pair.update(key, random_value(rng, pair), flags);
        break;
      case 4:
      case 5:
        pair.lookup(key, rng.chance(1, 8) ? flags : 0);
        break;
      case 6:
        if (mix.deletes) pair.erase(key);
        break;
      default:
        pair.lookup_and_delete(key, rng.chance(1, 8) ? flags : 0);
    }
    if (step % 400 == 399 && spec.key_size != 0) expect_same_keys(pair, mix.ordered);
  }
}

TEST(KernelParity, ArrayAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t value : {1u, 4u, 7u, 8u, 64u, 100u})
    run_random(spec_of(arch::ebpf::kMapArray, 4, value, 20), {24, true});
}

TEST(KernelParity, PercpuArrayAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t value : {8u, 16u, 64u}) run_random(spec_of(arch::ebpf::kMapPercpuArray, 4, value, 20), {24, true});
}

TEST(KernelParity, HashAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t key : {1u, 3u, 4u, 8u, 13u, 16u, 40u})
    for (uint32_t flags : {0u, uint32_t{arch::ebpf::kNoPrealloc}})
      run_random(spec_of(arch::ebpf::kMapHash, key, 12, 20, flags), {30, false});
}

TEST(KernelParity, PercpuHashAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t key : {4u, 6u, 16u}) run_random(spec_of(arch::ebpf::kMapPercpuHash, key, 16, 20), {30, false});
}

// Below capacity nothing may be evicted. The kernel's LRU evicts early, so it gets a map that is far larger.
TEST(KernelParity, LruHashBelowCapacityAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  run_random(spec_of(arch::ebpf::kMapLruHash, 4, 12, 4096), {30, false});
  run_random(spec_of(arch::ebpf::kMapLruPercpuHash, 4, 16, 4096), {30, false});
}

TEST(KernelParity, QueueAndStackAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t type : {uint32_t{arch::ebpf::kMapQueue}, uint32_t{arch::ebpf::kMapStack}})
    for (uint32_t value : {4u, 7u, 16u}) run_random(spec_of(type, 0, value, 5), {1, false});
}

// Keys of few address bits, so that prefixes nest, fork and vanish; iteration must be in the kernel's post-order.
void run_random_trie(uint32_t address_bytes, uint32_t entries, uint64_t seed) {
  Pair pair(spec_of(arch::ebpf::kMapLpmTrie, 4 + address_bytes, 8, entries, arch::ebpf::kNoPrealloc));
  ASSERT_TRUE(pair.ready());
  base::Rng rng(seed);
  auto random_key = [&] {
    Buffer key(4 + address_bytes);
    auto bits = static_cast<uint32_t>(rng.below(address_bytes * 8 + (rng.chance(1, 20) ? 4 : 1)));
    base::store<uint32_t>(key.data(), bits);
    for (uint32_t i = 0; i < address_bytes; ++i)
      key[4 + i] = static_cast<uint8_t>(rng.chance(1, 3) ? rng.next() : (rng.below(4) * 0x55));
    return key;
  };
  for (int step = 0; step < 4000 && !::testing::Test::HasFailure(); ++step) {
    Buffer key = random_key();
    if (rng.chance(1, 3)) {  // an existing prefix
      auto keys = pair.our_keys();
      if (!keys.empty()) key = keys[rng.below(keys.size())];
    }
    switch (rng.below(6)) {
      case 0:
      case 1:
      case 2:
        pair.update(key, random_value(rng, pair), rng.below(5));
        break;
      case 3:
        pair.erase(key);
        break;
      case 4:
        pair.lookup(key, 0);
        break;
      default: {
        Buffer theirs(key.size()), mine(key.size());
        EXPECT_EQ(pair.ours->host_next_key(key.data(), mine.data()), pair.kernel.next_key(key.data(), theirs.data()));
        EXPECT_EQ(mine, theirs);
        pair.lookup_and_delete(key, 0);
      }
    }
    if (step % 100 == 99) expect_same_keys(pair, true);
  }
}

TEST(KernelParity, LpmTrieAnswersAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t address_bytes : {1u, 4u, 9u, 16u})
    for (uint32_t entries : {10u, 200u}) run_random_trie(address_bytes, entries, address_bytes + entries);
}

TEST(KernelParity, BloomFilterAnswersAsTheKernelButForFalsePositives) {
  SKIP_WITHOUT_BPF();
  for (uint64_t functions : {0u, 1u, 7u}) {
    Pair pair(spec_of(arch::ebpf::kMapBloomFilter, 0, 8, 1000, 0, functions));
    ASSERT_TRUE(pair.ready());
    int mine = 0, theirs = 0;
    for (uint64_t value = 0; value < 1000; ++value)
      EXPECT_EQ(pair.update({}, key_of(value, 8), value % 50 == 0 ? value % 7 : 0) != 0,
                value % 50 == 0 && value % 7 != 0);
    for (uint64_t value = 0; value < 11000; ++value) {
      Buffer one = key_of(value, 8), two = one;
      int wanted = pair.kernel.lookup(nullptr, one.data(), 0);
      int got = pair.ours->host_lookup(nullptr, two.data(), 0);
      if (value < 1000 && value % 50 != 0) {
        EXPECT_EQ(got, 0) << "a pushed value must be found";
      }
      if (value >= 1000) {
        mine += got == 0 ? 1 : 0;
        theirs += wanted == 0 ? 1 : 0;
      }
    }
    EXPECT_NEAR(mine, theirs, 100 + theirs / 2.0) << "false positives of 10000";
    pair.erase({});
    pair.lookup_and_delete({}, 0);
    EXPECT_EQ(pair.ours->host_next_key(nullptr, &mine), pair.kernel.next_key(nullptr, &mine));
  }
}

TEST(KernelParity, RingBuffersRefuseElementOperationsAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t type : {uint32_t{arch::ebpf::kMapRingbuf}, uint32_t{arch::ebpf::kMapUserRingbuf}}) {
    Pair pair(spec_of(type, 0, 0, 8192));
    ASSERT_TRUE(pair.ready());
    uint64_t word = 0;
    pair.update({}, Buffer(8), 0);
    EXPECT_EQ(pair.ours->host_lookup(nullptr, &word, 0), pair.kernel.lookup(nullptr, &word, 0));
    pair.erase({});
    EXPECT_EQ(pair.ours->host_lookup_and_delete(nullptr, &word, 0), pair.kernel.lookup_and_delete(nullptr, &word, 0));
    EXPECT_EQ(pair.ours->host_next_key(nullptr, &word), pair.kernel.next_key(nullptr, &word));
  }
}

TEST(KernelParity, CreationChecksOfKeylessMapsAndTriesAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t type : {arch::ebpf::kMapQueue, arch::ebpf::kMapStack, arch::ebpf::kMapBloomFilter,
                        arch::ebpf::kMapRingbuf, arch::ebpf::kMapUserRingbuf, arch::ebpf::kMapLpmTrie})
    for (uint32_t bit = 0; bit <= 14; ++bit)
      for (uint32_t key : {0u, 1u, 4u, 5u, 260u, 261u})
        for (uint32_t value : {0u, 1u, 8u, 4194000u, 4194304u, 4194305u})
          for (uint32_t entries : {0u, 1u, 3u, 4096u, 4097u, 12288u}) {
            if (value > 8 && (entries > 3 || bit > 1)) continue;
            for (uint64_t extra : {0u, 15u, 16u}) {
              MapSpec spec = spec_of(type, key, value, entries, bit == 0 ? 0 : 1u << (bit - 1), extra);
              if (type == arch::ebpf::kMapLpmTrie) spec.flags ^= arch::ebpf::kNoPrealloc;
              KernelMap kernel(spec);
              int error = 0;
              auto ours = Map::create(spec, options(), error);
              ASSERT_EQ(error, kernel.fd() < 0 ? kernel.fd() : 0)
                  << "type " << type << " key " << key << " value " << value << " entries " << entries << " flags "
                  << spec.flags << " extra " << extra;
            }
          }
}

// Creation: every combination of sizes and flags must be accepted or refused alike, with the same errno.
TEST(KernelParity, CreationChecksAnswerAsTheKernel) {
  SKIP_WITHOUT_BPF();
  constexpr uint32_t kTypes[] = {arch::ebpf::kMapArray,   arch::ebpf::kMapPercpuArray,
                                 arch::ebpf::kMapHash,    arch::ebpf::kMapPercpuHash,
                                 arch::ebpf::kMapLruHash, arch::ebpf::kMapLruPercpuHash};
  constexpr uint32_t kKeys[] = {0, 1, 4, 5, 8, 16, 260, 261, 4194304};
  constexpr uint32_t kValues[] = {0, 1, 3, 4, 8, 12, 32761, 32768, 32769};
  constexpr uint32_t kEntries[] = {0, 1, 3, 4096};
  for (uint32_t type : kTypes)
    for (uint32_t bit = 0; bit <= 18; ++bit)
      for (uint32_t key : kKeys)
        for (uint32_t value : kValues)
          for (uint32_t entries : kEntries) {
            uint32_t flags = bit == 0 ? 0 : 1u << (bit - 1);
            if (bit == 18) flags = arch::ebpf::kRdonlyProg | arch::ebpf::kWronlyProg;
            if (value > 30000 && entries > 4) continue;  // the kernel would allocate hundreds of megabytes
            if (bit > 3 && (key > 16 || value > 16)) continue;
            MapSpec spec = spec_of(type, key, value, entries, flags);
            KernelMap kernel(spec);
            int error = 0;
            auto ours = Map::create(spec, options(), error);
            ASSERT_EQ(error, kernel.fd() < 0 ? kernel.fd() : 0)
                << "type " << type << " key " << key << " value " << value << " entries " << entries << " flags "
                << flags;
            ASSERT_EQ(ours != nullptr, error == 0);
          }
}

TEST(KernelParity, AFrozenMapRefusesTheHostsWritesAsTheKernel) {
  SKIP_WITHOUT_BPF();
  for (uint32_t type : {uint32_t{arch::ebpf::kMapArray}, uint32_t{arch::ebpf::kMapHash}}) {
    Pair pair(spec_of(type, 4, 8, 4));
    ASSERT_TRUE(pair.ready());
    pair.update(key_of(1, 4), Buffer(8, 7), 0);
    EXPECT_EQ(pair.ours->freeze(), pair.kernel.freeze());
    EXPECT_EQ(pair.ours->freeze(), pair.kernel.freeze());
    EXPECT_EQ(pair.update(key_of(1, 4), Buffer(8, 9), 0), -EPERM);
    pair.erase(key_of(1, 4));
    pair.lookup_and_delete(key_of(1, 4), 0);
    EXPECT_EQ(pair.lookup(key_of(1, 4), 0), 0);
  }
}

}  // namespace
}  // namespace xnic::exec::maps
