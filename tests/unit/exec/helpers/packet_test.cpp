// SPDX-License-Identifier: Apache-2.0
// Packet helpers against answers of the live kernel: every row was measured with BPF_PROG_TEST_RUN on Linux 6.18, with
// the same frame size, for programs with and without fragment support (they gave the same).
#include <gtest/gtest.h>

#include <numeric>

#include "exec/helpers/call.hpp"

namespace xnic::exec::helpers {
namespace {

struct Call {
  packet::Packet packet;
  RunContext run;
  HelperState state;
  LoadedProgram program;
  HelperContext context;

  explicit Call(uint32_t size) {
    std::vector<uint8_t> frame(size);
    std::iota(frame.begin(), frame.end(), uint8_t{0});
    packet.assign(frame);
    context.packet = &packet;
    context.run = &run;
    context.state = &state;
    context.program = &program;
  }
  int64_t operator()(HelperFn helper, uint64_t a, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0) {
    return static_cast<int64_t>(helper(context, 0, a, b, c, d));
  }
  uint32_t linear() const { return static_cast<uint32_t>(packet.data_end - packet.data); }
  uint32_t meta() const { return static_cast<uint32_t>(packet.data - packet.data_meta); }
};

uint64_t offset(int64_t value) { return static_cast<uint64_t>(value); }

struct Row {
  uint32_t size;
  int64_t delta;
  int64_t result;
  uint32_t total;
  uint32_t linear;
};

TEST(XdpAdjustTail, GivesTheKernelsAnswers) {
  const Row rows[] = {
      {64, 10, 0, 74, 74},          {64, -10, 0, 54, 54},
      {64, -50, 0, 14, 14},         {64, -51, -22, 64, 64},
      {64, 3456, 0, 3520, 3520},    {64, 3457, -22, 64, 64},
      {3520, 10, -22, 3520, 3520},  {3520, -10, 0, 3510, 3510},
      {3521, 10, 0, 3531, 3520},    {3521, -10, 0, 3511, 3511},
      {5000, 10, 0, 5010, 3520},    {5000, -10, 0, 4990, 3520},
      {9000, 2712, 0, 11712, 3520}, {9000, 2713, -22, 9000, 3520},
      {9000, -8986, 0, 14, 14},     {9000, -8987, -22, 9000, 3520},
      {9000, -5490, 0, 3510, 3510}, {9000, 0, 0, 9000, 3520},
      {40000, 10, 0, 40010, 3520},
  };
  for (const Row& row : rows) {
    Call call(row.size);
    EXPECT_EQ(call(xdp_adjust_tail, offset(row.delta)), row.result) << row.size << ' ' << row.delta;
    EXPECT_EQ(call(xdp_get_buff_len, 0), row.total) << row.size << ' ' << row.delta;
    EXPECT_EQ(call.linear(), row.linear) << row.size << ' ' << row.delta;
  }
}

TEST(XdpAdjustTail, ZeroesWhatItAdds) {
  Call call(64);
  std::fill(call.packet.data_end, call.packet.data_end + 8, uint8_t{0xee});
  ASSERT_EQ(call(xdp_adjust_tail, 8), 0);
  EXPECT_EQ(std::count(call.packet.data + 64, call.packet.data_end, 0), 8);
}

TEST(XdpAdjustTail, GrowsLinearlyAgainOnceTheFragmentsAreGone) {
  Call whole(9000);
  EXPECT_EQ(whole(xdp_adjust_tail, offset(-5480)), 0);
  EXPECT_EQ(whole(xdp_adjust_tail, 100), -22);
  Call some(9000);
  EXPECT_EQ(some(xdp_adjust_tail, offset(-5470)), 0);
  EXPECT_EQ(some(xdp_adjust_tail, 100), 0);
  EXPECT_EQ(some.packet.size(), 3630u);
}

TEST(XdpAdjustHead, GivesTheKernelsAnswers) {
  const Row rows[] = {{64, -216, 0, 280, 280}, {64, -217, -22, 64, 64}, {64, -215, 0, 279, 279}, {64, 50, 0, 14, 14},
                      {64, 51, -22, 64, 64},   {64, 0, 0, 64, 64},      {64, -500, -22, 64, 64}};
  for (const Row& row : rows) {
    Call call(row.size);
    EXPECT_EQ(call(xdp_adjust_head, offset(row.delta)), row.result) << row.delta;
    EXPECT_EQ(call.linear(), row.linear) << row.delta;
  }
}

TEST(XdpAdjustHead, MovesMetadataAlongAndLeavesItsRoom) {
  for (const auto& [delta, result, linear] : {std::tuple{-184, 0, 248u}, {-185, -22, 64u}, {50, 0, 14u}}) {
    Call call(64);
    ASSERT_EQ(call(xdp_adjust_meta, offset(-32)), 0);
    std::iota(call.packet.data_meta, call.packet.data, uint8_t{100});
    EXPECT_EQ(call(xdp_adjust_head, offset(delta)), result);
    EXPECT_EQ(call.linear(), linear);
    EXPECT_EQ(call.meta(), 32u);
    EXPECT_EQ(call.packet.data_meta[0], 100);
    EXPECT_EQ(call.packet.data_meta[31], 131);
  }
}

TEST(XdpAdjustMeta, GivesTheKernelsAnswers) {
  const std::tuple<int, int, uint32_t> rows[] = {{-4, 0, 4},     {-3, -13, 0},   {-32, 0, 32},   {-36, 0, 36},
                                                 {-212, 0, 212}, {-216, 0, 216}, {-220, -22, 0}, {-252, -22, 0},
                                                 {-256, -22, 0}, {4, -22, 0},    {0, 0, 0}};
  for (const auto& [delta, result, meta] : rows) {
    Call call(64);
    EXPECT_EQ(call(xdp_adjust_meta, offset(delta)), result) << delta;
    EXPECT_EQ(call.meta(), meta) << delta;
  }
}

TEST(XdpLoadBytes, CrossesFragmentsAndChecksItsRange) {
  uint64_t word = 0;
  Call jumbo(9000);
  EXPECT_EQ(jumbo(xdp_load_bytes, 3516, address(&word), 8), 0);
  EXPECT_EQ(static_cast<int64_t>(word), -4340694057236906564);
  EXPECT_EQ(jumbo(xdp_load_bytes, 8993, address(&word), 8), -22);
  Call longest(65535);
  EXPECT_EQ(longest(xdp_load_bytes, 65530, address(&word), 8), -22);
  EXPECT_EQ(longest(xdp_load_bytes, 65536, address(&word), 8), -14);
}

TEST(XdpStoreBytes, WritesWhatLoadBytesReadsBack) {
  Call jumbo(9000);
  std::vector<uint8_t> written(5000);
  std::iota(written.begin(), written.end(), uint8_t{7});
  ASSERT_EQ(jumbo(xdp_store_bytes, 3000, address(written.data()), 5000), 0);
  std::vector<uint8_t> read(5000);
  ASSERT_EQ(jumbo(xdp_load_bytes, 3000, address(read.data()), 5000), 0);
  EXPECT_EQ(read, written);
  EXPECT_EQ(jumbo.packet.bytes()[2999], uint8_t(2999 & 0xff));
  EXPECT_EQ(jumbo.packet.bytes()[8000], uint8_t(8000 & 0xff));
  EXPECT_EQ(jumbo(xdp_store_bytes, 8000, address(written.data()), 1001), -22);
}

TEST(CsumDiff, FoldsToSixteenBitsAndTakesOddSizes) {
  HelperContext context;
  const auto diff = [&](std::vector<uint32_t> from, std::vector<uint32_t> to, uint64_t seed) {
    return csum_diff(context, address(from.data()), from.size() * 4, address(to.data()), to.size() * 4, seed);
  };
  EXPECT_EQ(diff({}, {0xffffffff, 1}, 0), 1u);
  EXPECT_EQ(diff({}, {}, 0x12345678), 0x68acu);
  const uint8_t odd[] = {0x34, 0x12, 0x78, 0x56, 0x9a};
  EXPECT_EQ(csum_diff(context, 0, 0, address(odd), 5, 0), 0x1234u + 0x5678u + 0x9au);
  EXPECT_EQ(csum_diff(context, 0, 0, address(odd), 3, 1), 0x1234u + 0x78u + 1u);
  // Replacing a word by the difference gives the sum of the new data (RFC 1624).
  const uint64_t before = diff({}, {0x11112222, 0x33334444}, 0);
  EXPECT_EQ(diff({0x33334444}, {0x55556666}, before), diff({}, {0x11112222, 0x55556666}, 0));
  EXPECT_EQ(diff({0x33334444}, {}, before), diff({}, {0x11112222}, 0));
}

TEST(CheckMtu, GivesTheKernelsAnswersOnLoopback) {
  const std::tuple<uint64_t, uint32_t, int64_t, uint32_t> rows[] = {
      {1, 0, 0, 65536}, {0, 0, 0, 65536}, {77, 0, -19, 0}, {1, 65536, 0, 65536}, {1, 65537, 1, 65536}};
  for (const auto& [ifindex, given, result, mtu] : rows) {
    Call call(64);
    uint32_t length = given;
    EXPECT_EQ(call(check_mtu, ifindex, address(&length)), result);
    EXPECT_EQ(length, mtu);
  }
}

TEST(Redirect, NotesTheTargetAndRefusesFlags) {
  Call call(64);
  EXPECT_EQ(static_cast<int64_t>(redirect(call.context, 3, 0, 0, 0, 0)), 4);
  EXPECT_EQ(call.context.redirect, (Redirect{RedirectKind::kInterface, 3, 0, 0}));
  EXPECT_EQ(redirect(call.context, 5, 1, 0, 0, 0), 0u);
  EXPECT_EQ(call.context.redirect.target, 3u);
}

}  // namespace
}  // namespace xnic::exec::helpers
