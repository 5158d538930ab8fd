// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include "check.hpp"

namespace xnic::compile::verify::testing {
namespace {

std::string packet_program(std::string_view condition, std::string_view access) {
  return fmt::format(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    {}
    {}
    out: r0 = 2
    exit)",
                     condition, access);
}

TEST(PacketAccess, NeedsAComparisonWithDataEnd) {
  EXPECT_ACCEPTED(check(packet_program("if r4 > r3 goto out", "r5 = *(u8 *)(r2 +13)")));
  EXPECT_REJECTED(check(packet_program("", "r5 = *(u8 *)(r2 +13)")), kMemory,
                  "invalid access to packet, off=13 size=1, R2(id=0,off=13,r=0)");
}

TEST(PacketAccess, ProvesNoByteMoreThanCompared) {
  EXPECT_REJECTED(check(packet_program("if r4 > r3 goto out", "r5 = *(u8 *)(r2 +14)")), kMemory, "r=14");
  EXPECT_REJECTED(check(packet_program("if r4 > r3 goto out", "r5 = *(u32 *)(r2 +12)")), kMemory, "r=14");
}

TEST(PacketAccess, KnowsEverySpellingOfTheComparison) {
  for (const char* condition : {"if r3 < r4 goto out", "if r4 >= r3 goto out", "if r3 <= r4 goto out"})
    EXPECT_ACCEPTED(check(packet_program(condition, "r5 = *(u8 *)(r2 +13)")));
  for (const char* condition : {"if r4 <= r3 goto in\n goto out\n in:", "if r3 >= r4 goto in\n goto out\n in:",
                                "if r4 < r3 goto in\n goto out\n in:", "if r3 > r4 goto in\n goto out\n in:"})
    EXPECT_ACCEPTED(check(packet_program(condition, "r5 = *(u8 *)(r2 +13)")));
}

TEST(PacketAccess, TakesOneByteMoreFromAStrictComparison) {
  EXPECT_ACCEPTED(check(packet_program("if r4 >= r3 goto out", "r5 = *(u8 *)(r2 +14)")));
  EXPECT_REJECTED(check(packet_program("if r4 >= r3 goto out", "r5 = *(u8 *)(r2 +15)")), kMemory,
                  "outside of the packet");
}

TEST(PacketAccess, RefusesTheWrongSideOfTheComparison) {
  EXPECT_REJECTED(check(packet_program("if r4 <= r3 goto out", "r5 = *(u8 *)(r2 +13)")), kMemory, "packet");
}

TEST(PacketAccess, FollowsVariableOffsets) {
  const auto reading = [](int last) {
    return fmt::format(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +0)
    r5 &= 15
    r2 += r5
    r4 = r2
    r4 += 20
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +{})
    out: r0 = 2
    exit)",
                       last);
  };
  EXPECT_ACCEPTED(check(reading(19)));
  EXPECT_REJECTED(check(reading(20)), kMemory, "off=20 size=1");
}

TEST(PacketAccess, RefusesAnOffsetThatMayWrap) {
  EXPECT_REJECTED(check(R"(
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r5 = *(u32 *)(r1 +12)
    r2 += r5
    r4 = r2
    r4 += 1
    if r4 > r3 goto out
    r5 = *(u8 *)(r2 +0)
    out: r0 = 2
    exit)"),
                  kMemory, "packet");
}

TEST(PacketAccess, ForgetsPointersWhenTheBoundsMove) {
  EXPECT_REJECTED(check(R"(
    r6 = r1
    r7 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r7
    r4 += 14
    if r4 > r3 goto out
    r2 = 4
    call 44
    r5 = *(u8 *)(r7 +0)
    out: r0 = 2
    exit)"),
                  kMemory, "R7 invalid mem access 'scalar'");
}

TEST(PacketAccess, ComparesMetadataWithData) {
  EXPECT_ACCEPTED(check(R"(
    r2 = *(u32 *)(r1 +8)
    r3 = *(u32 *)(r1 +0)
    r4 = r2
    r4 += 4
    if r4 > r3 goto out
    r5 = *(u32 *)(r2 +0)
    out: r0 = 2
    exit)"));
}

TEST(PacketAccess, RefusesArithmeticOnTheEnd) {
  EXPECT_REJECTED(check("r3 = *(u32 *)(r1 +4)\n r3 += -14\n r0 = 0\n exit"), kType,
                  "R3 pointer arithmetic on pkt_end prohibited");
}

TEST(PacketAccess, RefusesAtomics) {
  EXPECT_REJECTED(check(packet_program("if r4 > r3 goto out", "r5 = 1\n lock *(u32 *)(r2 +0) += r5")), kType,
                  "BPF_ATOMIC stores into R2 pkt is not allowed");
}

TEST(Context, ReadsWholeFieldsOnly) {
  EXPECT_ACCEPTED(check("r0 = *(u32 *)(r1 +16)\n exit"));
  EXPECT_REJECTED(check("r0 = *(u16 *)(r1 +16)\n exit"), kMemory, "invalid bpf_context access off=16 size=2");
  EXPECT_REJECTED(check("r0 = *(u32 *)(r1 +20)\n exit"), kMemory, "invalid bpf_context access off=20 size=4");
  EXPECT_REJECTED(check("r0 = *(u32 *)(r1 +24)\n exit"), kMemory, "invalid bpf_context access off=24 size=4");
  EXPECT_REJECTED(check("r2 = 0\n *(u32 *)(r1 +16) = r2\n r0 = 0\n exit"), kMemory, "invalid bpf_context access");
  EXPECT_REJECTED(check("r1 += 4\n r0 = *(u32 *)(r1 +0)\n exit"), kMemory, "dereference of modified ctx ptr");
}

TEST(Context, GivesTheEgressInterfaceToDevmapPrograms) {
  Program program = program_of("r0 = *(u32 *)(r1 +20)\n exit");
  program.expected_attach_type = 33;
  EXPECT_TRUE(verify(program, NothingFrozen{}).accepted);
}

}  // namespace
}  // namespace xnic::compile::verify::testing
