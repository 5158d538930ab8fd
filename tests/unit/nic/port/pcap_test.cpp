// SPDX-License-Identifier: Apache-2.0
// What is written is read back; every way a capture can be broken gives an error that names the place.
#include "nic/port/pcap.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <vector>

namespace xnic::nic::port {
namespace {

class PcapFile : public testing::Test {
 protected:
  std::string path_ = testing::TempDir() + "xnic_pcap_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  void TearDown() override { std::filesystem::remove(path_); }
  void write_bytes(const std::vector<uint8_t>& bytes) {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  }
  // Reads until the end or an error; the error's message, or "" with the count in frames_.
  std::string read_all() {
    auto reader = PcapReader::open(path_);
    if (!reader) return reader.error().message();
    for (;;) {
      auto frame = reader->next();
      if (!frame) return frame.error().message();
      if (!*frame) return "";
      ++frames_;
      last_.assign((*frame)->bytes.begin(), (*frame)->bytes.end());
      last_timestamp_ns_ = (*frame)->timestamp_ns;
    }
  }
  int frames_ = 0;
  std::vector<uint8_t> last_;
  uint64_t last_timestamp_ns_ = 0;
};

TEST_F(PcapFile, ReadsBackWhatTheWriterWrote) {
  auto writer = PcapngWriter::create(path_);
  ASSERT_TRUE(writer);
  for (uint8_t size = 14; size < 18; ++size) {
    ASSERT_TRUE(writer->write(std::vector<uint8_t>(size, size), 1'700'000'000'123'456'789u + size, 3, "tx"));
  }
  ASSERT_TRUE(writer->close());
  EXPECT_EQ(read_all(), "");
  EXPECT_EQ(frames_, 4);
  EXPECT_EQ(last_, std::vector<uint8_t>(17, 17));
  EXPECT_EQ(last_timestamp_ns_, 1'700'000'000'123'456'806u);
}

TEST_F(PcapFile, ReadsTheTracesOfTheRepository) {
  path_ = "data/traces/5_flows_64_bytes.pcap";
  EXPECT_EQ(read_all(), "");
  EXPECT_EQ(frames_, 5);
  path_.clear();
}

TEST_F(PcapFile, NamesThePacketAtWhichATruncatedCaptureEnds) {
  std::ifstream original("data/traces/5_flows_64_bytes.pcap", std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(original), {}};
  bytes.resize(bytes.size() - 10);
  write_bytes(bytes);
  EXPECT_NE(read_all().find("packet 5: truncated"), std::string::npos);
  EXPECT_EQ(frames_, 4);
}

TEST_F(PcapFile, RefusesAnEmptyFile) {
  write_bytes({});
  EXPECT_NE(read_all().find("not a usable capture"), std::string::npos);
}

TEST_F(PcapFile, RefusesAnotherLinkType) {
  std::ifstream original("data/traces/5_flows_64_bytes.pcap", std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(original), {}};
  bytes[20] = 101;  // raw IP
  write_bytes(bytes);
  EXPECT_NE(read_all().find("Ethernet frames only"), std::string::npos);
}

TEST_F(PcapFile, RefusesAMissingFile) { EXPECT_NE(read_all().find("cannot open: No such file"), std::string::npos); }

TEST(PcapngWriter, ReportsAFullDisk) {
  auto writer = PcapngWriter::create("/dev/full");
  ASSERT_TRUE(writer);
  base::Result<void> result;
  for (int i = 0; i < 10000 && result; ++i) result = writer->write(std::vector<uint8_t>(1500), 0, 2, "");
  if (result) result = writer->close();
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("No space left"), std::string::npos);
}

}  // namespace
}  // namespace xnic::nic::port
