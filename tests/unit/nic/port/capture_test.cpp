// SPDX-License-Identifier: Apache-2.0
// Pace by a clock that the test turns; what is transmitted is read back from the file.
#include "nic/port/capture.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "nic/port/pcap.hpp"
#include "port_fixture.hpp"

namespace xnic::nic::port {
namespace {

using testing::HasSubstr;
using Pace = CaptureOptions::Pace;

class CaptureTest : public PortTest {
 protected:
  std::string path_ = testing::TempDir() + "xnic_capture_" + std::to_string(getpid()) + "_" +
                      testing::UnitTest::GetInstance()->current_test_info()->name();
  CaptureOptions options_{.read_path = path_ + ".in"};
  base::ManualClock time_{1000};
  std::unique_ptr<Port> port_;

  // Frames 0, 1, 2, ... with these stamps.
  void write_capture(const std::vector<uint64_t>& stamps, uint32_t size = 64) {
    auto writer = PcapngWriter::create(options_.read_path);
    ASSERT_TRUE(writer);
    for (uint32_t i = 0; i < stamps.size(); ++i)
      ASSERT_TRUE(writer->write(numbered(i, size), stamps[i], std::nullopt, ""));
    ASSERT_TRUE(writer->close());
  }
  void open() {
    auto port = open_capture(Info{.name = "c0", .ifindex = 4}, options_, time_);
    ASSERT_TRUE(port) << port.error().message();
    port_ = std::move(*port);
  }
  std::vector<uint32_t> numbers() {
    std::vector<uint32_t> all;
    for (const auto& frame : receive(*port_)) all.push_back(number_of(frame));
    return all;
  }
  void TearDown() override {
    if (port_) port_->close(0, pool());
    port_.reset();
    std::filesystem::remove(path_ + ".in");
    std::filesystem::remove(path_ + ".out");
    PortTest::TearDown();
  }
};

TEST_F(CaptureTest, ReadsOnceAndIsFinished) {
  write_capture({10, 20, 30});
  open();
  EXPECT_FALSE(port_->finished());
  EXPECT_THAT(numbers(), testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(port_->finished());
  EXPECT_TRUE(port_->status());
  EXPECT_EQ(port_->counters(0).received, 3u);
  EXPECT_EQ(port_->counters(0).received_bytes, 192u);
}

TEST_F(CaptureTest, ReadsAsOftenAsItIsTold) {
  write_capture({10, 20, 30});
  options_.loops = 3;
  open();
  EXPECT_THAT(numbers(), testing::ElementsAre(0, 1, 2, 0, 1, 2, 0, 1, 2));
  EXPECT_TRUE(numbers().empty());
  EXPECT_TRUE(port_->finished());
}

TEST_F(CaptureTest, ReadsForEver) {
  write_capture({10, 20, 30}, 4000);
  options_.loops = 0;
  open();
  for (uint32_t i = 0; i < 100; ++i) EXPECT_EQ(numbers().size(), kBatch);
  EXPECT_FALSE(port_->finished());
}

TEST_F(CaptureTest, KeepsARateWhateverTheWorkerDoes) {
  write_capture({10, 20, 30});
  options_.loops = 0;
  options_.pace = Pace::kRate;
  options_.frames_per_second = 1e6;
  open();
  EXPECT_THAT(numbers(), testing::ElementsAre(0));
  EXPECT_TRUE(numbers().empty());
  time_.advance_ns(999);
  EXPECT_TRUE(numbers().empty());
  time_.advance_ns(1);
  EXPECT_THAT(numbers(), testing::ElementsAre(1));
  time_.advance_ns(3500);
  EXPECT_THAT(numbers(), testing::ElementsAre(2, 0, 1));
  time_.advance_ns(500);
  EXPECT_THAT(numbers(), testing::ElementsAre(2));
}

TEST_F(CaptureTest, KeepsTheCapturesOwnTime) {
  write_capture({1'000'000, 1'000'100, 1'000'050, 1'000'300});
  options_.loops = 2;
  options_.pace = Pace::kStamps;
  open();
  EXPECT_THAT(numbers(), testing::ElementsAre(0));
  time_.advance_ns(99);
  EXPECT_TRUE(numbers().empty());
  time_.advance_ns(1);
  EXPECT_THAT(numbers(), testing::ElementsAre(1, 2));
  time_.advance_ns(200);
  EXPECT_THAT(numbers(), testing::ElementsAre(3, 0));
  time_.advance_ns(299);
  EXPECT_THAT(numbers(), testing::ElementsAre(1, 2));
  time_.advance_ns(1);
  EXPECT_THAT(numbers(), testing::ElementsAre(3));
  EXPECT_TRUE(numbers().empty());
  EXPECT_TRUE(port_->finished());
}

TEST_F(CaptureTest, WritesWhatIsTransmitted) {
  options_ = {.write_path = path_ + ".out"};
  open();
  EXPECT_TRUE(port_->finished());
  ASSERT_TRUE(transmit(*port_, numbered(1, 64)));
  ASSERT_TRUE(transmit(*port_, numbered(2, 9000)));
  port_->close(0, pool());
  ASSERT_TRUE(port_->status());
  auto reader = PcapReader::open(path_ + ".out");
  ASSERT_TRUE(reader);
  for (const auto& expected : {numbered(1, 64), numbered(2, 9000)}) {
    auto frame = reader->next();
    ASSERT_TRUE(frame && *frame);
    EXPECT_TRUE(std::ranges::equal((*frame)->bytes, expected));
  }
  EXPECT_EQ(port_->counters(0).transmitted_bytes, 9064u);
}

TEST_F(CaptureTest, DropsWhatHasNoFileAndSaysWhenTheDiskIsFull) {
  write_capture({1});
  open();
  ASSERT_TRUE(transmit(*port_, numbered(1, 64)));
  EXPECT_EQ(port_->counters(0).drop_down, 1u);
  port_->close(0, pool());
  options_.write_path = "/dev/full";
  open();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(transmit(*port_, numbered(1, 1500)));
  EXPECT_THAT(port_->status().error().message(), HasSubstr("No space left"));
  EXPECT_EQ(port_->counters(0).transmitted + port_->counters(0).drop_down, 100u);
}

TEST_F(CaptureTest, ACutFileEndsWithAnErrorThatNamesThePacket) {
  write_capture({1, 2, 3});
  std::filesystem::resize_file(options_.read_path, std::filesystem::file_size(options_.read_path) - 10);
  open();
  EXPECT_THAT(numbers(), testing::ElementsAre(0, 1));
  EXPECT_TRUE(port_->finished());
  EXPECT_THAT(port_->status().error().message(), HasSubstr("packet 3"));
}

TEST_F(CaptureTest, RefusesWhatCannotBe) {
  const auto kind = [&](const Info& info) { return open_capture(info, options_, time_).error().kind; };
  EXPECT_EQ(kind(Info{.name = "c"}), base::ErrorKind::kIo);  // no such file
  EXPECT_EQ(kind(Info{.name = "c", .queues = 2}), base::ErrorKind::kBadInput);
  options_.pace = Pace::kRate;
  EXPECT_EQ(kind(Info{.name = "c"}), base::ErrorKind::kBadInput);
  options_ = {.read_path = "-", .loops = 2};
  EXPECT_EQ(kind(Info{.name = "c"}), base::ErrorKind::kBadInput);
}

}  // namespace
}  // namespace xnic::nic::port
