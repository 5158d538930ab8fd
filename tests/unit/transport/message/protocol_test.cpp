// SPDX-License-Identifier: Apache-2.0
#include "transport/message/protocol.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace xnic::transport::message {
namespace {

std::vector<uint8_t> frame_with(const std::vector<uint8_t>& messages) {
  FrameHeader header;
  header.session = 7;
  header.sequence = 42;
  header.size = static_cast<uint16_t>(messages.size());
  std::vector<uint8_t> frame(sizeof header + messages.size());
  std::memcpy(frame.data(), &header, sizeof header);
  if (!messages.empty()) std::memcpy(frame.data() + sizeof header, messages.data(), messages.size());
  return frame;
}

TEST(ProtocolTest, AFrameBeginsAsAnEthernetFrameOfTheExperimentalType) {
  const auto frame = frame_with({});
  EXPECT_EQ(frame[12], 0x88);
  EXPECT_EQ(frame[13], 0xb5);
  EXPECT_EQ(frame[14], kVersion);
  const auto header = decode_frame(frame);
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->session, 7u);
  EXPECT_EQ(header->sequence, 42u);
}

TEST(ProtocolTest, FramesOfOtherTypesVersionsOrLengthsAreRefused) {
  const auto good = frame_with({1, 2, 3, 4});
  ASSERT_TRUE(decode_frame(good).has_value());
  for (const size_t at : {12, 13, 14, 36, 39}) {
    auto bad = good;
    bad[at] ^= 1;
    EXPECT_FALSE(decode_frame(bad).has_value()) << "byte " << at;
  }
  EXPECT_FALSE(decode_frame(base::Bytes(good).first(good.size() - 1)).has_value()) << "shorter than it says";
  EXPECT_FALSE(decode_frame(base::Bytes(good).first(kFrameHeaderBytes - 1)).has_value());
  EXPECT_FALSE(decode_frame({}).has_value());
  auto padded = good;
  padded.resize(60);
  EXPECT_TRUE(decode_frame(padded).has_value()) << "padding is no part of it";
}

// RFC 3720, appendix B.4: the CRC of 32 bytes of zero is 0x8a9136aa; ours covers the frame from its version on.
TEST(ProtocolTest, TheChecksumIsTheCrc32c) {
  std::vector<uint8_t> frame(14 + 32, 0);
  EXPECT_EQ(frame_checksum(frame), 0x8a9136aau);
  for (size_t bit = 14 * 8; bit < frame.size() * 8; ++bit) {
    if (bit / 8 >= 32 && bit / 8 < 36) continue;  // the checksum's own place
    auto changed = frame;
    changed[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_NE(frame_checksum(changed), 0x8a9136aau) << "bit " << bit;
  }
}

TEST(ProtocolTest, MessagesAreReadOneAfterTheOther) {
  const std::vector<uint8_t> bytes = {static_cast<uint8_t>(Type::kData),      0, 2, 0, 5, 0, 0, 0, 'h', 'i',
                                      static_cast<uint8_t>(Type::kKeepAlive), 0, 0, 0, 0, 0, 0, 0};
  Reader reader{base::Bytes(bytes)};
  MessageHeader header;
  base::Bytes body;
  ASSERT_TRUE(reader.peek(header, body));
  EXPECT_EQ(header.type, Type::kData);
  EXPECT_EQ(header.id, 5u);
  EXPECT_EQ(std::string(body.begin(), body.end()), "hi");
  reader.skip(header.size);
  ASSERT_TRUE(reader.peek(header, body));
  EXPECT_EQ(header.type, Type::kKeepAlive);
  EXPECT_TRUE(body.empty());
  reader.skip(header.size);
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(Reader().peek(header, body));
}

TEST(ProtocolTest, AMessageThatIsLongerThanItsFrameIsNone) {
  const std::vector<uint8_t> bytes = {static_cast<uint8_t>(Type::kData), 0, 3, 0, 5, 0, 0, 0, 'h', 'i'};
  MessageHeader header;
  base::Bytes body;
  EXPECT_FALSE(Reader{base::Bytes(bytes)}.peek(header, body));
  EXPECT_FALSE(Reader{base::Bytes(bytes).first(7)}.peek(header, body));
  EXPECT_FALSE(decode<AcceptedBody>(bytes).has_value());
  EXPECT_TRUE(decode<CreditBody>(bytes).has_value());
}

}  // namespace
}  // namespace xnic::transport::message
