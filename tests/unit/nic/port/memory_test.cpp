// SPDX-License-Identifier: Apache-2.0
// The card and its peer in one process: contents, back-pressure, sleep, and the ends of peers. Processes that are
// killed or hostile are in memory_hostile_test.cpp.
#include "nic/port/memory.hpp"

#include <gmock/gmock.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "nic/port/memory_peer.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

using testing::HasSubstr;

class MemoryPortTest : public PortTest {
 protected:
  std::string path_ = testing::TempDir() + "xnic_memory_" + std::to_string(getpid()) + "_" +
                      testing::UnitTest::GetInstance()->current_test_info()->name();
  Info info_{.name = "m0", .ifindex = 7, .mac = {2, 0, 0, 0, 0, 9}, .mtu = 1500, .queues = 1};
  MemoryOptions options_{.path = path_, .entries = 64};
  std::unique_ptr<Port> port_;

  void open() {
    auto port = open_memory(info_, options_);
    ASSERT_TRUE(port) << port.error().message();
    port_ = std::move(*port);
  }
  void TearDown() override {
    for (uint32_t queue = 0; port_ && queue < info_.queues; ++queue) port_->close(queue, pool());
    port_.reset();
    EXPECT_FALSE(std::filesystem::exists(path_));
    PortTest::TearDown();
  }
  MemoryPeer attach() {
    auto peer = MemoryPeer::attach(path_);
    EXPECT_TRUE(peer) << peer.error().message();
    return std::move(*peer);
  }
  // The end of a peer is noticed by the port's thread.
  void wait_for(const std::function<bool()>& condition) {
    bool holds = condition();
    for (int i = 0; i < 2000 && !holds; ++i, holds = condition()) usleep(1000);
    EXPECT_TRUE(holds);
  }
};

TEST_F(MemoryPortTest, CarriesFramesOfAllSizesBothWays) {
  info_.mtu = 9000;
  open();
  MemoryPeer peer = attach();
  EXPECT_EQ(peer.mtu(), 9000u);
  EXPECT_EQ(peer.card_mac(), info_.mac);
  uint32_t number = 0;
  for (uint32_t size : {18u, 60u, 64u, 65u, 1514u, 3520u, 3521u, 4096u, 7616u, 7617u, 9022u}) {
    const std::vector<uint8_t> frame = numbered(++number, size);
    const base::Bytes one[] = {frame};
    ASSERT_EQ(peer.send(0, one), 1u);
    EXPECT_THAT(receive(*port_), testing::ElementsAre(frame));
    ASSERT_TRUE(transmit(*port_, frame));
    port_->flush(0);
    ASSERT_EQ(peer.available(0, 1), 1u);
    EXPECT_TRUE(std::ranges::equal(peer.frame(0, 0), frame));
    peer.release(0, 1);
  }
  EXPECT_EQ(port_->counters(0).received, number);
  EXPECT_EQ(port_->counters(0).transmitted, number);
  EXPECT_EQ(port_->counters(0).received_bytes, port_->counters(0).transmitted_bytes);
}

TEST_F(MemoryPortTest, DropsWhatIsLongerThanItsBuffers) {
  open();
  MemoryPeer peer = attach();
  EXPECT_TRUE(transmit(*port_, numbered(1, 1522)));
  EXPECT_TRUE(transmit(*port_, numbered(2, 1523)));
  EXPECT_EQ(port_->counters(0).transmitted, 1u);
  EXPECT_EQ(port_->counters(0).drop_too_long, 1u);
}

TEST_F(MemoryPortTest, AFullRingHoldsTheCardBack) {
  open();
  MemoryPeer peer = attach();
  uint32_t sent = 0;
  while (transmit(*port_, numbered(sent, 64))) ++sent;
  EXPECT_EQ(sent, options_.entries);
  // A full ring is shown to the peer without a flush(), or nobody would ever make room.
  ASSERT_EQ(peer.available(0, options_.entries), options_.entries);
  for (uint32_t i = 0; i < options_.entries; ++i) EXPECT_EQ(number_of(peer.frame(0, i)), i);
  peer.release(0, 1);
  EXPECT_TRUE(transmit(*port_, numbered(sent, 64)));
  EXPECT_FALSE(transmit(*port_, numbered(sent, 64)));
}

