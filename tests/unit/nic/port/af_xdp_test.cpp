// SPDX-License-Identifier: Apache-2.0
// The port on one end of a veth pair, a raw socket on the other, in two namespaces of the test's own.
#include "nic/port/af_xdp.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <csignal>

#include "namespace.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Mode = AfXdpOptions::Mode;

class AfXdpTest : public PortTest, public testing::WithParamInterface<Mode> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_ROOT();
    card_ = std::make_unique<Namespace>();
    host_ = std::make_unique<Namespace>();
  }
  void make_link(int mtu = 1500, int queues = 1) {
    const std::string end = fmt::format("mtu {} numtxqueues {} numrxqueues {}", mtu, queues, queues);
    ASSERT_TRUE(
        card_->ip(fmt::format("link add card0 {} type veth peer name host0 {} netns {}", end, end, host_->path())));
    ASSERT_TRUE(card_->ip("link set card0 addrgenmode none up"));
    ASSERT_TRUE(host_->ip("link set host0 addrgenmode none up"));
    wire_ = std::make_unique<RawSocket>(*host_, "host0");
  }
  base::Result<std::unique_ptr<Port>> try_open(uint32_t queues = 1) {
    base::Result<std::unique_ptr<Port>> port;
    card_->run([&] {
      options_.interface = "card0";
      options_.mode = GetParam();
      options_.entries = 128;
      port = open_af_xdp(Info{.name = "p0", .ifindex = 3, .mac = {}, .queues = queues}, options_, *memory_, clock_);
    });
    return port;
  }
  void open(uint32_t queues = 1) {
    auto port = try_open(queues);
    ASSERT_TRUE(port) << port.error().message();
    port_ = std::move(*port);
    EXPECT_TRUE(receive(*port_).empty());  // gives the kernel its first frames
  }
  void TearDown() override {
    for (uint32_t queue = 0; port_ && queue < port_->info().queues; ++queue) port_->close(queue, pool());
    port_.reset();
    PortTest::TearDown();
  }
  std::vector<std::vector<uint8_t>> receive_some(size_t wanted, uint32_t queue = 0) {
    std::vector<std::vector<uint8_t>> all;
    for (int i = 0; i < 2000 && all.size() < wanted; ++i) {
      for (auto& frame : receive(*port_, queue)) all.push_back(std::move(frame));
      if (all.size() < wanted) usleep(1000);
    }
    return all;
  }
  bool program_is_attached() {
    std::string shown;
    card_->run([&] {
      std::FILE* tool = popen("ip link show card0", "r");
      char text[4096];
      while (std::fgets(text, sizeof text, tool) != nullptr) shown += text;
      pclose(tool);
    });
    return shown.find("xdp") != std::string::npos;
  }

  std::unique_ptr<Namespace> card_, host_;
  std::unique_ptr<RawSocket> wire_;
  AfXdpOptions options_;
  std::unique_ptr<Port> port_;
};

TEST_P(AfXdpTest, CarriesFramesBothWays) {
  make_link();
  open();
  EXPECT_EQ(port_->info().mtu, 1500u);
  EXPECT_THAT(port_->info().detail, GetParam() == Mode::kGeneric ? "generic, copy" : "native, copy");
  for (uint32_t size : {60u, 64u, 1514u}) {
    const std::vector<uint8_t> frame = numbered(size, size);
    ASSERT_TRUE(wire_->send(frame));
    EXPECT_THAT(receive_some(1), ElementsAre(frame));
    ASSERT_TRUE(transmit(*port_, frame));
    port_->flush(0);
    EXPECT_EQ(wire_->receive(), frame);
  }
  EXPECT_TRUE(transmit(*port_, numbered(1, 1519)));
  EXPECT_EQ(port_->counters(0).drop_too_long, 1u);
  EXPECT_EQ(port_->counters(0).received, 3u);
  EXPECT_EQ(port_->counters(0).transmitted, 3u);
  EXPECT_TRUE(port_->status());
}

