// SPDX-License-Identifier: Apache-2.0
// The same tests over every kind of link: the memory link as it is, and behind faults of each kind.
#include "transport/link/messenger.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "transport/link/fault.hpp"
#include "transport/link/memory.hpp"
#include "transport/link/xdp.hpp"

namespace xnic::transport::link {
namespace {

using message::MessageHeader;
using message::Type;

enum class Over { kMemory, kNative, kGeneric };

struct Kind {
  const char* name;
  bool faults;
  FaultOptions options;
  Over over = Over::kMemory;
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class MessengerTest : public ::testing::TestWithParam<Kind> {
 protected:
  static constexpr uint32_t kSession = 99;

  void SetUp() override {
    if (GetParam().over != Over::kMemory) return set_up_xdp();
    auto made = MemoryLink::make({.entries = 64, .frame_bytes = 2048});
    ASSERT_TRUE(made.has_value()) << made.error().message();
    auto mapped = MemoryLink::map(made->memfd, std::move(made->bell));
    ASSERT_TRUE(mapped.has_value()) << mapped.error().message();
    a_ = std::make_unique<Messenger>(wrap(std::move(made->link), 1), kSession, clock_);
    b_ = std::make_unique<Messenger>(wrap(std::move(*mapped), 2), kSession, clock_);
  }
  // A veth pair in a namespace that lives as long as the links' sockets.
  void set_up_xdp() {
    if (geteuid() != 0) GTEST_SKIP() << "XDP sockets need root";
    const auto mode = GetParam().over == Over::kNative ? XdpOptions::Mode::kNative : XdpOptions::Mode::kGeneric;
    std::string problem;
    std::thread([&] {
      const char* const commands =
          "ip link add xl0 mtu 3000 type veth peer name xl1 mtu 3000 && ip link set xl0 up && ip link set xl1 up";
      if (unshare(CLONE_NEWNET) != 0 || std::system(commands) != 0) {
        problem = "no network namespace";
        return;
      }
      auto a = XdpLink::open({.interface = "xl0", .mode = mode}, clock_);
      auto b = XdpLink::open({.interface = "xl1", .mode = mode}, clock_);
      if (!a || !b) {
        problem = (a ? b : a).error().message();
        return;
      }
      a_ = std::make_unique<Messenger>(std::move(*a), kSession, clock_);
      b_ = std::make_unique<Messenger>(std::move(*b), kSession, clock_);
    }).join();
    if (!problem.empty()) GTEST_SKIP() << problem;
  }
  static std::unique_ptr<Link> wrap(std::unique_ptr<Link> link, uint64_t seed) {
    if (!GetParam().faults) return link;
    FaultOptions options = GetParam().options;
    options.seed = seed;
    return std::make_unique<FaultLink>(std::move(link), options);
  }
  // What comes to `to` until there are `count` messages, both sides working.
  std::vector<std::pair<MessageHeader, std::string>> receive(Messenger& from, Messenger& to, size_t count) {
    std::vector<std::pair<MessageHeader, std::string>> got;
    for (int rounds = 0; rounds < 10'000'000 && got.size() < count; ++rounds) {
      to.poll([&](const MessageHeader& header, base::Bytes body) {
        got.emplace_back(header, std::string(body.begin(), body.end()));
        return true;
      });
      to.release();
      from.poll([](const MessageHeader&, base::Bytes) { return true; });
      from.release();
      from.flush();
    }
    return got;
  }

  base::SystemClock clock_;
  std::unique_ptr<Messenger> a_, b_;
};

TEST_P(MessengerTest, MessagesOfAFrameComeInOrder) {
  for (uint32_t i = 0; i < 10; ++i) a_->send(Type::kKeepAlive, i);
  a_->flush();
  const auto got = receive(*a_, *b_, 10);
  ASSERT_EQ(got.size(), 10u);
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(got[i].first.id, i);
  if (!GetParam().faults) {
    EXPECT_EQ(a_->counters().frames_sent, 1u);
  }
}

TEST_P(MessengerTest, AMessageLongerThanAFrameComesWhole) {
  std::string text(message::kMaxControlBytes, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 >> 3);
  a_->send(Type::kReply, 1, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  a_->send(Type::kReply, 2);
  a_->flush();
  const auto got = receive(*a_, *b_, 2);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].second == text);
  EXPECT_EQ(got[1].first.id, 2u);
  EXPECT_GT(a_->counters().frames_sent, 30u);
}

TEST_P(MessengerTest, WhatHasNoRoomWaitsInOrder) {
  // Nobody takes anything: the link fills, and control messages queue.
  uint32_t sent = 0;
  const std::string block(1500, 'b');
  while (!a_->backed_up()) {
    ASSERT_LT(sent, 10'000u);
    a_->send(Type::kUnread, sent++, {reinterpret_cast<const uint8_t*>(block.data()), block.size()});
    a_->flush();
  }
  EXPECT_EQ(a_->room(100, 100), 0u);
  a_->send(Type::kKeepAlive, sent++);
  const auto got = receive(*a_, *b_, sent);
  ASSERT_EQ(got.size(), sent);
  for (uint32_t i = 0; i < sent; ++i) ASSERT_EQ(got[i].first.id, i);
  EXPECT_FALSE(a_->backed_up());
  EXPECT_EQ(a_->room(100, 100), 100u);
}

TEST_P(MessengerTest, AMessageThatIsNotTakenComesAgain) {
  for (uint32_t i = 0; i < 3; ++i) a_->send(Type::kKeepAlive, i);
  a_->flush();
  std::vector<uint32_t> seen;
  for (int rounds = 0; rounds < 10'000'000 && seen.size() < 5; ++rounds) {
    bool taken_one = false;
    b_->poll([&](const MessageHeader& header, base::Bytes) {  // one is taken, one looked at, every time
      seen.push_back(header.id);
      return !std::exchange(taken_one, true);
    });
    b_->release();
    a_->poll([](const MessageHeader&, base::Bytes) { return true; });
    a_->release();
  }
  EXPECT_EQ(seen, (std::vector<uint32_t>{0, 1, 1, 2, 2}));
}

// Both ways at once, each message with its number and bytes that follow from it.
TEST_P(MessengerTest, NothingIsLostDoubledOrOutOfOrder) {
  constexpr uint32_t kMessages = 20'000;
  uint32_t sent[2] = {}, got[2] = {};
  auto step = [&](Messenger& self, int side) {
    for (int burst = 0; burst < 20 && sent[side] < kMessages; ++burst) {
      const uint32_t size = 4 + sent[side] * 7 % 300;
      if (self.room(size, size) < size) break;
      std::memset(self.body(), static_cast<int>(sent[side] & 0xff), size);
      base::store(self.body(), sent[side]);
      self.put(Type::kData, 1, size);
      ++sent[side];
    }
    self.flush();
    self.poll([&](const MessageHeader& header, base::Bytes body) {
      const auto number = base::load<uint32_t>(body.data());
      EXPECT_EQ(number, got[side]);
      EXPECT_EQ(header.size, 4 + got[side] * 7 % 300);
      EXPECT_EQ(body[body.size() - 1], body.size() > 4 ? got[side] & 0xff : body[3]);
      ++got[side];
      return !::testing::Test::HasFailure();
    });
    self.release();
    EXPECT_FALSE(self.down());
  };
  for (uint64_t rounds = 0; rounds < 100'000'000 && (got[0] < kMessages || got[1] < kMessages); ++rounds) {
    step(*a_, 0);
    step(*b_, 1);
    if (HasFailure()) return;
  }
  EXPECT_EQ(got[0], kMessages);
  EXPECT_EQ(got[1], kMessages);
}

TEST_P(MessengerTest, ASleeperIsWokenByTheFirstMessage) {
  constexpr int kRounds = 300;
  std::thread other([&] {
    for (int round = 0; round < kRounds;) {
      a_->flush();
      const uint32_t taken = a_->poll([&](const MessageHeader& header, base::Bytes) {
        a_->send(Type::kKeepAlive, header.id + 1);
        ++round;
        return true;
      });
      a_->release();
      if (taken == 0) std::this_thread::yield();
    }
    for (int i = 0; i < 100'000 && !a_->idle(); ++i) {
      a_->flush();
      a_->poll([](const MessageHeader&, base::Bytes) { return true; });
      a_->release();
    }
  });
  int lost = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    b_->send(Type::kKeepAlive, round);
    b_->flush();
    for (bool answered = false; !answered;) {
      b_->poll([&](const MessageHeader& header, base::Bytes) {
        EXPECT_EQ(header.id, round + 1);
        answered = true;
        return true;
      });
      b_->release();
      if (answered || !b_->prepare_sleep()) continue;
      pollfd bell{b_->wait_fd(), POLLIN, 0};
      const int limit_ms = b_->sleep_limit_ms();
      if (::poll(&bell, 1, limit_ms < 0 ? 5000 : limit_ms) == 0 && limit_ms < 0) ++lost;
      b_->woken();
    }
  }
  other.join();
  EXPECT_EQ(lost, 0) << "sleeps that no bell ended";
}

INSTANTIATE_TEST_SUITE_P(
    Links, MessengerTest,
    ::testing::Values(Kind{"memory", false, {}}, Kind{"no_faults", true, {}}, Kind{"drop", true, {.drop = 200}},
                      Kind{"duplicate", true, {.duplicate = 500}}, Kind{"reorder", true, {.reorder = 300}},
                      Kind{"corrupt", true, {.corrupt = 200}}, Kind{"stall", true, {.stall = 300}},
                      Kind{"xdp_native", true, {}, Over::kNative}, Kind{"xdp_generic", true, {}, Over::kGeneric},
                      Kind{"all", true, {.drop = 50, .duplicate = 50, .reorder = 50, .corrupt = 50, .stall = 50}}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(MessengerRules, ASleeperIsNotWokenForNothing) {
  base::SystemClock clock;
  auto made = MemoryLink::make({.entries = 16, .frame_bytes = 2048});
  ASSERT_TRUE(made.has_value());
  auto mapped = MemoryLink::map(made->memfd, std::move(made->bell));
  ASSERT_TRUE(mapped.has_value());
  Messenger a(std::move(made->link), 1, clock), b(std::move(*mapped), 1, clock);
  ASSERT_TRUE(b.prepare_sleep());
  for (int i = 0; i < 3; ++i) a.flush();
  EXPECT_EQ(a.counters().doorbells, 0u);
  a.send(Type::kKeepAlive, 0);
  a.flush();
  EXPECT_EQ(a.counters().doorbells, 1u);
}

TEST(MessengerRules, AFrameOfAnotherSessionEndsALosslessLink) {
  base::SystemClock clock;
  auto made = MemoryLink::make({.entries = 16, .frame_bytes = 2048});
  ASSERT_TRUE(made.has_value());
  auto mapped = MemoryLink::map(made->memfd, std::move(made->bell));
  ASSERT_TRUE(mapped.has_value());
  Messenger a(std::move(made->link), 1, clock), b(std::move(*mapped), 2, clock);
  a.send(Type::kKeepAlive, 0);
  a.flush();
  EXPECT_EQ(b.poll([](const MessageHeader&, base::Bytes) { return true; }), 0u);
  EXPECT_TRUE(b.down());
}

}  // namespace
}  // namespace xnic::transport::link
