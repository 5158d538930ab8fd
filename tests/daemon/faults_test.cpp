// SPDX-License-Identifier: Apache-2.0
// What goes wrong around a running card while packets flow: the daemon is killed, ports are removed, peers do not read,
// die, or write what they like. Each time the card's own counters say where every packet is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/rng.hpp"
#include "daemon/daemon.hpp"
#include "unit/nic/port/peer_region.hpp"

namespace xnic::tests::daemon {
namespace {

using nic::port::MemoryPeer;
using nlohmann::ordered_json;
using testing::HasSubstr;

// Two ports; what comes in at a goes out of b.
std::string a_to_b(const std::string& keys_of_b = "") {
  return memory_port("a", 2) + "entries = 64\nprogram = \"" + program("redirect_map") +
         "\"\nmaps = { tx_port = \"@/to_b.json\" }\n" + memory_port("b", 3) + "entries = 64\n" + keys_of_b;
}

class Faults : public testing::Test {
 protected:
  void start(const std::string& ports) {
    daemon_ = std::make_unique<Daemon>(ports);
    cli::write_file(daemon_->path("to_b.json"), R"([{"key": 0, "value": 3}])");
    const cli::Finished up = daemon_->up();
    ASSERT_EQ(up.exit_code, 0) << up.err;
  }
  void TearDown() override { stop_load(); }
  // Sends into `port` as much as goes in; whenever the card is gone, until there is one again.
  void load(const std::string& port) {
    load_ = std::thread([this, port] {
      while (!stop_) {
        auto peer = MemoryPeer::attach(daemon_->path(port + ".sock"));
        if (!peer) usleep(2000);
        while (peer && !stop_ && peer->status()) send(*peer);
      }
    });
  }
  void send(MemoryPeer& peer) {
    const std::vector<uint8_t> bytes = frame(7);
    const std::vector<base::Bytes> batch(16, bytes);
    const uint32_t went = peer.send(0, batch);
    sent_ += went;
    if (went < batch.size()) usleep(200);
  }
  void stop_load() {
    stop_ = true;
    if (load_.joinable()) load_.join();
  }
  // Takes what comes until `count` frames came; false: they do not.
  bool take(MemoryPeer& peer, uint64_t count) {
    for (int tries = 0; tries < 500; ++tries) {
      const uint32_t ready = peer.available(0, 64);
      peer.release(0, ready);
      taken_ += ready;
      if (count <= ready) return true;
      count -= ready;
      if (ready == 0 && !peer.wait(0, 10)) return false;
    }
    return false;
  }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 500; ++i) {
      if (condition()) return true;
      usleep(10'000);
    }
    return false;
  }
  uint64_t counter(const char* name) const { return daemon_->stats()["card"][name].get<uint64_t>(); }
  uint64_t drops(const char* reason) const { return daemon_->stats()["card"]["drops"][reason].get<uint64_t>(); }
  // Waits until the card has received `packets`, and holds its counters against each other.
  void expect_all_accounted_for(uint64_t packets) {
    EXPECT_TRUE(eventually([&] { return counter("received") == packets; })) << counter("received");
    const ordered_json card = daemon_->stats()["card"];
    uint64_t ends = card["sent"].get<uint64_t>() + card["held"].get<uint64_t>();
    for (const ordered_json& drop : card["drops"]) ends += drop.get<uint64_t>();
    EXPECT_EQ(card["received"].get<uint64_t>(), ends) << card.dump(1);
  }

  std::unique_ptr<Daemon> daemon_;
  std::thread load_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> sent_{0};
  uint64_t taken_ = 0;
};

TEST_F(Faults, TrafficGoesOnAfterKill9UnderLoad) {
  start(memory_port("a", 2) + "program = \"" + program("tx") + "\"\n" + memory_port("b", 3));
  load("a");
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(eventually([&] { return counter("sent") > 1000; }));
    kill(daemon_->pid(), SIGKILL);
    ASSERT_TRUE(eventually([&] { return daemon_->pid() == 0; }));
    const cli::Finished up = daemon_->up();
    ASSERT_EQ(up.exit_code, 0) << up.err;
  }
  EXPECT_TRUE(eventually([&] { return counter("sent") > 1000; }));
}

