// SPDX-License-Identifier: Apache-2.0
// The card between two memory ports: real rings, peers of other processes' kind.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "card_fixture.hpp"
#include "nic/port/memory.hpp"
#include "nic/port/memory_peer.hpp"

namespace xnic::nic::datapath {
namespace {

class MemoryPorts : public CardTest {
 protected:
  MemoryPorts() {
    char folder[] = "/tmp/xnic-test-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~MemoryPorts() override {
    card_.reset();
    std::filesystem::remove_all(folder_);
  }
  port::MemoryPeer add_memory_port(uint32_t ifindex, uint32_t mtu = 1500) {
    port::Info info;
    info.name = "memory" + std::to_string(ifindex);
    info.ifindex = ifindex;
    info.mtu = mtu;
    info.lossless = true;
    port::MemoryOptions options;
    options.path = folder_ + "/" + info.name;
    options.entries = 64;
    auto port = port::open_memory(info, options);
    EXPECT_TRUE(port) << port.error().message();
    EXPECT_TRUE(card_->add_port(std::move(*port)));
    auto peer = port::MemoryPeer::attach(options.path);
    EXPECT_TRUE(peer) << peer.error().message();
    return std::move(*peer);
  }
  static std::vector<Frame> take(port::MemoryPeer& peer) {
    std::vector<Frame> frames;
    const uint32_t count = peer.available(0, 64);
    for (uint32_t i = 0; i < count; ++i) {
      const base::Bytes frame = peer.frame(0, i);
      frames.emplace_back(frame.begin(), frame.end());
    }
    peer.release(0, count);
    return frames;
  }
  std::string folder_;
};

TEST_F(MemoryPorts, CarryFramesBothWaysInOrder) {
  port::MemoryPeer one = add_memory_port(2);
  port::MemoryPeer two = add_memory_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  ASSERT_GE(attach(4, "obey"), 0);
  uint32_t sent = 0, got = 0;
  // The receiver takes less than is sent at first, so that the rings and the backlog fill.
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < 4 && sent < 600; ++i) {
      Frame frame = order(kInterface, 4);
      base::store(frame.data() + 30, sent);
      const base::Bytes bytes(frame);
      if (one.send(0, {&bytes, 1}) == 1) ++sent;
    }
    poll_all();
    if (round < 100) continue;
    for (const Frame& frame : take(two)) EXPECT_EQ(base::load<uint32_t>(frame.data() + 30), got++);
  }
  EXPECT_EQ(sent, 600u);
  EXPECT_EQ(got, 600u);
  EXPECT_EQ(card_->totals().dropped(), 0u);
  const Frame back = order(kInterface, 2);
  const base::Bytes bytes(back);
  EXPECT_EQ(two.send(0, {&bytes, 1}), 1u);
  poll_all();
  EXPECT_EQ(take(one).size(), 1u);
}

TEST_F(MemoryPorts, CarryJumboFrames) {
  port::MemoryPeer one = add_memory_port(2, 9000);
  ASSERT_GE(attach(2, "obey"), 0);
  Frame frame = order(kReturn, XDP_TX);
  for (uint32_t i = 60; i < 9014; ++i) frame.push_back(static_cast<uint8_t>(i * 3));
  const base::Bytes bytes(frame);
  ASSERT_EQ(one.send(0, {&bytes, 1}), 1u);
  poll_all();
  frame[kVersionMark] = 1;
  EXPECT_EQ(take(one), std::vector<Frame>{frame});
}

TEST_F(MemoryPorts, WakeTheWorkerAndAreWokenByIt) {
  port::MemoryPeer one = add_memory_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  ASSERT_TRUE(card_->start());
  const Frame frame = order(kReturn, XDP_TX);
  const base::Bytes bytes(frame);
  for (int i = 0; i < 50; ++i) {
    if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough to fall asleep
    ASSERT_EQ(one.send(0, {&bytes, 1}), 1u);
    const auto came = one.wait(0, 10'000);
    ASSERT_TRUE(came && *came) << i;
    ASSERT_EQ(take(one).size(), 1u);
  }
}

TEST_F(MemoryPorts, LosePacketsOfADeadPeerAndSaySo) {
  port::MemoryPeer one = add_memory_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  {
    port::MemoryPeer two = add_memory_port(4);
  }
  for (int i = 0; i < 1000 && !card_->ports()[1].error; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_TRUE(card_->ports()[1].error.has_value());
  const Frame frame = order(kInterface, 4);
  const base::Bytes bytes(frame);
  ASSERT_EQ(one.send(0, {&bytes, 1}), 1u);
  poll_all();
  EXPECT_EQ(card_->totals().sent, 1u);  // given to the port, which counts it as drop_down
  EXPECT_EQ(card_->totals().held, 0u);
}

}  // namespace
}  // namespace xnic::nic::datapath