TEST_F(MemoryPortTest, AnEmptyPoolHoldsThePeerBack) {
  open();
  MemoryPeer peer = attach();
  std::vector<uint8_t*> taken;
  while (uint8_t* frame = pool().get()) taken.push_back(frame);
  const std::vector<uint8_t> frame = numbered(5, 64);
  const base::Bytes one[] = {frame};
  uint32_t sent = 0;
  while (peer.send(0, one) == 1) ++sent;
  EXPECT_EQ(sent, options_.entries);
  EXPECT_TRUE(receive(*port_).empty());
  EXPECT_EQ(port_->counters(0).drop_no_frame, 0u);
  for (uint8_t* back : taken) pool().put(back);
  uint32_t got = 0;
  for (size_t now = 1; now != 0; got += now) now = receive(*port_).size();
  EXPECT_EQ(got, sent);
}

TEST_F(MemoryPortTest, EchoesBetweenThreadsOnEveryQueueInOrder) {
  constexpr uint32_t kEach = 20'000;
  info_.queues = 2;
  info_.lossless = true;
  open();
  MemoryPeer peer = attach();
  EXPECT_TRUE(peer.lossless());
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;
  for (uint32_t queue = 0; queue < 2; ++queue) {
    workers.emplace_back([&, queue] {
      frame::Pool& pool = memory_->pool(queue);
      std::vector<exec::packet::Packet> packets;
      std::vector<exec::packet::Packet*> pointers;
      for (uint32_t i = 0; i < kBatch; ++i) packets.push_back(exec::packet::Packet::unbound());
      for (auto& packet : packets) pointers.push_back(&packet);
      while (!stop) {
        const uint32_t count = port_->receive(queue, packets, pool);
        if (count == 0 && port_->prepare_sleep(queue)) {
          pollfd bell{port_->wait_fd(queue), POLLIN, 0};
          poll(&bell, 1, 100);
          port_->woken(queue);
        }
        for (uint32_t done = 0; done < count && !stop;) {
          done += port_->transmit(queue, std::span(pointers).first(count).subspan(done), pool);
          port_->flush(queue);
          if (done < count) std::this_thread::yield();
        }
      }
    });
  }
  uint32_t sent[2] = {0, 0}, got[2] = {0, 0}, wrong = 0;
  while (got[0] < kEach || got[1] < kEach) {
    for (uint32_t queue = 0; queue < 2; ++queue) {
      for (int burst = 0; burst < 16 && sent[queue] < kEach; ++burst) {
        const std::vector<uint8_t> frame = numbered(sent[queue], 64 + sent[queue] % 1400);
        const base::Bytes one[] = {frame};
        if (peer.send(queue, one) == 0) break;
        ++sent[queue];
      }
      const uint32_t count = peer.available(queue, 1);
      for (uint32_t i = 0; i < count; ++i, ++got[queue])
        wrong += !std::ranges::equal(peer.frame(queue, i), numbered(got[queue], 64 + got[queue] % 1400));
      peer.release(queue, count);
    }
    if (peer.available(0, 1) == 0) {
      ASSERT_TRUE(peer.wait(0, got[0] < kEach ? 20 : 0));
    }
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(wrong, 0u);
}

TEST_F(MemoryPortTest, ASleepingWorkerIsWokenByThePeerThatAttachesLater) {
  open();
  std::atomic<bool> awake{false};
  std::thread worker([&] {
    ASSERT_TRUE(port_->prepare_sleep(0));
    pollfd bell{port_->wait_fd(0), POLLIN, 0};
    EXPECT_EQ(poll(&bell, 1, 20'000), 1);
    port_->woken(0);
    EXPECT_EQ(receive(*port_).size(), 1u);
    awake = true;
  });
  usleep(20'000);
  EXPECT_FALSE(awake);
  MemoryPeer peer = attach();
  const std::vector<uint8_t> frame = numbered(1, 64);
  const base::Bytes one[] = {frame};
  EXPECT_EQ(peer.send(0, one), 1u);
  worker.join();
  EXPECT_TRUE(awake);
}

TEST_F(MemoryPortTest, ReceivesWhatAPeerSentBeforeItLeftAndThenTakesTheNext) {
  open();
  {
    MemoryPeer peer = attach();
    EXPECT_EQ(peer.generation(), 1u);
    const std::vector<uint8_t> frame = numbered(1, 64);
    const base::Bytes one[] = {frame};
    for (int i = 0; i < 40; ++i) EXPECT_EQ(peer.send(0, one), 1u);
    EXPECT_TRUE(port_->status());
  }
  wait_for([&] { return !port_->status(); });
  EXPECT_THAT(port_->status().error().message(), HasSubstr("the peer is gone; another one can attach"));
  EXPECT_EQ(receive(*port_).size(), 32u);
  EXPECT_TRUE(transmit(*port_, numbered(9, 64)));
  EXPECT_EQ(port_->counters(0).drop_down, 1u);
  MemoryPeer next = attach();
  EXPECT_EQ(next.generation(), 2u);
  EXPECT_EQ(receive(*port_).size(), 8u);
  wait_for([&] { return port_->status().has_value(); });
  EXPECT_TRUE(transmit(*port_, numbered(9, 64)));
  port_->flush(0);
  EXPECT_EQ(next.available(0, 1), 1u);
}

// The port's thread and the worker both see a peer's end; whoever is later must not take it for the next peer's.
TEST_F(MemoryPortTest, APeerThatComesRightAfterAnotherIsNotTakenForIt) {
  open();
  std::atomic<bool> stop{false};
  std::thread worker([&] {
    while (!stop) {
      for (const std::vector<uint8_t>& frame : receive(*port_)) (void)transmit(*port_, frame);
      port_->flush(0);
      if (!port_->prepare_sleep(0)) continue;
      pollfd bell{port_->wait_fd(0), POLLIN, 0};
      poll(&bell, 1, 10);
      port_->woken(0);
    }
  });
  for (uint32_t round = 0; round < 200 && !HasFailure(); ++round) {
    auto peer = MemoryPeer::attach(path_);
    if (!peer) continue;  // the end of the last one has not been noticed yet
    const std::vector<uint8_t> frame = numbered(round, 64);
    const base::Bytes one[] = {frame};
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(peer->send(0, one), 1u);
      const auto came = peer->wait(0, 5000);
      EXPECT_TRUE(came && *came) << "round " << round << ": " << (came ? "nothing came" : came.error().message());
      if (HasFailure()) break;
      peer->release(0, 1);
    }
  }
  stop = true;
  worker.join();
}

TEST_F(MemoryPortTest, ThePeerLearnsThatTheCardIsGone) {
  open();
  MemoryPeer peer = attach();
  EXPECT_TRUE(peer.status());
  EXPECT_FALSE(*peer.wait(0, 1));
  port_->close(0, pool());
  port_.reset();
  auto result = peer.wait(0, 20'000);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message(), HasSubstr("the card has closed the connection"));
}

TEST_F(MemoryPortTest, RefusesASecondPeerAndASecondPort) {
  open();
  MemoryPeer peer = attach();
  auto second = MemoryPeer::attach(path_);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message(), HasSubstr("has a peer already"));
  auto port = open_memory(info_, options_);
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().kind, base::ErrorKind::kLimit);
}

TEST_F(MemoryPortTest, RefusesOptionsThatCannotBe) {
  const auto kind = [&] { return open_memory(info_, options_).error().kind; };
  options_.entries = 65;
  EXPECT_EQ(kind(), base::ErrorKind::kBadInput);
  options_.entries = 64;
  info_.queues = 0;
  EXPECT_EQ(kind(), base::ErrorKind::kBadInput);
  info_.queues = 1;
  info_.mtu = 70'000;
  EXPECT_EQ(kind(), base::ErrorKind::kBadInput);
  info_.mtu = 1500;
  options_.path = std::string(200, 'x');
  EXPECT_EQ(kind(), base::ErrorKind::kBadInput);
  options_.path = path_;
  std::ofstream(path_) << "a file";
  EXPECT_EQ(kind(), base::ErrorKind::kBadInput);
  std::filesystem::remove(path_);
}

}  // namespace
}  // namespace xnic::nic::port