TEST_P(AfXdpTest, CarriesManyFramesInOrderAndGivesEveryOneBack) {
  make_link();
  open();
  constexpr uint32_t kEach = 5000;
  uint32_t sent = 0, got = 0, wrong = 0;
  while (sent < kEach) {
    for (int i = 0; i < 40 && sent < kEach && transmit(*port_, numbered(sent, 100)); ++i) ++sent;
    port_->flush(0);
    port_->reap(0, pool());
    while (got < sent) {
      const std::vector<uint8_t> frame = wire_->receive();
      ASSERT_FALSE(frame.empty()) << got;
      wrong += frame != numbered(got++, 100);
    }
  }
  for (got = sent = 0; got < kEach;) {
    for (int i = 0; i < 40 && sent < kEach; ++i) ASSERT_TRUE(wire_->send(numbered(sent++, 100)));
    for (const auto& frame : receive_some(sent - got)) wrong += frame != numbered(got++, 100);
    ASSERT_EQ(got, sent);
  }
  EXPECT_EQ(wrong, 0u);
}

// The frame that one port received is the frame that the other sends: the same memory, and home to its worker's pool.
TEST_P(AfXdpTest, PassesFramesFromPortToPortWithoutACopy) {
  make_link();
  open();
  ASSERT_TRUE(card_->ip(fmt::format("link add card1 type veth peer name host1 netns {}", host_->path())));
  ASSERT_TRUE(card_->ip("link set card1 addrgenmode none up"));
  ASSERT_TRUE(host_->ip("link set host1 addrgenmode none up"));
  const RawSocket far_end(*host_, "host1");
  std::unique_ptr<Port> first = std::move(port_);
  card_->run([&] {
    options_.interface = "card1";
    auto port = open_af_xdp(Info{.name = "p1", .ifindex = 4}, options_, *memory_, clock_);
    if (port) port_ = std::move(*port);
  });
  ASSERT_NE(port_, nullptr);
  frame::Pool& other_worker = memory_->pool(1);
  for (uint32_t number = 0; number < 3 * kFrames; ++number) {
    ASSERT_TRUE(wire_->send(numbered(number, 200)));
    uint32_t count = 0;
    for (int i = 0; i < 2000 && count == 0; ++i) {
      count = first->receive(0, std::span(received_).first(1), pool());
      if (count == 0) usleep(100);
    }
    ASSERT_EQ(count, 1u);
    uint8_t* frame = received_[0].frame();
    EXPECT_EQ(memory_->home_of(frame), 0u);
    exec::packet::Packet* const one[] = {&received_[0]};
    ASSERT_EQ(port_->transmit(0, one, other_worker), 1u);
    port_->flush(0);
    ASSERT_EQ(far_end.receive(), numbered(number, 200));
    EXPECT_TRUE(std::equal(frame + 256, frame + 456, numbered(number, 200).begin()));
    port_->reap(0, other_worker);
  }
  first->close(0, pool());
}

