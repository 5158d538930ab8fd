// SPDX-License-Identifier: Apache-2.0
// Several workers: who runs what, stepped by hand; then as threads, with changes under load.
#include <atomic>
#include <chrono>
#include <thread>

#include "card_fixture.hpp"
#include "device/native_images.hpp"
#include "exec/native/native.hpp"
#include "frames.hpp"

namespace xnic::nic::datapath {
namespace {

using namespace std::chrono_literals;

// Waits until it holds, at most ten seconds.
template <class Condition>
bool eventually(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(200us);
  }
  return true;
}

PortOptions spread_over(uint32_t queues) {
  PortOptions options;
  options.rx_queues = queues;
  return options;
}
port::Info with_queues(uint32_t queues) {
  port::Info info;
  info.queues = queues;
  return info;
}
// An order in a TCP frame of this flow, so that the flow hash sees it. Orders lie in the addresses, so byte 14 on is
// the IP header: only the program's marks matter here.
Frame flow(uint16_t port) { return ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, port, 80); }

TEST_F(TwoWorkers, FlowsOfOneQueueAreSpreadByTheirHashAndKeepTheirWorker) {
  auto wire = add_port(2, spread_over(2));
  auto host = add_port(3, {.side_of = 2, .host = true});
  const Rss rss(RssOptions::spread(2));
  uint64_t expected[2] = {};
  for (uint16_t i = 0; i < 300; ++i) {
    const auto packet = packet_of(flow(i));
    ++expected[rss.queue(packet, read_headers(packet))];
    wire->put(flow(i));
  }
  EXPECT_EQ(card_->worker(0).poll_once(), kBatch);
  EXPECT_GT(card_->worker(1).poll_once(), 10u);  // what it was handed, and nothing else: it has no queue
  poll_all();
  EXPECT_EQ(host->take().size(), 300u);
  const auto queues = card_->queue_totals(2);
  ASSERT_EQ(queues.size(), 2u);
  EXPECT_EQ(queues[0].packets, expected[0]);
  EXPECT_EQ(queues[1].packets, expected[1]);
  // Spread to the second worker, and from there to the first, which has the host side's only queue.
  EXPECT_EQ(card_->totals().handed_over, 2 * expected[1]);
}

TEST_F(TwoWorkers, ProgramsSeeTheQueueTheyAreSpreadTo) {
  auto wire = add_port(2, spread_over(2));
  ASSERT_GE(attach(2, "obey"), 0);
  Match all;
  ASSERT_TRUE(card_->set_filters(2, {{all, FilterMode::kSteal, {DestinationKind::kQueue, 1}}}));
  for (int i = 0; i < 10; ++i) wire->put(order(kReturn, XDP_TX));
  poll_all();
  const auto sent = wire->take();
  ASSERT_EQ(sent.size(), 10u);
  for (const Frame& frame : sent) EXPECT_EQ(frame[kQueueMark], 1);
  EXPECT_EQ(card_->queue_totals(2)[1].packets, 10u);
  EXPECT_FALSE(card_->set_rss(2, RssOptions::spread(3)));
  RssOptions first;  // the whole table to queue 0
  ASSERT_TRUE(card_->set_rss(2, first));
  ASSERT_TRUE(card_->set_filters(2, {}));
  wire->put(flow(1));
  poll_all();
  EXPECT_EQ(card_->queue_totals(2)[0].packets, 1u);
}

TEST_F(TwoWorkers, QueuesOfAPortBelongToWorkersInTurn) {
  PortOptions second;
  second.first_worker = 1;
  auto two = add_port(2, {}, with_queues(2));
  auto one = add_port(4, second);
  ASSERT_GE(attach(2, "obey"), 0);
  two->put(order(kInterface, 4), 0);
  two->put(order(kInterface, 4), 1);
  EXPECT_EQ(card_->worker(0).poll_once(), 1u);
  EXPECT_EQ(one->sent(), 0u);  // its queue is the second worker's
  EXPECT_EQ(card_->worker(1).poll_once(), 2u);
  EXPECT_EQ(one->sent(), 2u);
}

TEST_F(TwoWorkers, CpumapEntriesMoveAPacketToAnotherWorker) {
  auto wire = add_port(2);
  auto host = add_port(3, {.side_of = 2, .host = true});
  auto other = add_port(4);
  ASSERT_GE(attach(2, "obey"), 0);
  set("workers", 1, 100, program("on_worker"));
  set("workers", 0, 100, program("on_worker"));
  set("workers", 3, 100);  // the device has that processor, the card no such worker
  set("ports", 0, 4);
  for (const uint8_t reaction : {0, 1, 2, 3}) {
    Frame frame = order(kCpumap, 1);
    frame[24] = reaction;
    wire->put(frame);
  }
  wire->put(order(kCpumap, 0));
  wire->put(order(kCpumap, 3));
  poll_all();
  const auto passed = host->take();
  ASSERT_EQ(passed.size(), 2u);
  EXPECT_EQ(passed[0][kCpuMark] + passed[1][kCpuMark], 1 + 2);
  const auto redirected = other->take();
  ASSERT_EQ(redirected.size(), 1u);
  EXPECT_EQ(redirected[0][kCpuMark], 2);
  EXPECT_EQ(dropped(Drop::kEntryProgram), 1u);
  EXPECT_EQ(dropped(Drop::kNoTarget), 2u);  // no such worker; from worker to worker a second time
  // The entries' program names their map: as in Linux, the two would keep each other for ever.
  for (const uint32_t key : {0, 1}) set("workers", key, 0);
}