TEST_F(Faults, APortIsRemovedAndComesBackUnderLoad) {
  start(a_to_b());
  const std::string file = daemon_->path("b.toml");
  cli::write_file(file, "name = \"b\"\nkind = \"memory\"\nifindex = 3\npath = \"b.sock\"\nentries = 64\n");
  load("a");
  for (int round = 0; round < 5; ++round) {
    {
      MemoryPeer b = daemon_->peer("b");
      EXPECT_TRUE(take(b, 500)) << "round " << round;
      daemon_->must({"ports", "remove", "b"});
      EXPECT_FALSE(b.status());
    }
    const uint64_t lost = drops("no_target");
    EXPECT_TRUE(eventually([&] { return drops("no_target") > lost; }));
    daemon_->must({"ports", "add", file});
  }
  stop_load();
  expect_all_accounted_for(sent_);
}

TEST_F(Faults, AFullRingLosesWhatIsCounted) {
  start(a_to_b());
  MemoryPeer b = daemon_->peer("b");
  load("a");
  ASSERT_TRUE(eventually([&] { return drops("transmit_full") > 10'000; }));
  stop_load();
  expect_all_accounted_for(sent_);
  EXPECT_EQ(counter("sent"), 64u);  // what the ring holds
  EXPECT_TRUE(take(b, 64));
  EXPECT_EQ(b.available(0, 1), 0u);
}

TEST_F(Faults, AFullRingOfALosslessPortHoldsTheSenderBack) {
  start(a_to_b("lossless = true\n"));
  MemoryPeer b = daemon_->peer("b");
  MemoryPeer a = daemon_->peer("a");
  for (int i = 0; i < 300; ++i) {
    send(a);
    if (i % 3 != 2) continue;
    EXPECT_TRUE(take(b, 1));  // well within the stall time
  }
  while (taken_ < sent_ && take(b, 1)) continue;
  EXPECT_EQ(taken_, sent_);
  EXPECT_EQ(counter("sent"), sent_);
}

// A process of its own that attaches to the port and does `harm` until it is killed.
pid_t hostile_process(const std::string& socket, const std::function<void(MemoryPeer&)>& harm) {
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(20);  // should the test die
  for (;;) {
    auto peer = MemoryPeer::attach(socket);
    while (peer) harm(*peer);
    usleep(1000);
  }
}

TEST_F(Faults, APeerThatIsKilledUnderLoadMakesRoomForTheNext) {
  start(a_to_b());
  load("a");
  for (int round = 0; round < 5; ++round) {
    const pid_t peer =
        hostile_process(daemon_->path("b.sock"), [](MemoryPeer& b) { b.release(0, b.available(0, 64)); });
    const uint64_t before = counter("sent");
    EXPECT_TRUE(eventually([&] { return counter("sent") > before + 500; }));
    kill(peer, SIGKILL);
    EXPECT_EQ(waitpid(peer, nullptr, 0), peer);
  }
  EXPECT_TRUE(eventually([&] {  // once the end of the last one is noticed
    auto b = MemoryPeer::attach(daemon_->path("b.sock"));
    return b && take(*b, 500);
  }));
  stop_load();
  expect_all_accounted_for(sent_);
}

TEST_F(Faults, APeerThatWritesGarbageHurtsNobodyElse) {
  start(a_to_b() + memory_port("c", 4) + "program = \"" + program("tx") + "\"\n");
  const pid_t card = daemon_->pid();
  load("a");
  base::Rng rng(5);
  const auto scribble = [&rng](MemoryPeer& peer) {
    const std::span<uint8_t> region = nic::port::region_of(peer);
    const size_t to_card = 4096 + (region.size() - 4096) / 2;  // the three words of the ring to the card
    for (uint64_t writes = rng.below(500); writes > 0; --writes)
      region[rng.chance(1, 2) ? rng.below(region.size()) : to_card + rng.below(192)] = static_cast<uint8_t>(rng.next());
    peer.flush(0);
    usleep(100);
  };
  const pid_t garbage = hostile_process(daemon_->path("c.sock"), scribble);
  MemoryPeer b = daemon_->peer("b");
  EXPECT_TRUE(eventually([&] { return daemon_->log().find("port c: down: ") != std::string::npos; }));
  EXPECT_TRUE(take(b, 2000));
  kill(garbage, SIGKILL);
  EXPECT_EQ(waitpid(garbage, nullptr, 0), garbage);
  EXPECT_EQ(daemon_->pid(), card);
  std::vector<uint32_t> came;
  EXPECT_TRUE(eventually([&] {
    auto c = MemoryPeer::attach(daemon_->path("c.sock"));
    if (c) came = pass(*c, *c, 1, 3);
    return came.size() == 3;
  }));
  EXPECT_EQ(came, (std::vector<uint32_t>{1, 2, 3}));
}

}  // namespace
}  // namespace xnic::tests::daemon
