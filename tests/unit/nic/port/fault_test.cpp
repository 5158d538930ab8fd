// SPDX-License-Identifier: Apache-2.0
// Faults on a looped capture (in) and a file (out): each does what it says, about as often as it says, and is counted.
#include "nic/port/fault.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <bit>
#include <filesystem>
#include <map>

#include "nic/port/capture.hpp"
#include "nic/port/pcap.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

class FaultTest : public PortTest {
 protected:
  static constexpr uint32_t kSent = 2000;
  std::string path_ = testing::TempDir() + "xnic_fault_" + std::to_string(getpid()) + "_" +
                      testing::UnitTest::GetInstance()->current_test_info()->name();
  base::ManualClock time_{1000};
  std::unique_ptr<FaultPort> port_;

  void open(const FaultOptions& options) {
    auto writer = PcapngWriter::create(path_ + ".in");
    ASSERT_TRUE(writer);
    for (uint32_t i = 0; i < kSent; ++i) ASSERT_TRUE(writer->write(numbered(i, 64), i, std::nullopt, ""));
    ASSERT_TRUE(writer->close());
    auto inner = open_capture(Info{.name = "c0", .ifindex = 4},
                              {.read_path = path_ + ".in", .write_path = path_ + ".out"}, time_);
    ASSERT_TRUE(inner) << inner.error().message();
    port_ = std::move(*wrap_with_faults(std::move(*inner), options, time_));
  }
  void TearDown() override {
    port_->close(0, pool());
    port_.reset();
    std::filesystem::remove(path_ + ".in");
    std::filesystem::remove(path_ + ".out");
    PortTest::TearDown();
  }
  // All frames until the port is finished; a microsecond passes with each look.
  std::vector<std::vector<uint8_t>> receive_all() {
    std::vector<std::vector<uint8_t>> all;
    for (int i = 0; i < 100'000 && !port_->finished(); ++i, time_.advance_ns(1000))
      for (auto& frame : receive(*port_)) all.push_back(std::move(frame));
    EXPECT_TRUE(port_->finished());
    return all;
  }
  // Sends kSent frames and gives what came out.
  std::vector<std::vector<uint8_t>> send_all() {
    for (uint32_t i = 0; i < kSent; time_.advance_ns(1000)) {
      if (transmit(*port_, numbered(i, 64))) ++i;
      port_->flush(0);
    }
    time_.advance_ns(1'000'000'000);
    port_->reap(0, pool());
    port_->close(0, pool());
    std::vector<std::vector<uint8_t>> all;
    auto reader = PcapReader::open(path_ + ".out");
    for (auto frame = reader->next(); frame && *frame; frame = reader->next())
      all.emplace_back((*frame)->bytes.begin(), (*frame)->bytes.end());
    return all;
  }
  static uint32_t out_of_order(const std::vector<std::vector<uint8_t>>& frames) {
    uint32_t steps_back = 0;
    for (size_t i = 1; i < frames.size(); ++i) steps_back += number_of(frames[i]) < number_of(frames[i - 1]);
    return steps_back;
  }
};

// Ten percent of 2000, give or take five standard deviations.
const auto kAboutATenth = testing::AllOf(testing::Ge(133u), testing::Le(267u));

TEST_F(FaultTest, WithoutFaultsNothingChanges) {
  open({});
  const auto frames = receive_all();
  ASSERT_EQ(frames.size(), kSent);
  for (uint32_t i = 0; i < kSent; ++i) EXPECT_EQ(frames[i], numbered(i, 64));
  EXPECT_EQ(send_all(), frames);
}

TEST_F(FaultTest, DropsAndCounts) {
  open({.receive = {.drop_ppm = 100'000}, .transmit = {.drop_ppm = 100'000}, .seed = 3});
  const size_t received = receive_all().size();
  EXPECT_THAT(port_->receive_faults(0).dropped.load(), kAboutATenth);
  EXPECT_EQ(received, kSent - port_->receive_faults(0).dropped);
  const size_t sent = send_all().size();
  EXPECT_EQ(sent, kSent - port_->transmit_faults(0).dropped);
  EXPECT_THAT(port_->transmit_faults(0).dropped.load(), kAboutATenth);
}

TEST_F(FaultTest, DuplicatesAndCounts) {
  open({.receive = {.duplicate_ppm = 100'000}, .transmit = {.duplicate_ppm = 100'000}});
  for (const bool in : {true, false}) {
    const auto frames = in ? receive_all() : send_all();
    const auto& faults = in ? port_->receive_faults(0) : port_->transmit_faults(0);
    EXPECT_THAT(faults.duplicated.load(), kAboutATenth);
    EXPECT_EQ(frames.size(), kSent + faults.duplicated);
    std::map<std::vector<uint8_t>, int> seen;
    for (const auto& frame : frames) ++seen[frame];
    EXPECT_EQ(seen.size(), kSent);
  }
}

TEST_F(FaultTest, ReordersAndLosesNothing) {
  open({.receive = {.reorder_ppm = 100'000}, .transmit = {.reorder_ppm = 100'000}});
  const auto frames = receive_all();
  EXPECT_EQ(frames.size(), kSent);
  EXPECT_THAT(port_->receive_faults(0).reordered.load(), kAboutATenth);
  EXPECT_GE(out_of_order(frames), 50u);
  std::map<uint32_t, int> seen;
  for (const auto& frame : frames) ++seen[number_of(frame)];
  EXPECT_EQ(seen.size(), kSent);
}

TEST_F(FaultTest, FlipsOneBit) {
  open({.receive = {.corrupt_ppm = 100'000}, .transmit = {.corrupt_ppm = 100'000}});
  for (const bool in : {true, false}) {
    const auto frames = in ? receive_all() : send_all();
    ASSERT_EQ(frames.size(), kSent);
    uint32_t flipped = 0;
    for (uint32_t i = 0; i < kSent; ++i) {
      const std::vector<uint8_t> sent = numbered(i, 64);
      int bits = 0;
      for (size_t at = 0; at < sent.size(); ++at) bits += std::popcount(static_cast<uint8_t>(sent[at] ^ frames[i][at]));
      EXPECT_LE(bits, 1);
      flipped += static_cast<uint32_t>(bits);
    }
    EXPECT_EQ(flipped, (in ? port_->receive_faults(0) : port_->transmit_faults(0)).corrupted);
    EXPECT_THAT(flipped, kAboutATenth);
  }
}

TEST_F(FaultTest, HoldsDelayedFramesForTheirTime) {
  open({.receive = {.delay_ppm = 1'000'000, .delay_ns = 5000}, .transmit = {}});
  EXPECT_TRUE(receive(*port_).empty());
  EXPECT_FALSE(port_->prepare_sleep(0));
  time_.advance_ns(4999);
  EXPECT_TRUE(receive(*port_).empty());
  time_.advance_ns(1);
  EXPECT_EQ(receive(*port_).size(), 32u);
  const size_t rest = receive_all().size();
  EXPECT_EQ(rest + 32, kSent);
  EXPECT_GE(port_->receive_faults(0).delayed, 64u);  // no more than 64 are held: the others pass
}

TEST_F(FaultTest, WhatIsHeldBackAtTheEndCountsAsDropped) {
  open({.receive = {.delay_ppm = 1'000'000}, .transmit = {.delay_ppm = 1'000'000}});
  EXPECT_TRUE(receive(*port_).empty());
  EXPECT_TRUE(transmit(*port_, numbered(1, 64)));
  port_->close(0, pool());
  EXPECT_EQ(port_->receive_faults(0).dropped, kBatch);
  EXPECT_EQ(port_->transmit_faults(0).dropped, 1u);
}

TEST_F(FaultTest, StandsStillForAWhile) {
  open({.receive = {.stall_ppm = 1'000'000, .stall_ns = 5000}, .transmit = {.stall_ppm = 1'000'000, .stall_ns = 5000}});
  EXPECT_EQ(receive(*port_).size(), kBatch);
  time_.advance_ns(4999);
  EXPECT_TRUE(receive(*port_).empty());
  time_.advance_ns(1);
  EXPECT_EQ(receive(*port_).size(), kBatch);
  EXPECT_EQ(port_->receive_faults(0).stalls, 2u);
  EXPECT_FALSE(transmit(*port_, numbered(1, 64)));
  EXPECT_EQ(port_->transmit_faults(0).stalls, 1u);
}

TEST_F(FaultTest, TheSameSeedDoesTheSame) {
  const FaultRates all{.drop_ppm = 50'000,
                       .duplicate_ppm = 50'000,
                       .reorder_ppm = 50'000,
                       .corrupt_ppm = 50'000,
                       .delay_ppm = 50'000,
                       .stall_ppm = 1000,
                       .delay_ns = 20'000,
                       .stall_ns = 50'000};
  std::vector<std::vector<std::vector<uint8_t>>> runs;
  for (const uint64_t seed : {7u, 7u, 8u}) {
    time_.set_ns(1000);
    open({.receive = all, .transmit = all, .seed = seed});
    runs.push_back(receive_all());
    const auto out = send_all();
    const auto& in_faults = port_->receive_faults(0);
    EXPECT_EQ(runs.back().size(), kSent - in_faults.dropped + in_faults.duplicated);
    const auto& out_faults = port_->transmit_faults(0);
    EXPECT_EQ(out.size(), kSent - out_faults.dropped + out_faults.duplicated);
    runs.push_back(out);
  }
  EXPECT_EQ(runs[0], runs[2]);
  EXPECT_EQ(runs[1], runs[3]);
  EXPECT_NE(runs[0], runs[4]);
}

}  // namespace
}  // namespace xnic::nic::port
