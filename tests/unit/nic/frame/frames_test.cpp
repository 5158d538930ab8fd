// SPDX-License-Identifier: Apache-2.0
#include "nic/frame/frames.hpp"

#include <gtest/gtest.h>

#include <set>

namespace xnic::nic::frame {
namespace {

TEST(Frames, AreEachHandedOutOnce) {
  auto memory = Memory::create(2, 8);
  ASSERT_TRUE(memory) << memory.error().message();
  std::set<uint8_t*> seen;
  for (uint32_t worker = 0; worker < 2; ++worker) {
    Pool& pool = (*memory)->pool(worker);
    EXPECT_EQ(pool.free(), 8u);
    for (int i = 0; i < 8; ++i) {
      uint8_t* frame = pool.get();
      ASSERT_NE(frame, nullptr);
      EXPECT_EQ((*memory)->home_of(frame), worker);
      EXPECT_EQ((*memory)->frame_of(frame + kFrameBytes - 1), frame);
      EXPECT_TRUE(seen.insert(frame).second);
    }
    EXPECT_EQ(pool.get(), nullptr);
  }
}

TEST(Frames, GoHomeFromAnotherWorker) {
  auto memory = Memory::create(2, 4);
  ASSERT_TRUE(memory) << memory.error().message();
  Pool& home = (*memory)->pool(0);
  Pool& other = (*memory)->pool(1);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) other.put(home.get());
    EXPECT_EQ(other.free(), 4u);
    EXPECT_EQ(home.free(), 4u);
  }
}

TEST(Frames, RefusesCountsThatMakeNoRing) {
  EXPECT_FALSE(Memory::create(0, 8));
  auto odd = Memory::create(1, 12);
  ASSERT_FALSE(odd);
  EXPECT_NE(odd.error().message().find("power of two"), std::string::npos);
}

}  // namespace
}  // namespace xnic::nic::frame
