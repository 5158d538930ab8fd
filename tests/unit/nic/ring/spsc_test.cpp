// SPDX-License-Identifier: Apache-2.0
#include "nic/ring/spsc.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "nic/ring/local.hpp"

namespace xnic::nic::ring {
namespace {

TEST(Spsc, KeepsOrderAcrossTheEndOfTheCounters) {
  Counters counters{};
  counters.produced = counters.consumed = 0xfffffffe;
  std::vector<uint32_t> entries(4);
  Producer<uint32_t> producer(&counters, entries.data(), 4);
  Consumer<uint32_t> consumer(&counters, entries.data(), 4);
  EXPECT_EQ(producer.room(1), 4u);
  for (uint32_t i = 0; i < 4; ++i) producer.put(i);
  EXPECT_EQ(consumer.available(1), 0u);
  producer.publish();
  EXPECT_EQ(producer.room(1), 0u);
  ASSERT_EQ(consumer.available(1), 4u);
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(consumer.peek(i), i);
  consumer.release(3);
  EXPECT_EQ(producer.room(1), 3u);
  EXPECT_EQ(consumer.available(1), 1u);
}

TEST(Spsc, ALyingProducerBreaksTheConsumersEnd) {
  Counters counters{};
  std::vector<uint32_t> entries(4);
  Consumer<uint32_t> consumer(&counters, entries.data(), 4);
  counters.produced = 5;
  EXPECT_EQ(consumer.available(1), 0u);
  EXPECT_TRUE(consumer.broken());
  counters.produced = 1;
  EXPECT_EQ(consumer.available(1), 0u);
}

TEST(Spsc, ALyingConsumerBreaksTheProducersEnd) {
  Counters counters{};
  std::vector<uint32_t> entries(4);
  Producer<uint32_t> producer(&counters, entries.data(), 4);
  for (uint32_t i = 0; i < 4; ++i) producer.put(i);
  producer.publish();
  counters.consumed = 5;
  EXPECT_EQ(producer.room(1), 0u);
  EXPECT_TRUE(producer.broken());
}

TEST(Spsc, ASleeperIsWokenOrDoesNotSleep) {
  Local<uint32_t> ring(4);
  EXPECT_TRUE(ring.consumer.prepare_sleep());
  EXPECT_TRUE(ring.producer.must_wake());
  EXPECT_FALSE(ring.producer.must_wake());  // said once a sleep
  ring.consumer.wake();
  EXPECT_TRUE(ring.consumer.prepare_sleep());
  ring.consumer.wake();
  EXPECT_FALSE(ring.producer.must_wake());
  ring.producer.put(7);
  ring.producer.publish();
  EXPECT_FALSE(ring.consumer.prepare_sleep());
}

TEST(Spsc, TwoThreadsSeeEveryEntryInOrder) {
  constexpr uint32_t kEntries = 200'000;
  Local<uint32_t> ring(64);
  std::thread producer([&] {
    for (uint32_t next = 0; next < kEntries;) {
      const uint32_t room = std::min(ring.producer.room(8), kEntries - next);
      if (room == 0) std::this_thread::yield();
      for (uint32_t i = 0; i < room; ++i) ring.producer.put(next++);
      ring.producer.publish();
    }
  });
  uint32_t expected = 0;
  uint32_t wrong = 0;
  while (expected < kEntries) {
    const uint32_t count = ring.consumer.available(1);
    if (count == 0) std::this_thread::yield();
    for (uint32_t i = 0; i < count; ++i) wrong += ring.consumer.peek(i) != expected++;
    ring.consumer.release(count);
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
}  // namespace xnic::nic::ring
