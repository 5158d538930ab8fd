// SPDX-License-Identifier: Apache-2.0
// Sleeping until something happens (rule 9), and the ends of peers, services and handles.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/rng.hpp"
#include "vi_fixture.hpp"

namespace xnic::nic::vi {
namespace {

using testing::ElementsAre;

bool readable(int fd, int timeout_ms = 0) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, timeout_ms) == 1;
}

TEST_F(ViTest, WakesOnceForEachPriming) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  ASSERT_EQ(left.send(make_frame()), 0);
  EXPECT_FALSE(readable(right.dh)) << "nobody asked";
  // An event lies beyond the pointer: at once.
  ASSERT_EQ(ef_vi_prime(&right.vi, right.dh, ef_eventq_current(&right.vi)), 0);
  EXPECT_TRUE(readable(right.dh));
  EXPECT_EQ(right.receive().size(), 1u);
  ASSERT_EQ(ef_vi_prime(&right.vi, right.dh, ef_eventq_current(&right.vi)), 0);
  EXPECT_FALSE(readable(right.dh));
  ASSERT_EQ(left.send(make_frame()), 0);
  EXPECT_TRUE(readable(right.dh, 2000));
  EXPECT_EQ(right.receive().size(), 1u);
  ASSERT_EQ(ef_vi_prime(&right.vi, right.dh, ef_eventq_current(&right.vi)), 0);
  EXPECT_FALSE(readable(right.dh));
  // Completions of one's own count.
  ASSERT_EQ(left.send(make_frame()), 0);
  ASSERT_EQ(ef_vi_prime(&left.vi, left.dh, ef_eventq_current(&left.vi)), 0);
  EXPECT_TRUE(readable(left.dh));
}

TEST_F(ViTest, OneHandleWakesForEachOfItsInterfaces) {
  Endpoint left("left"), first("right");
  Endpoint second("right", {.handle = first.dh});
  ASSERT_EQ(first.take_flow(), 0);
  ASSERT_EQ(second.take_flow(0x0a000003), 0);
  const int epoll = epoll_create1(0);
  epoll_event wanted{EPOLLIN, {}};
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, first.dh, &wanted), 0);
  for (Endpoint* endpoint : {&first, &second})
    ASSERT_EQ(ef_vi_prime(&endpoint->vi, first.dh, ef_eventq_current(&endpoint->vi)), 0);
  FrameSpec to_second;
  to_second.to = 0x0a000003;
  ASSERT_EQ(left.send(make_frame(to_second)), 0);
  epoll_event got;
  EXPECT_EQ(epoll_wait(epoll, &got, 1, 2000), 1);
  // Priming the other does not lose the wake-up of the second.
  ASSERT_EQ(ef_vi_prime(&first.vi, first.dh, ef_eventq_current(&first.vi)), 0);
  EXPECT_EQ(epoll_wait(epoll, &got, 1, 0), 1);
  EXPECT_EQ(second.receive().size(), 1u);
  ASSERT_EQ(ef_vi_prime(&second.vi, first.dh, ef_eventq_current(&second.vi)), 0);
  EXPECT_EQ(epoll_wait(epoll, &got, 1, 0), 0);
  close(epoll);
}

TEST_F(ViTest, WaitsUntilAnEventOrItsTime) {
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  const timeval soon{0, 20000}, late{20, 0};
  EXPECT_EQ(ef_eventq_wait(&right.vi, right.dh, ef_eventq_current(&right.vi), &soon), -ETIMEDOUT);
  std::thread sender([&] {
    usleep(20000);
    EXPECT_EQ(ef_eventq_wait(&right.vi, right.dh, ef_eventq_current(&right.vi), &soon), -EBUSY);
    EXPECT_EQ(left.send(make_frame()), 0);
  });
  EXPECT_EQ(ef_eventq_wait(&right.vi, right.dh, ef_eventq_current(&right.vi), &late), 0);
  sender.join();
  EXPECT_EQ(right.receive().size(), 1u);
}

