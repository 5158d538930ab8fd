// SPDX-License-Identifier: Apache-2.0
// The port and a raw socket on its interface, in a namespace of the test's own.
#include "nic/port/tap.hpp"

#include <gmock/gmock.h>

#include "namespace.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TapTest : public PortTest {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_ROOT();
    host_ = std::make_unique<Namespace>();
  }
  base::Result<std::unique_ptr<Port>> try_open(uint32_t mtu, uint32_t queues) {
    base::Result<std::unique_ptr<Port>> port;
    host_->run(
        [&] { port = open_tap(Info{.name = "t0", .ifindex = 5, .mtu = mtu, .queues = queues}, "tap0", clock_); });
    return port;
  }
  void open(uint32_t mtu = 1500, uint32_t queues = 1) {
    auto port = try_open(mtu, queues);
    ASSERT_TRUE(port) << port.error().message();
    port_ = std::move(*port);
    wire_ = std::make_unique<RawSocket>(*host_, "tap0");
  }
  void TearDown() override {
    for (uint32_t queue = 0; port_ && queue < port_->info().queues; ++queue) port_->close(queue, pool());
    port_.reset();
    PortTest::TearDown();
  }
  // Frames of the test; the kernel's own (IPv6 neighbours) are left out.
  std::vector<std::vector<uint8_t>> receive_some(size_t wanted) {
    std::vector<std::vector<uint8_t>> all;
    for (int i = 0; i < 2000 && all.size() < wanted; ++i, usleep(1000))
      for (uint32_t queue = 0; queue < port_->info().queues; ++queue)
        for (auto& frame : receive(*port_, queue))
          if (frame[12] == 0x88) all.push_back(std::move(frame));
    return all;
  }
  std::unique_ptr<Namespace> host_;
  std::unique_ptr<Port> port_;
  std::unique_ptr<RawSocket> wire_;
};

TEST_F(TapTest, CarriesFramesOfAllSizesBothWays) {
  open(9000);
  for (uint32_t size : {60u, 1514u, 3520u, 3521u, 9014u}) {
    const std::vector<uint8_t> frame = numbered(size, size);
    ASSERT_TRUE(wire_->send(frame));
    EXPECT_THAT(receive_some(1), ElementsAre(frame)) << size;
    ASSERT_TRUE(transmit(*port_, frame));
    EXPECT_EQ(wire_->receive(), frame) << size;
  }
  EXPECT_TRUE(transmit(*port_, numbered(1, 9019)));
  EXPECT_EQ(port_->counters(0).drop_too_long, 1u);
  EXPECT_EQ(port_->counters(0).transmitted, 5u);
}

TEST_F(TapTest, EveryQueueSendsAndTogetherTheyReceiveAll) {
  open(1500, 2);
  for (uint32_t queue = 0; queue < 2; ++queue) {
    ASSERT_TRUE(transmit(*port_, numbered(queue, 64), queue));
    EXPECT_EQ(wire_->receive(), numbered(queue, 64));
  }
  for (uint32_t i = 0; i < 20; ++i) ASSERT_TRUE(wire_->send(numbered(i, 64)));
  EXPECT_EQ(receive_some(20).size(), 20u);
}

TEST_F(TapTest, WaitsWithoutAFreeFrame) {
  open();
  std::vector<uint8_t*> taken;
  while (uint8_t* frame = pool().get()) taken.push_back(frame);
  ASSERT_TRUE(wire_->send(numbered(1, 64)));
  EXPECT_TRUE(receive(*port_).empty());
  for (uint8_t* frame : taken) pool().put(frame);
  EXPECT_THAT(receive_some(1), ElementsAre(numbered(1, 64)));
}

TEST_F(TapTest, AnInterfaceThatIsDownOrDeletedTakesNothing) {
  open();
  EXPECT_TRUE(port_->status());
  ASSERT_TRUE(host_->ip("link set tap0 down"));
  EXPECT_TRUE(transmit(*port_, numbered(1, 64)));
  EXPECT_EQ(port_->counters(0).drop_down, 1u);
  EXPECT_TRUE(port_->status());
  ASSERT_TRUE(host_->ip("link del tap0"));
  EXPECT_THAT(port_->status().error().message(), HasSubstr("has been deleted"));
  EXPECT_TRUE(transmit(*port_, numbered(1, 64)));
  EXPECT_TRUE(receive(*port_).empty());
  EXPECT_EQ(port_->counters(0).drop_down, 2u);
}

TEST_F(TapTest, SaysWhyThereIsNoInterface) {
  open();
  auto again = try_open(1500, 1);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message(), HasSubstr("the interface is in use"));
  EXPECT_EQ(open_tap(Info{.name = "t", .queues = 0}, "tap1", clock_).error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(open_tap(Info{.name = "t"}, "a-name-of-more-than-15", clock_).error().kind, base::ErrorKind::kBadInput);
}

}  // namespace
}  // namespace xnic::nic::port
