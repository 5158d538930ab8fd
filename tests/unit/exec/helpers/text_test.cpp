// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>

#include "exec/helpers/call.hpp"
#include "exec/helpers/siphash.hpp"

namespace xnic::exec::helpers {
namespace {

class TextHelpers : public testing::Test {
 protected:
  TextHelpers() {
    context_.state = &state_;
    context_.packet = &packet_;
    context_.run = &run_;
    context_.program = &program_;
    run_.clock = &clock_;
  }
  std::pair<int64_t, int64_t> to_long(std::string text, uint64_t flags) {
    int64_t value = 99;
    const uint64_t consumed = strtol(context_, address(text.data()), text.size(), flags, address(&value), 0);
    return {static_cast<int64_t>(consumed), value};
  }
  std::pair<int64_t, std::string> print(const char* pattern, std::vector<uint64_t> arguments, size_t room = 64) {
    std::string buffer(room, '#');
    const uint64_t length = snprintf(context_, address(buffer.data()), room, address(pattern),
                                     address(arguments.data()), arguments.size() * 8);
    return {static_cast<int64_t>(length), std::string(buffer.c_str())};
  }

  base::ManualClock clock_;
  HelperState state_;
  packet::Packet packet_;
  RunContext run_;
  LoadedProgram program_;
  HelperContext context_;
};

using Parsed = std::pair<int64_t, int64_t>;

TEST_F(TextHelpers, StrtolParsesBasesSignsAndLimits) {
  EXPECT_EQ(to_long("42 rest", 0), Parsed(2, 42));
  EXPECT_EQ(to_long("  -42", 10), Parsed(5, -42));
  EXPECT_EQ(to_long("0x1fz", 0), Parsed(4, 31));
  EXPECT_EQ(to_long("0x1f", 16), Parsed(4, 31));
  EXPECT_EQ(to_long("017", 0), Parsed(3, 15));
  EXPECT_EQ(to_long("0x", 0), Parsed(1, 0));
  EXPECT_EQ(to_long("x", 10), Parsed(-EINVAL, 0));
  EXPECT_EQ(to_long("12", 3), Parsed(-EINVAL, 0));
  EXPECT_EQ(to_long("12", 64), Parsed(-EINVAL, 0));
  EXPECT_EQ(to_long("9223372036854775808", 10), Parsed(-ERANGE, 0));
  EXPECT_EQ(to_long("-9223372036854775808", 10), Parsed(20, std::numeric_limits<int64_t>::min()));
  EXPECT_EQ(to_long("99999999999999999999", 10), Parsed(-ERANGE, 0));
}

TEST_F(TextHelpers, StrtoulRefusesNegativeNumbers) {
  uint64_t value = 99;
  EXPECT_EQ(static_cast<int64_t>(strtoul(context_, address("-1"), 2, 0, address(&value), 0)), -EINVAL);
  EXPECT_EQ(value, 0u);
  EXPECT_EQ(strtoul(context_, address("18446744073709551615"), 20, 0, address(&value), 0), 20u);
  EXPECT_EQ(value, ~uint64_t{0});
}

TEST_F(TextHelpers, StrncmpStopsAtTheSizeAndAtTheEnd) {
  EXPECT_EQ(strncmp(context_, address("abcx"), 3, address("abcd"), 0, 0), 0u);
  EXPECT_EQ(static_cast<int64_t>(strncmp(context_, address("abc"), 4, address("abd"), 0, 0)), -1);
  EXPECT_EQ(static_cast<int64_t>(strncmp(context_, address("b"), 2, address("a"), 0, 0)), 1);
  EXPECT_EQ(strncmp(context_, address("a\0x"), 3, address("a\0y"), 0, 0), 0u);
}

TEST_F(TextHelpers, SnprintfFormatsAndReportsTheWholeLength) {
  using Printed = std::pair<int64_t, std::string>;
  EXPECT_EQ(print("%d %u|%5d|%-5d|%05d", {~uint64_t{0}, ~uint64_t{0}, 7, 7, uint64_t(-7)}),
            Printed(32, "-1 4294967295|    7|7    |-0007"));
  EXPECT_EQ(print("%llx %lX %c%%", {0x1234567890, 0xab, 'q'}), Printed(17, "1234567890 AB q%"));
  EXPECT_EQ(print("%d", {12345}, 4), Printed(6, "123"));
  EXPECT_EQ(print("%f", {1}).first, -EINVAL);
  EXPECT_EQ(print("%d %d", {1}).first, -EINVAL);
}

TEST_F(TextHelpers, SnprintfReadsStringsAndAddressesOnlyFromTheCardsMemory) {
  const uint8_t frame[64] = {10, 1, 2, 255, 'h', 'i', 0};
  packet_.assign(frame);
  EXPECT_EQ(print("%pI4 %s", {address(packet_.data), address(packet_.data + 4)}).second, "10.1.2.255 hi");
  const char outside[] = "secret";
  EXPECT_EQ(print("<%s>", {address(outside)}).second, "<>");
}

TEST_F(TextHelpers, TracePrintkCollectsLines) {
  const char pattern[] = "n=%d";
  EXPECT_EQ(trace_printk(context_, address(pattern), sizeof pattern, 5, 0, 0), 3u);
  EXPECT_EQ(trace_printk(context_, address(pattern), sizeof pattern, 6, 0, 0), 3u);
  EXPECT_EQ(state_.trace, "n=5\nn=6\n");
  EXPECT_EQ(static_cast<int64_t>(trace_printk(context_, address(pattern), 3, 5, 0, 0)), -EINVAL) << "no NUL";
}

TEST_F(TextHelpers, ProbeReadTakesOnlyTheCardsMemory) {
  const uint8_t frame[64] = {'a', 'b', 'c', 0, 'd'};
  packet_.assign(frame);
  char buffer[8] = "zzzzzzz";
  EXPECT_EQ(probe_read_kernel(context_, address(buffer), 4, address(packet_.data), 0, 0), 0u);
  EXPECT_EQ(std::memcmp(buffer, "abc\0zzz", 8), 0);
  EXPECT_EQ(static_cast<int64_t>(probe_read_kernel(context_, address(buffer), 8, 0x1000, 0, 0)), -EFAULT);
  EXPECT_EQ(std::count(buffer, buffer + 8, 0), 8);
  EXPECT_EQ(probe_read_kernel_str(context_, address(buffer), 8, address(packet_.data), 0, 0), 4u);
  EXPECT_STREQ(buffer, "abc");
  EXPECT_EQ(probe_read_kernel_str(context_, address(buffer), 3, address(packet_.data), 0, 0), 3u);
  EXPECT_STREQ(buffer, "ab");
}

TEST(Siphash, MatchesTheReferenceVector) {
  uint8_t input[15];
  for (uint8_t i = 0; i < 15; ++i) input[i] = i;
  EXPECT_EQ(siphash(input, 0x0706050403020100, 0x0f0e0d0c0b0a0908), 0xa129ca6149be45e5u);
}

class Syncookies : public TextHelpers {
 protected:
  // A SYN with an MSS option, then the ACK that answers a SYN-ACK with `cookie`.
  void make_syn(uint16_t mss) {
    tcp_ = {0x30,        0x39, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x60, 2, 0, 0, 0, 0, 0, 0, 2, 4, uint8_t(mss >> 8),
            uint8_t(mss)};
  }
  void make_ack(uint32_t cookie) {
    base::store_be<uint32_t>(tcp_.data() + 4, 0x01020304 + 1);
    base::store_be<uint32_t>(tcp_.data() + 8, cookie + 1);
    tcp_[12] = 0x50;
  }
  std::array<uint8_t, 40> ip_{0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 9, 8, 7};
  std::array<uint8_t, 24> tcp_{};
};

TEST_F(Syncookies, RoundTheMssDownAndAcceptTheirOwnAck) {
  for (const auto& [offered, encoded] : {std::pair<uint16_t, uint16_t>{1460, 1460}, {1400, 1300}, {100, 536}}) {
    make_syn(offered);
    const uint64_t made = tcp_raw_gen_syncookie_ipv4(context_, address(ip_.data()), address(tcp_.data()), 24, 0, 0);
    EXPECT_EQ(made >> 32, encoded);
    make_ack(static_cast<uint32_t>(made));
    EXPECT_EQ(tcp_raw_check_syncookie_ipv4(context_, address(ip_.data()), address(tcp_.data()), 0, 0, 0), 0u);
    make_ack(static_cast<uint32_t>(made) + 64);
    EXPECT_EQ(static_cast<int64_t>(
                  tcp_raw_check_syncookie_ipv4(context_, address(ip_.data()), address(tcp_.data()), 0, 0, 0)),
              -EACCES);
  }
}

TEST_F(Syncookies, ExpireAfterTwoMinutes) {
  make_syn(8000);
  const uint64_t made = tcp_raw_gen_syncookie_ipv6(context_, address(ip_.data()), address(tcp_.data()), 24, 0, 0);
  EXPECT_EQ(made >> 32, 1440u);
  make_ack(static_cast<uint32_t>(made));
  const auto check = [&] {
    return static_cast<int64_t>(
        tcp_raw_check_syncookie_ipv6(context_, address(ip_.data()), address(tcp_.data()), 0, 0, 0));
  };
  clock_.set_ns(119'000'000'000);
  EXPECT_EQ(check(), 0);
  clock_.set_ns(120'000'000'000);
  EXPECT_EQ(check(), -EACCES);
}

TEST_F(Syncookies, RefuseAHeaderLengthThatDoesNotFit) {
  make_syn(1460);
  EXPECT_EQ(
      static_cast<int64_t>(tcp_raw_gen_syncookie_ipv4(context_, address(ip_.data()), address(tcp_.data()), 20, 0, 0)),
      -EINVAL);
}

}  // namespace
}  // namespace xnic::exec::helpers