// The race between priming and sending: no frame is slept over.
TEST_F(ViTest, NeverSleepsOverAFrame) {
#ifdef __SANITIZE_ADDRESS__
  constexpr int kFrames = 500;
#else
  constexpr int kFrames = 2000;
#endif
  Endpoint left("left"), right("right");
  ASSERT_EQ(right.take_flow(), 0);
  std::atomic<int> received{0};
  std::thread sender([&] {
    base::Rng rng(1);
    for (int i = 0; i < kFrames; ++i) {
      while (received.load() != i) {
      }
      for (uint64_t spin = rng.below(2000); spin != 0; --spin) __builtin_ia32_pause();
      EXPECT_EQ(left.send(make_frame()), 0);
      for (const ef_event& event : left.poll()) {
        ef_request_id ids[EF_VI_TRANSMIT_BATCH];
        ef_vi_transmit_unbundle(&left.vi, &event, ids);
      }
    }
  });
  const timeval late{20, 0};
  while (received.load() != kFrames) {
    const size_t frames = right.receive().size();
    received += static_cast<int>(frames);
    if (frames == 0 && ef_eventq_wait(&right.vi, right.dh, ef_eventq_current(&right.vi), &late) != 0) {
      ADD_FAILURE() << "asleep after " << received.load();
      received = kFrames;
    }
  }
  sender.join();
}

TEST_F(ViTest, EveryInterfaceIsToldWhenTheCardGoes) {
  Endpoint* const right = new Endpoint("right");
  ASSERT_EQ(ef_vi_prime(&right->vi, right->dh, ef_eventq_current(&right->vi)), 0);
  service_.reset();
  EXPECT_TRUE(readable(right->dh, 2000));
  const auto events = right->poll();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(EF_EVENT_TYPE(events[0]), EF_EVENT_TYPE_RESET);
  EXPECT_EQ(ef_vi_free(&right->vi, right->dh), -ENODEV);
  EXPECT_EQ(ef_driver_close(right->dh), 0);
  ::operator delete(static_cast<void*>(right));  // nothing of it can be given back any more
}

// kill -9 in the middle of sending and receiving: the other goes on, and what the dead one had returns.
TEST_F(ViTest, AKilledPeerDisturbsNobody) {
#ifdef __SANITIZE_ADDRESS__
  constexpr int kKills = 3;
#else
  constexpr int kKills = 20;
#endif
  Endpoint right("right", {.receive_buffers = 500});
  ASSERT_EQ(right.take_flow(), 0);
  const Bytes frame = make_frame();
  for (int i = 0; i < 100 && service_->clients() != 2; ++i) usleep(10000);
  const uint64_t pages = service_->pages_in_use();
  base::Rng rng(7);
  for (int kill_number = 0; kill_number < kKills; ++kill_number) {
    const pid_t child = fork();
    if (child == 0) {
      Endpoint left("left");
      (void)left.add([](ef_filter_spec* spec) { return ef_filter_spec_set_unicast_all(spec); });
      std::memcpy(left.transmit_buffer(0), frame.data(), frame.size());
      while (true) {
        (void)ef_vi_transmit(&left.vi, left.transmit_address(0), static_cast<int>(frame.size()), 1);
        for (const ef_event& event : left.poll()) {
          ef_request_id ids[EF_VI_TRANSMIT_BATCH];
          if (EF_EVENT_TYPE(event) == EF_EVENT_TYPE_TX) ef_vi_transmit_unbundle(&left.vi, &event, ids);
        }
      }
    }
    size_t got = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (got == 0 && std::chrono::steady_clock::now() < until) got += right.receive().size();
    ASSERT_NE(got, 0u) << "after kill " << kill_number;
    usleep(static_cast<useconds_t>(rng.below(3000)));
    kill(child, SIGKILL);
    while (waitpid(child, nullptr, WNOHANG) == 0)
      for (const Bytes& one : right.receive()) ASSERT_EQ(one, frame);
    for (const Bytes& one : right.receive()) ASSERT_EQ(one, frame);
  }
  for (int i = 0; i < 500 && service_->pages_in_use() != pages; ++i) usleep(10000);
  EXPECT_EQ(service_->pages_in_use(), pages);
  // The filter of the dead is gone, and the port works.
  Endpoint left("left");
  ASSERT_EQ(left.add([](ef_filter_spec* spec) { return ef_filter_spec_set_unicast_all(spec); }), 0);
  right.receive();
  ASSERT_EQ(left.send(frame), 0);
  EXPECT_THAT(right.receive(), ElementsAre(frame));
}

}  // namespace
}  // namespace xnic::nic::vi
