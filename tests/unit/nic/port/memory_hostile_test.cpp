// SPDX-License-Identifier: Apache-2.0
// Peers that are killed, and peers that write what they like: the card neither crashes nor waits nor loses a frame, and
// says what happened.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/rng.hpp"
#include "nic/port/memory.hpp"
#include "nic/port/memory_peer.hpp"
#include "peer_region.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

using testing::HasSubstr;

class HostilePeer : public PortTest {
 protected:
  std::string path_ = testing::TempDir() + "xnic_hostile_" + std::to_string(getpid()) + "_" +
                      testing::UnitTest::GetInstance()->current_test_info()->name();
  std::unique_ptr<Port> port_ =
      std::move(*open_memory(Info{.name = "m0", .ifindex = 7, .mac = {}, .mtu = 1500, .queues = 1},
                             MemoryOptions{.path = path_, .entries = 64}));
  void TearDown() override {
    port_->close(0, pool());
    port_.reset();
    PortTest::TearDown();
  }
  MemoryPeer attach() {
    for (int i = 0; i < 2000; ++i) {  // the last peer's end may not have been noticed yet
      auto peer = MemoryPeer::attach(path_);
      if (peer) return std::move(*peer);
      usleep(1000);
    }
    return std::move(*MemoryPeer::attach(path_));
  }
  // One turn of a worker: receive, and send what came.
  void turn() {
    for (const std::vector<uint8_t>& frame : receive(*port_)) {
      EXPECT_GE(frame.size(), 14u);
      EXPECT_LE(frame.size(), 1522u);
      (void)transmit(*port_, frame);
    }
    (void)transmit(*port_, numbered(1, 64));
    port_->flush(0);
    port_->reap(0, pool());
    if (port_->prepare_sleep(0)) port_->woken(0);
  }
};

TEST_F(HostilePeer, SizesThatAreNoneAreCountedAndTheRestArrives) {
  MemoryPeer peer = attach();
  const uint32_t sizes[] = {0, 13, 14, 1522, 1523, 0xffffffff, 64};
  for (const uint32_t size : sizes) {
    std::memset(peer.next_buffer(0), 0x55, 64);
    peer.put(0, size);
  }
  peer.flush(0);
  std::vector<size_t> got;
  for (int i = 0; i < 2000 && got.size() < 3; ++i, usleep(1000))
    for (const auto& frame : receive(*port_)) got.push_back(frame.size());
  EXPECT_THAT(got, testing::ElementsAre(14, 1522, 64));
  EXPECT_EQ(port_->counters(0).drop_bad, 4u);
  EXPECT_TRUE(port_->status());
}

TEST_F(HostilePeer, ACounterThatLiesEndsThePeerAndSaysSo) {
  {
    MemoryPeer peer = attach();
    turn();
    std::span<uint8_t> region = region_of(peer);
    // The second channel of the queue is the one to the card; its first word is what the peer has produced.
    base::store<uint32_t>(region.data() + 4096 + (region.size() - 4096) / 2, 1000);
    for (int i = 0; i < 2000 && port_->status(); ++i, usleep(1000)) turn();
    ASSERT_FALSE(port_->status());
    EXPECT_THAT(port_->status().error().message(), HasSubstr("nonsense into a ring"));
    EXPECT_FALSE(peer.status());  // the connection is closed
  }
  MemoryPeer next = attach();
  EXPECT_EQ(next.generation(), 2u);
}

TEST_F(HostilePeer, RandomGarbageEverywhereDoesNoHarm) {
  base::Rng rng(7);
  for (int round = 0; round < 40; ++round) {
    MemoryPeer peer = attach();
    std::span<uint8_t> region = region_of(peer);
    std::atomic<bool> stop{false};
    // Garbage into the words that steer (counters, descriptors) of both rings while the card works.
    const uint64_t seed = rng.next();
    std::thread attacker([&] {
      base::Rng random(seed);
      const size_t half = (region.size() - 4096) / 2;
      while (!stop) {
        const size_t channel = 4096 + (random.chance(1, 2) ? half : 0);
        const size_t word = random.below(round % 2 == 0 ? 96 : (half / 4));
        // Small steps often look right for a while, large ones never.
        const auto value = static_cast<uint32_t>(random.chance(1, 2) ? random.below(2000) : random.next());
        __atomic_store_n(reinterpret_cast<uint32_t*>(region.data() + channel) + word, value, __ATOMIC_RELAXED);
      }
    });
    for (int i = 0; i < 200; ++i) turn();
    stop = true;
    attacker.join();
  }
}

TEST_F(HostilePeer, CannotMakeTheCardWaitAtADoorbell) {
  MemoryPeer peer = attach();
  // The flag belongs to this end only, which is why doorbells are sockets; and nobody hears these.
  const int flags = fcntl(peer.wait_fd(0), F_GETFL);
  fcntl(peer.wait_fd(0), F_SETFL, flags & ~O_NONBLOCK);
  for (int i = 0; i < 20'000; ++i) {
    (void)peer.prepare_sleep(0);
    turn();
  }
  EXPECT_TRUE(port_->status());
}

TEST_F(HostilePeer, AKilledProcessIsNoticedAndTheNextOneWorks) {
  for (uint32_t round = 1; round <= 3; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {  // echoes until it is killed
      alarm(30);
      MemoryPeer peer = attach();
      for (;;) {
        (void)peer.wait(0, 1000);
        for (const uint32_t count = peer.available(0, 1); count != 0;) {
          for (uint32_t i = 0; i < count; ++i) {
            const base::Bytes one[] = {peer.frame(0, i)};
            (void)peer.send(0, one);
          }
          peer.release(0, count);
          break;
        }
      }
    }
    uint32_t got = 0;
    for (int i = 0; i < 5000 && got < 1000; ++i) {
      for (int burst = 0; burst < 8; ++burst) (void)transmit(*port_, numbered(1, 64));
      port_->flush(0);
      usleep(100);
      got += static_cast<uint32_t>(receive(*port_).size());
    }
    EXPECT_GE(got, 1000u);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (int i = 0; i < 2000 && port_->status(); ++i) usleep(1000);
    EXPECT_FALSE(port_->status());
    while (!receive(*port_).empty()) {
    }
  }
}

TEST_F(HostilePeer, TakesThePlaceOfASocketThatADeadCardLeft) {
  const std::string path = path_ + "_left";
  const pid_t child = fork();
  if (child == 0) {
    auto port = open_memory(port_->info(), MemoryOptions{.path = path});
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(std::filesystem::exists(path));
  auto port = open_memory(port_->info(), MemoryOptions{.path = path});
  EXPECT_TRUE(port) << port.error().message();
}

}  // namespace
}  // namespace xnic::nic::port