TEST_F(TwoWorkers, ACpumapEntryTakesAsManyPacketsAsItsQueueHolds) {
  auto wire = add_port(2);
  auto host = add_port(3, {.side_of = 2, .host = true});
  ASSERT_GE(attach(2, "obey"), 0);
  set("workers", 1, 4);
  for (int i = 0; i < 10; ++i) wire->put(order(kCpumap, 1));
  card_->worker(0).poll_once();
  EXPECT_EQ(dropped(Drop::kHandOverFull), 6u);
  poll_all();
  EXPECT_EQ(host->take().size(), 4u);
  // What was taken makes room again.
  wire->put(order(kCpumap, 1));
  poll_all();
  EXPECT_EQ(host->take().size(), 1u);
  EXPECT_EQ(dropped(Drop::kHandOverFull), 6u);
}

TEST_F(TwoWorkers, JumboFramesChangeHandsWhole) {
  auto wire = add_port(2, spread_over(2));
  auto host = add_port(3, {.side_of = 2, .host = true});
  std::vector<Frame> frames;
  for (uint16_t i = 0; i < 40; ++i) {
    frames.push_back(ip_frame("10.0.0.1", "10.0.0.2", wire::kTcp, i, 80, 8900));
    wire->put(frames.back());
  }
  poll_all();
  auto got = host->take();
  std::sort(got.begin(), got.end());
  std::sort(frames.begin(), frames.end());
  EXPECT_EQ(got, frames);
}

TEST_F(TwoWorkers, PacketsUnderWayToARemovedPortAreCounted) {
  PortOptions second;
  second.first_worker = 1;
  auto wire = add_port(2);
  add_port(4, second);
  ASSERT_GE(attach(2, "obey"), 0);
  for (int i = 0; i < 5; ++i) wire->put(order(kInterface, 4));
  EXPECT_EQ(card_->worker(0).poll_once(), 5u);
  EXPECT_EQ(card_->totals().held, 5u);
  ASSERT_TRUE(card_->remove_port(4));
  poll_all();
  EXPECT_EQ(dropped(Drop::kPortGone), 5u);
}

TEST_F(TwoWorkers, ALosslessPortIsNotReceivedFromWhileTheRingIsFull) {
  port::Info lossless;
  lossless.lossless = true;
  PortOptions second;
  second.first_worker = 1;
  auto wire = add_port(2, {}, lossless);
  auto out = add_port(4, second, lossless);
  ASSERT_GE(attach(2, "obey"), 0);
  out->set_room(0);
  for (int i = 0; i < 700; ++i) wire->put(order(kInterface, 4));
  for (int i = 0; i < 30; ++i) card_->worker(0).poll_once();  // the second worker does nothing
  for (int i = 0; i < 700; ++i) wire->put(order(kInterface, 4));
  for (int i = 0; i < 30; ++i) card_->worker(0).poll_once();
  EXPECT_GT(wire->unread(), 300u);
  EXPECT_EQ(card_->totals().dropped(), 0u);
  out->set_room(UINT32_MAX);
  poll_all();
  EXPECT_EQ(out->sent(), 1400u);
}

// The rest has threads. Ports sleep, so that waking up is tried too.
class Threads : public CardTest {
 protected:
  static constexpr bool kSanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
      true;
#else
      false;
#endif
  Threads() { sleeps_ = true; }
  void make(uint32_t workers, const std::string& engine, uint32_t spin) {
    CardOptions options;
    options.workers = workers;
    options.engine = engine;
    options.frames_per_worker = 4096;
    options.spin_polls = spin;
    make_card(options);
    if (engine == "native") device::install_native();
  }
  ~Threads() override { exec::native::install({}); }
};

TEST_F(Threads, AreWokenForEveryPacket) {
  make(2, "interp", 1);
  auto wire = add_port(2, spread_over(2));
  auto host = add_port(3, {.side_of = 2, .host = true});
  ASSERT_TRUE(card_->start());
  const int rounds = kSanitized ? 100 : 400;
  for (int i = 0; i < rounds; ++i) {
    // One at a time, so that everybody has gone to sleep in between, now and then.
    wire->put(flow(static_cast<uint16_t>(i)));
    ASSERT_TRUE(eventually([&] { return host->sent() == static_cast<size_t>(i) + 1; })) << i;
    if (i % 20 == 0) std::this_thread::sleep_for(2ms);
  }
}

