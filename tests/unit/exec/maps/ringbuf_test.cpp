// SPDX-License-Identifier: Apache-2.0
// Ring buffers as the host sees them: a consumer that reads the shared file as libbpf's ring_buffer__poll does.
#include "exec/maps/ringbuf.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>

#include "base/bytes.hpp"
#include "base/rng.hpp"

namespace xnic::exec::maps {
namespace {

using Sample = std::vector<uint8_t>;
constexpr uint32_t kRing = 8192;

// The host's view: its own mapping of the storage file.
struct Host {
  explicit Host(uint32_t type = arch::ebpf::kMapRingbuf) : fd(memfd_create("ring", 0)) {
    arch::ebpf::MapSpec spec;
    spec.type = type;
    spec.max_entries = kRing;
    MapOptions options;
    options.storage_fd = fd;
    int error = 0;
    map = Map::create(spec, options, error);
    EXPECT_EQ(error, 0);
    constexpr size_t kBytes = 2 * 4096 + 2 * kRing;
    base = static_cast<uint8_t*>(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  }
  ~Host() {
    munmap(base, 2 * 4096 + 2 * kRing);
    close(fd);
  }
  RingbufMap& ring() { return dynamic_cast<RingbufMap&>(*map); }
  uint64_t* consumer() { return reinterpret_cast<uint64_t*>(base); }
  uint64_t* producer() { return reinterpret_cast<uint64_t*>(base + 4096); }
  uint8_t* record(uint64_t position) { return base + 8192 + (position & (kRing - 1)); }
  // Takes what is ready, in order; stops at a busy record.
  std::vector<Sample> consume() {
    std::vector<Sample> result;
    while (*consumer() < *producer()) {
      uint8_t* at = record(*consumer());
      auto length = base::load<uint32_t>(at);
      if ((length >> 31 & 1) != 0) break;
      uint32_t bytes = length & 0x3fffffff;
      if ((length >> 30 & 1) == 0) result.emplace_back(at + 8, at + 8 + bytes);
      *consumer() += (bytes + 8 + 7) / 8 * 8;
    }
    return result;
  }
  int fd;
  std::shared_ptr<Map> map;
  uint8_t* base;
};

TEST(Ringbuf, ARandomSequenceArrivesInOrderWithoutTheDiscardedOnes) {
  Host host;
  base::Rng rng(5);
  std::deque<Sample> wanted;
  for (int step = 0; step < 20000; ++step) {
    Sample sample(rng.below(900));
    for (auto& byte : sample) byte = static_cast<uint8_t>(rng.next());
    void* at = host.ring().reserve(sample.size());
    if (at == nullptr) {
      EXPECT_GT(host.ring().query(RingbufMap::kAvailableBytes) + sample.size() + 16, kRing);
    } else {
      ASSERT_TRUE(host.map->owns(at, sample.size()));
      ASSERT_EQ(RingbufMap::of_sample(at), &host.ring());
      if (!sample.empty()) std::memcpy(at, sample.data(), sample.size());
      bool discard = rng.chance(1, 4);
      host.ring().commit(at, 0, discard);
      if (!discard) wanted.push_back(sample);
    }
    if (!rng.chance(1, 5)) continue;
    for (Sample& got : host.consume()) {
      ASSERT_FALSE(wanted.empty());
      ASSERT_EQ(got, wanted.front());
      wanted.pop_front();
    }
    ASSERT_TRUE(wanted.empty());
  }
}

TEST(Ringbuf, ABusyRecordHoldsBackTheConsumerAndTheProducer) {
  Host host;
  int woken = 0;
  host.ring().set_wakeup([&] { ++woken; });
  void* first = host.ring().reserve(16);
  uint64_t word = 7;
  EXPECT_EQ(host.ring().output(&word, 8, 0), 0);
  EXPECT_EQ(woken, 0) << "the consumer waits for the first record, not for this one";
  EXPECT_EQ(host.consume().size(), 0u);
  EXPECT_EQ(host.ring().output(&word, 8, 4), -EINVAL);
  int more = 0;
  while (host.ring().output(&word, 8, 0) == 0) ++more;
  EXPECT_EQ(more, (kRing - 8 - 24 - 16) / 16) << "the ring never fills to its last 8 bytes";
  EXPECT_EQ(host.ring().output(&word, 8, 0), -EAGAIN);
  host.ring().commit(first, 0, true);
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(host.consume().size(), static_cast<size_t>(more) + 1);
  EXPECT_EQ(host.ring().query(RingbufMap::kAvailableBytes), 0u);
  EXPECT_EQ(host.ring().query(RingbufMap::kRingBytes), kRing);
  EXPECT_EQ(host.ring().query(9), 0u);
  EXPECT_EQ(host.ring().reserve(kRing), nullptr);
}

TEST(Ringbuf, AHeaderTellsLengthAndPage) {
  Host host;
  uint64_t word = 7;
  EXPECT_EQ(host.ring().output(&word, 5, 0), 0);
  EXPECT_EQ(base::load<uint32_t>(host.record(0)), 5u);
  EXPECT_EQ(base::load<uint32_t>(host.record(0) + 4), 2u);
  EXPECT_EQ(*host.producer(), 16u);
}

// The host as a producer, writing linearly from each record's start as libbpf's user_ring_buffer__reserve does.
TEST(UserRingbuf, SamplesOfTheHostArriveInOrderAndNonsenseIsRefused) {
  Host host(arch::ebpf::kMapUserRingbuf);
  base::Rng rng(6);
  void* sample = nullptr;
  uint32_t size = 0;
  EXPECT_EQ(host.ring().next_user_sample(&sample, &size), -ENODATA);
  for (int step = 0; step < 2000; ++step) {
    Sample wanted(rng.range(1, 700));
    for (auto& byte : wanted) byte = static_cast<uint8_t>(rng.next());
    bool discard = rng.chance(1, 5);
    uint8_t* at = host.record(*host.producer());
    base::store<uint32_t>(at, static_cast<uint32_t>(wanted.size()) | (discard ? 1u << 30 : 0));
    std::memcpy(at + 8, wanted.data(), wanted.size());
    *host.producer() += (wanted.size() + 8 + 7) / 8 * 8;
    ASSERT_TRUE(host.ring().begin_drain());
    EXPECT_FALSE(host.ring().begin_drain());
    int error = host.ring().next_user_sample(&sample, &size);
    ASSERT_EQ(error, discard ? -EAGAIN : 0);
    if (!discard) {
      ASSERT_EQ(Sample(static_cast<uint8_t*>(sample), static_cast<uint8_t*>(sample) + size), wanted);
      host.ring().release_user_sample(size);
    }
    host.ring().end_drain();
    ASSERT_EQ(*host.consumer(), *host.producer());
  }
  *host.producer() += 4;
  EXPECT_EQ(host.ring().next_user_sample(&sample, &size), -EINVAL);
  *host.producer() += 4;
  base::store<uint32_t>(host.record(*host.consumer()), 4000);
  EXPECT_EQ(host.ring().next_user_sample(&sample, &size), -EINVAL) << "longer than the producer's position allows";
  *host.producer() += 100000;
  base::store<uint32_t>(host.record(*host.consumer()), 60000);
  EXPECT_EQ(host.ring().next_user_sample(&sample, &size), -E2BIG) << "longer than the ring";
  base::store<uint32_t>(host.record(*host.consumer()), 8u | 1u << 31);
  EXPECT_EQ(host.ring().next_user_sample(&sample, &size), -ENODATA) << "busy";
}

TEST(MmapableArray, TheHostsMappingOfTheFileIsTheArraysStorage) {
  int fd = memfd_create("array", 0);
  arch::ebpf::MapSpec spec;
  spec.type = arch::ebpf::kMapArray;
  spec.key_size = 4;
  spec.value_size = 12;
  spec.max_entries = 3;
  spec.flags = arch::ebpf::kMmapable;
  MapOptions options;
  options.storage_fd = fd;
  int error = 0;
  auto map = Map::create(spec, options, error);
  ASSERT_EQ(error, 0);
  EXPECT_EQ(lseek(fd, 0, SEEK_END), 4096);
  auto* view = static_cast<uint8_t*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  uint32_t key = 2, value[3] = {1, 2, 3};
  EXPECT_EQ(map->host_update(&key, value, 0), 0);
  EXPECT_EQ(std::memcmp(view + 2 * 16, value, 12), 0);
  view[2 * 16] = 9;
  EXPECT_EQ(*static_cast<uint8_t*>(map->lookup(&key, 0)), 9);
  EXPECT_EQ(map->values_base() + 32, map->lookup(&key, 0));
  munmap(view, 4096);
  close(fd);
}

}  // namespace
}  // namespace xnic::exec::maps