TEST_P(AfXdpTest, WhatTheCardDoesNotFetchIsCounted) {
  make_link();
  open();
  for (uint32_t i = 0; i < 300; ++i) ASSERT_TRUE(wire_->send(numbered(i, 64)));
  usleep(50'000);
  EXPECT_EQ(port_->counters(0).drop_kernel, 300 - 128u);
  EXPECT_EQ(receive_some(128).size(), 128u);
}

TEST_P(AfXdpTest, CarriesJumboFramesInFragments) {
  make_link(9000);
  open();
  for (uint32_t size : {60u, 3500u, 3521u, 3840u, 3841u, 9014u}) {
    const std::vector<uint8_t> frame = numbered(size, size);
    ASSERT_TRUE(wire_->send(frame));
    EXPECT_THAT(receive_some(1), ElementsAre(frame)) << size;
    ASSERT_TRUE(transmit(*port_, frame));
    port_->flush(0);
    EXPECT_EQ(wire_->receive(), frame) << size;
    port_->reap(0, pool());
  }
}

TEST_P(AfXdpTest, PutsFragmentsThatFitIntoOneFrame) {
  make_link();
  open();
  // A program may leave a short linear part and a fragment; an interface of MTU 1500 takes one buffer.
  exec::packet::Packet packet = exec::packet::Packet::unbound();
  packet.bind(pool().get(), exec::packet::kHeadroomBytes, 0);
  const std::vector<uint8_t> frame = numbered(1, 3600);
  packet.fill(frame);
  packet.data += 3000;
  packet.data_meta = packet.data;
  std::copy(frame.begin(), frame.begin() + 18, packet.data);
  exec::packet::Packet* const one[] = {&packet};
  const std::vector<uint8_t> bytes = packet.bytes();
  EXPECT_EQ(port_->transmit(0, one, pool()), 1u);
  port_->flush(0);
  EXPECT_EQ(wire_->receive(), bytes);
}

TEST_P(AfXdpTest, EachQueueHasItsOwnSocket) {
  make_link(1500, 2);
  open(2);
  EXPECT_TRUE(receive(*port_, 1).empty());
  for (uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(transmit(*port_, numbered(i, 64), i));
    port_->flush(i);
    EXPECT_EQ(wire_->receive(), numbered(i, 64));
  }
  // veth chooses the queue by the sender's: both together get all.
  for (uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(wire_->send(numbered(i, 64)));
  size_t got = 0;
  for (int i = 0; i < 1000 && got < 20; ++i, usleep(1000)) got += receive(*port_, 0).size() + receive(*port_, 1).size();
  EXPECT_EQ(got, 20u);
}

TEST_P(AfXdpTest, ASleeperIsWoken) {
  make_link();
  open();
  ASSERT_TRUE(port_->prepare_sleep(0));
  std::thread sender([&] {
    usleep(20'000);
    EXPECT_TRUE(wire_->send(numbered(1, 64)));
  });
  pollfd ready{port_->wait_fd(0), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 20'000), 1);
  port_->woken(0);
  EXPECT_FALSE(port_->prepare_sleep(0));
  port_->woken(0);
  sender.join();
  EXPECT_EQ(receive(*port_).size(), 1u);
}

TEST_P(AfXdpTest, BusyPollingReceives) {
  make_link();
  options_.busy_poll_us = 20;
  open();
  ASSERT_TRUE(wire_->send(numbered(1, 64)));
  EXPECT_THAT(receive_some(1), ElementsAre(numbered(1, 64)));
}

TEST_P(AfXdpTest, LeavesTheInterfaceAsItWasAndCanComeBackAtOnce) {
  make_link();
  for (int round = 0; round < 3; ++round) {
    open();
    EXPECT_TRUE(program_is_attached());
    ASSERT_TRUE(transmit(*port_, numbered(1, 64)));
    port_->close(0, pool());
    port_.reset();
    EXPECT_FALSE(program_is_attached());
  }
}

TEST_P(AfXdpTest, AKilledProcessLeavesTheKernelClean) {
  make_link();
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    auto port = try_open();
    kill(getpid(), port ? SIGKILL : SIGTERM);
  }
  int how = 0;
  waitpid(child, &how, 0);
  ASSERT_TRUE(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL) << "the child could not open the port";
  for (int i = 0; i < 2000 && program_is_attached(); ++i) usleep(1000);
  EXPECT_FALSE(program_is_attached());
  open();
  ASSERT_TRUE(wire_->send(numbered(1, 64)));
  EXPECT_EQ(receive_some(1).size(), 1u);
}

TEST_P(AfXdpTest, AnInterfaceThatIsDeletedIsAnErrorAndNoMore) {
  make_link();
  open();
  ASSERT_TRUE(wire_->send(numbered(1, 64)));
  EXPECT_EQ(receive_some(1).size(), 1u);
  EXPECT_TRUE(port_->status());
  ASSERT_TRUE(card_->ip("link del card0"));
  EXPECT_THAT(port_->status().error().message(), HasSubstr("has been deleted"));
  for (uint32_t i = 0; i < 300; ++i) {
    EXPECT_TRUE(transmit(*port_, numbered(i, 64)));
    port_->flush(0);
    EXPECT_TRUE(receive(*port_).empty());
  }
  EXPECT_EQ(port_->counters(0).drop_down, 300u);
}

TEST_P(AfXdpTest, SaysWhatIsWrongWithAnInterface) {
  make_link();
  auto two = try_open(2);
  ASSERT_FALSE(two);
  EXPECT_THAT(two.error().message(), HasSubstr("no such queue"));
  open();
  auto again = try_open();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message(), HasSubstr("another program has it"));
}

INSTANTIATE_TEST_SUITE_P(Modes, AfXdpTest, testing::Values(Mode::kAuto, Mode::kGeneric),
                         [](const auto& mode) { return mode.param == Mode::kAuto ? "Native" : "Generic"; });

TEST_F(PortTest, AfXdpNamesAnInterfaceThatDoesNotExist) {
  auto port = open_af_xdp(Info{}, AfXdpOptions{.interface = "xnic-none"}, *memory_, clock_);
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().kind, base::ErrorKind::kBadInput);
}

}  // namespace
}  // namespace xnic::nic::port