TEST_F(Threads, AProgramIsReplacedAThousandTimesUnderLoadAndNoPacketIsLost) {
  make(2, "native", 100);
  sleeps_ = false;  // a wire with two queues cannot wake
  auto wire = add_port(2, {}, with_queues(2));
  const long link = attach(2, "obey");
  ASSERT_GE(link, 0);
  ASSERT_TRUE(card_->start());
  std::atomic<bool> stop{false};
  uint64_t put = 0;
  std::thread load([&] {
    while (!stop) {
      if (wire->unread() > 2000) {
        std::this_thread::sleep_for(50us);
        continue;
      }
      Frame frame = order(kReturn, XDP_TX);
      frame[30] = static_cast<uint8_t>(put);
      for (uint32_t i = 0; i < 32; ++i, ++put) wire->put(frame, i % 2);
    }
  });
  const int rounds = kSanitized ? 100 : 1000;
  for (int i = 0; i < rounds; ++i) ASSERT_EQ(replace(link, i % 2 == 0 ? "obey_newer" : "obey"), 0);
  stop = true;
  load.join();
  EXPECT_TRUE(eventually([&] { return wire->sent() == put; })) << wire->sent() << " of " << put;
  uint64_t versions[3] = {};
  for (const Frame& frame : wire->take()) {
    ASSERT_TRUE(frame[kVersionMark] == 1 || frame[kVersionMark] == 2);
    ++versions[frame[kVersionMark]];
  }
  EXPECT_GT(versions[1], 0u);
  EXPECT_GT(versions[2], 0u);
  EXPECT_EQ(card_->totals().dropped(), 0u);
  EXPECT_EQ(card_->totals().received, put);
  for (const QueueTotals& queue : card_->queue_totals(2)) EXPECT_EQ(queue.packets, put / 2);
}

TEST_F(Threads, CountInPerCpuAndSharedMapsExactly) {
  for (const uint32_t workers : {2u, 4u}) {
    make(workers, "native", 100);
    object_.reset();
    port::Info lossless;
    lossless.lossless = true;  // else packets are lost when a worker gets no time for a while
    auto wire = add_port(2, spread_over(workers), lossless);
    ASSERT_GE(attach(2, "obey"), 0);
    ASSERT_TRUE(card_->start());
    const uint64_t packets = kSanitized ? 2000 : 20000;
    for (uint64_t i = 0; i < packets; ++i) {
      // A flow's frame; the first byte of its IP header is no order, so it is aborted: only counting matters.
      wire->put(flow(static_cast<uint16_t>(i)));
    }
    EXPECT_TRUE(eventually([&] { return card_->totals().drop(Drop::kAborted) == packets; }));
    const uint32_t zero = 0;
    std::vector<uint64_t> own(device_.cpus());
    uint64_t shared = 0, sum = 0, used = 0;
    ASSERT_EQ(device_.map(map("own_count"))->host_lookup(&zero, own.data(), 0), 0);
    ASSERT_EQ(device_.map(map("shared_count"))->host_lookup(&zero, &shared, 0), 0);
    for (const uint64_t count : own) sum += count, used += count != 0;
    EXPECT_EQ(sum, packets);
    EXPECT_EQ(shared, packets);
    EXPECT_EQ(used, workers);
  }
}

TEST_F(Threads, PortsComeAndGoUnderLoadAndEveryPacketIsAccountedFor) {
  make(2, "interp", 100);
  auto wire = add_port(2, spread_over(2));
  ASSERT_GE(attach(2, "obey"), 0);
  ASSERT_TRUE(card_->start());
  std::atomic<bool> stop{false};
  std::thread load([&] {
    while (!stop) {
      if (wire->unread() > 2000)
        std::this_thread::sleep_for(50us);
      else
        for (int i = 0; i < 32; ++i) wire->put(order(kInterface, 4));
    }
  });
  uint64_t sent = 0;
  for (int i = 0; i < (kSanitized ? 20 : 100); ++i) {
    PortOptions options;
    options.first_worker = static_cast<uint32_t>(i) % 2;
    auto other = add_port(4, options);
    std::this_thread::sleep_for(500us);
    ASSERT_TRUE(card_->remove_port(4));
    EXPECT_TRUE(other->closed);
    sent += other->take().size();
  }
  stop = true;
  load.join();
  EXPECT_TRUE(eventually([&] { return wire->unread() == 0; }));
  EXPECT_TRUE(card_->drain(5'000'000'000));
  const Totals totals = card_->totals();
  EXPECT_TRUE(totals.balanced());
  EXPECT_EQ(totals.held, 0u);
  EXPECT_EQ(totals.sent, sent);
  EXPECT_GT(sent, 0u);
}

TEST_F(Threads, ADrainedCardReceivesNothingUntilItGoesOn) {
  make(1, "interp", 10);
  auto wire = add_port(2);
  ASSERT_GE(attach(2, "obey"), 0);
  ASSERT_TRUE(card_->start());
  ASSERT_TRUE(card_->drain(1'000'000'000));
  wire->put(order(kReturn, XDP_TX));
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(wire->sent(), 0u);
  card_->resume();
  EXPECT_TRUE(eventually([&] { return wire->sent() == 1; }));
  card_->stop();
  ASSERT_TRUE(card_->start());
  wire->put(order(kReturn, XDP_TX));
  EXPECT_TRUE(eventually([&] { return wire->sent() == 2; }));
}

}  // namespace
}  // namespace xnic::nic::datapath
